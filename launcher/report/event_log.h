// What happens to a job on this node, as lines of JSON for programs: every change of state of the job, its attempts and
// its workers, signals, and the messages that give the reasons (--event-log). Pure: sees the node machine's facts and
// effects go by, in their order, and decides nothing. Ownership: owned by the node driver. Thread rule: none, a value.
#pragma once

#include <string>
#include <vector>

#include "launcher/config/job_config.h"
#include "launcher/node/node_events.h"

namespace ferrun {

// Each line is one object, whose first members are "time" (seconds since 1970) and "event":
//   job      "state": started, succeeded, failed, stopped, not_formed, refused; at the end with "exit_status", "reason"
//   attempt  "state": starting, with its place in the job and the address of the store; ended
//   worker   "state": running, with its "pid"; not_started; signalled; succeeded; failed, with "exit_code" or "signal"
//   signal   "signal": one that ferrun got
//   message  "level", "text": what ferrun says or would say with --verbose
class EventLog {
 public:
  explicit EventLog(const JobConfig& config) : config_(config) {}

  // `time`: seconds since 1970, for each. The first call.
  void begin(double time);
  void note(const NodeEvent& fact, double time);
  void note(const NodeEffect& effect, double time);
  // In order, without newlines.
  std::vector<std::string> take_lines();

 private:
  const JobConfig& config_;
  int first_rank_ = 0;  // the global rank of local rank 0
  std::string reason_;  // of what is being done to the attempt: the last warning
  std::vector<std::string> lines_;
};

}  // namespace ferrun
