// How the job ended, for programs: report.json beside the logs, and torchrun's ChildFailedError as text
// (--report=torchrun; the format is that of torch/distributed/elastic/multiprocessing/errors of torch 2.11).
// Pure: sees the node machine's facts and effects go by, in their order. Ownership: owned by the node driver. Thread
// rule: none, a value.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "launcher/config/job_config.h"
#include "launcher/node/node_events.h"
#include "launcher/report/root_cause.h"

namespace ferrun {

class EndRecord {
 public:
  // `utc_offset`: of the local time, in seconds, for the times that people read.
  EndRecord(const JobConfig& config, long utc_offset) : config_(config), utc_offset_(utc_offset) {}

  // `time`: seconds since 1970.
  void note(const NodeEvent& fact, double time);
  void note(const NodeEffect& effect);

  // One object, with a newline behind it; empty before the end, and after a success.
  std::string json() const;
  // Empty unless the job failed by a worker of this node: torchrun's agents tell of their own workers alone, of those
  // that failed and of those that they stopped.
  std::vector<std::string> torchrun_lines() const;

 private:
  struct Worker {
    pid_t pid = 0;
    std::optional<ExitStatus> status;  // none while it runs
    double ended_at = 0;               // seconds since 1970
    FailedWorker left_behind;
  };
  const Worker& worker(int local_rank) const { return workers_.at(static_cast<size_t>(local_rank)); }
  Worker& worker(int local_rank) { return workers_.at(static_cast<size_t>(local_rank)); }
  std::filesystem::path error_file(const Worker& worker, int local_rank) const;
  double time_of(const Worker& worker) const;
  std::vector<std::pair<int, ExitStatus>> torchrun_failures() const;  // by local rank
  std::vector<std::string> torchrun_failure(size_t index, int local_rank, const ExitStatus& status) const;

  const JobConfig& config_;
  long utc_offset_;
  int attempt_ = -1;
  int first_rank_ = 0;  // the global rank of local rank 0
  std::vector<Worker> workers_;
  std::optional<NodeDone> done_;
};

}  // namespace ferrun
