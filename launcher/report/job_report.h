// The last thing on every node's screen in a job of several nodes: how the job ended, the root cause last. Pure.
#pragma once

#include <string>
#include <vector>

#include "rendezvous/job/failure.h"

namespace ferrun {

// What the node adds to what the coordinator tells of the end.
struct NodeReport {
  std::string title;   // the program as typed
  std::string run_id;  // of the job
  std::string host;
  int nodes = 1;  // of the last round
  int max_restarts = 0;
  std::vector<int>
      victims;  // global ranks of this node's workers that ferrun stopped because of the failure, ascending
};

// Lines without line ends, safe for a terminal whatever the coordinator sent; none after success.
std::vector<std::string> job_report(const JobEnd& end, const NodeReport& node);

// "rank 3", "ranks 4-7 and 9".
std::string ranks_text(const std::vector<int>& ascending);

}  // namespace ferrun
