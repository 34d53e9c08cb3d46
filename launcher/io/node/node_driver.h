// Runs one node of a job: carries what happens to the node machine, and what that decides to the world. In a job of
// several nodes, where this machine has the endpoint's address the job's coordinator runs in the same loop. One thread,
// one loop; its time is boottime_now(), which goes on while the machine sleeps.
#pragma once

#include <memory>

#include "launcher/config/job_config.h"
#include "launcher/io/process/sentinel.h"

namespace ferrun {

class NodeDriver {
 public:
  // To be constructed in the agent, under its sentinel.
  NodeDriver(JobConfig config, const SentinelLink& sentinel);
  ~NodeDriver();

  // From the search for the other nodes, if there are any, to the end of the job. Returns ferrun's exit status; no
  // process of the job is left on this node then. To be called once.
  int run();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ferrun
