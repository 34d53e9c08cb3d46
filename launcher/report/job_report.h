// The last thing on a node's screen: how the job ended, the root cause last. Pure.
#pragma once

#include <string>
#include <vector>

#include "common/time.h"
#include "rendezvous/job/failure.h"

namespace ferrun {

// A worker of this node that ferrun stopped because of a failure.
struct StoppedWorker {
  int rank = 0;             // global
  std::string description;  // "rank 0 (local_rank 0, pid 4710) killed by SIGTERM (terminated)"
  Duration later{};         // than the first failure of this node; 0: none failed here
};

// What the node adds to what is told of the end.
struct NodeReport {
  std::string title;   // the program as typed
  std::string run_id;  // of the job
  std::string host;
  int nodes = 1;  // of the last round
  int max_restarts = 0;
  std::vector<StoppedWorker> stopped;   // by rank
  bool solo = false;                    // the only node of the job
  std::vector<std::string> hints = {};  // what may help, one line each
};

// Lines without line ends, safe for a terminal whatever the coordinator sent; none after success.
std::vector<std::string> job_report(const JobEnd& end, const NodeReport& node);

// These lines as one text of at most 4096 bytes, of which Kubernetes shows no more: the last ones, where the root cause
// is.
std::string termination_message(const std::vector<std::string>& lines);

// "succeeded", "failed", "stopped", "not_formed" or "refused": how programs read of an end.
const char* end_state(JobEnd::Kind kind);

// "rank 3", "ranks 4-7 and 9".
std::string ranks_text(const std::vector<int>& ascending);

}  // namespace ferrun
