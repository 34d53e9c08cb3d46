// The events that torchrun's agent records with --event-log-handler=console, one line of JSON each, with its names and
// members: START of every worker of every attempt; at the end SUCCEEDED, FAILED or TERMINATED of the workers of the
// last one, and SUCCEEDED or FAILED of the agent. An agent that is told to stop by a signal records its own alone. The
// durations that torchrun records of its rendezvous are not there: ferrun's has other steps.
// Pure: sees the node machine's facts and effects go by, in their order. Ownership: owned by the node driver. Thread
// rule: none, a value.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "common/exit_status.h"
#include "launcher/config/job_config.h"
#include "launcher/node/node_events.h"
#include "launcher/report/error_file.h"

namespace ferrun {

class ElasticEvents {
 public:
  // `time`: seconds since any moment, for the time that the job takes.
  ElasticEvents(const JobConfig& config, double time) : config_(config), began_(time) {}

  void note(const NodeEvent& fact);
  void note(const NodeEffect& effect, double time);
  // In order, without newlines.
  std::vector<std::string> take_lines();

 private:
  struct Worker {
    pid_t pid = 0;
    std::optional<ExitStatus> status;  // once ended
    ErrorFile error;
  };
  Worker& worker(int local_rank) { return workers_.at(static_cast<size_t>(local_rank)); }
  // Of the worker, else of the agent.
  void record(const char* state, std::optional<int> local_rank, const std::optional<std::string>& raw_error);
  void record_end(const NodeDone& done);

  const JobConfig& config_;
  double began_;
  int total_run_time_ = 0;  // seconds, once the job has ended
  int attempt_ = -1;
  Assignment assignment_;
  std::vector<Worker> workers_;
  std::vector<std::string> lines_;
};

}  // namespace ferrun
