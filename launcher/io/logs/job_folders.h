// The folders and log files of a job below its log directory: made for each attempt, because a long run's may have been
// cleaned away by then, and removed again at the end where nothing was written.
//
// May wait for a disk. Ownership: shared by the work of a FileWorker. Thread rule: one thread at a time; not the one
// that runs the event loop.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "common/io/unique_fd.h"
#include "common/result.h"
#include "launcher/config/job_config.h"
#include "launcher/logs/log_plan.h"

namespace ferrun {

class JobFolders {
 public:
  // Of one worker, opened; none where its plan has none.
  struct Streams {
    UniqueFd out;
    UniqueFd err;
  };
  struct Attempt {
    Status folder = ok_status();           // the job's; kUser or kPlatform names it and the remedy
    bool made_again = false;               // somebody had removed it
    std::vector<Result<Streams>> workers;  // by local rank; none when there is no folder
    Streams filtered;                      // of the line filters
  };

  // Why a folder could not be made, as errno has it.
  struct Failure {
    std::filesystem::path folder;
    int error = 0;
  };

  explicit JobFolders(OutputConfig output) : output_(std::move(output)) {}

  // The base with its parents, the job's folder, which only its owner may enter, the folder of each worker that needs
  // one, and the log files in it. `plans` are by local rank. A file of `filters` that cannot be opened is the folder's
  // failure.
  Attempt prepare(int attempt, const std::vector<WorkerLogPlan>& plans, const LineFilterPlans& filters = {});

  // The newest attempt had no worker: its empty log files go too.
  void forgo_newest();

  // Puts report.json into the job's folder, whole or not at all. Nothing where
  // the folder could not be made. kPlatform names it and says why it could not be.
  Status write_report(const std::string& bytes) const;

  // Removes the workers' notes, and the folders that were made here and are empty; of a folder that nobody asked for
  // also empty log files.
  void remove_empty();

 private:
  void remove_notes();
  void point_at_latest() const;
  void unpoint_latest() const;
  std::optional<Failure> make(const std::filesystem::path& folder);
  void note_modes();
  std::optional<Failure> make_one(const std::filesystem::path& folder);
  mode_t mode_of(const std::filesystem::path& folder) const;
  Status make_job_folder();
  Result<Streams> open_streams(int attempt, int local_rank, const WorkerLogPlan& plan);
  Result<Streams> open_filters(const LineFilterPlans& filters);
  Result<UniqueFd> open_file(const std::filesystem::path& path);

  const OutputConfig output_;
  // Every folder on the way; the mode of one that was there before.
  std::map<std::filesystem::path, std::optional<mode_t>> seen_;
  std::vector<std::filesystem::path> made_;    // parents first
  std::vector<std::filesystem::path> files_;   // that go when they are empty
  std::vector<std::filesystem::path> newest_;  // the log files of the attempt that was prepared last
  bool made_again_ = false;
  bool pointed_at_ = false;  // the link to the newest job has been made
};

}  // namespace ferrun
