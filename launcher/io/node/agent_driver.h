// Runs a job: carries what happens to the agent machine, and what it decides to the world. One thread, one loop.
#pragma once

#include <memory>

#include "launcher/config/job_config.h"
#include "launcher/io/process/sentinel.h"

namespace ferrun {

class AgentDriver {
 public:
  // To be constructed in the agent, under its sentinel.
  AgentDriver(JobConfig config, SentinelLink sentinel);
  ~AgentDriver();

  // From the first worker's start to the last one's end, restarts and report included. Returns ferrun's exit status; no
  // process of the job is left then. To be called once.
  int run();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ferrun
