// What a worker is told: its environment and its arguments, as torchrun tells them. Pure.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "common/environment.h"
#include "launcher/config/job_config.h"
#include "launcher/workers/spawn_request.h"
#include "rendezvous/job/assignment.h"

namespace ferrun {

// Where one worker stands in one attempt.
struct WorkerPlace {
  int attempt = 0;  // of this agent: counts every group that it started
  int local_rank = 0;
  Assignment assignment;             // of the node
  StoreAddress store;                // MASTER_ADDR and MASTER_PORT
  std::string launch_id;             // of the job; empty: this launch's own
  std::filesystem::path error_file;  // empty: none
  std::string interface = {};        // that leads to the other nodes: GLOO_SOCKET_IFNAME, unless set; empty: none
};

// The only node of a job, with all its workers.
Assignment whole_job(int workers, int restart_count);

// The whole environment: the job's (JobConfig::environment), overridden by the worker's variables. What ferrun itself
// was given as RANK, WORLD_SIZE or MASTER_ADDR belongs to a scheduler and is overwritten.
Environment worker_environment(const JobConfig& config, const WorkerPlace& place);

// Environment, arguments and place of a worker as one value. With --expand, $local_rank in the user's arguments is
// replaced.
SpawnRequest spawn_request(const JobConfig& config, const WorkerPlace& place);

}  // namespace ferrun
