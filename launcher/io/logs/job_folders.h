// The folders of a job below its log directory: made before a worker needs them, removed again when nothing was
// written.
#pragma once

#include <string>

#include "common/result.h"
#include "launcher/config/job_config.h"

namespace ferrun {

class JobFolders {
 public:
  // `output` must outlive this.
  explicit JobFolders(const OutputConfig& output) : output_(output) {}

  // The base with its parents, and the job's folder, which only its owner may enter. kUser or kPlatform names the
  // folder and the remedy.
  Status make_job_folder();
  // The folder of one worker in one attempt, if it needs one.
  Status make_worker_folder(int attempt, int local_rank);
  // Removes the empty folders of attempts 0 to `last_attempt`, and the job's when it is empty then. Never a file.
  void remove_empty(int last_attempt, int workers);

 private:
  const OutputConfig& output_;
};

}  // namespace ferrun
