// What a coordinator is told about its job before it begins. Pure; a value.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "common/time.h"
#include "rendezvous/job/ids.h"
#include "rendezvous/job/restart_policy.h"
#include "rendezvous/wire/messages.h"

namespace ferrun {

struct CoordinatorConfig {
  int min_nodes = 1;
  int max_nodes = 1;
  int max_restarts = 0;
  bool own_process = false;  // `ferrun coordinator`
  // Another agent takes over when this coordinator is lost: workers may run on meanwhile, as with own_process.
  bool has_successors = false;
  AgentId host_agent;       // the agent that hosts it: preferred for rank 0; none (0) for own_process
  std::string job_id;       // for the saved state
  std::string launch_id;    // of a new launch; that of a job that goes on wins
  std::vector<Term> terms;  // empty values are taken from the first member
  Duration heartbeat_interval = std::chrono::seconds(1);
  Duration silence = std::chrono::seconds(5);     // keep-alive: interval × attempts
  Duration lease = std::chrono::seconds(5);       // = silence when hosted, coordinator_timeout otherwise
  Duration stop_bound = std::chrono::seconds(1);  // from the end of a lease until the sentinel has killed everything
  Duration last_call = std::chrono::seconds(30);
  Duration reset_grace = std::chrono::milliseconds(250);
  Duration goodbye_settle = std::chrono::milliseconds(250);  // after a goodbye by signal: others may follow
  Duration prepare_timeout = std::chrono::seconds(30);
  Duration cause_wait = std::chrono::milliseconds(200);  // for stop acknowledgements, to find the root cause
  Duration close_timeout = std::chrono::seconds(30);
  Duration scale_interval = std::chrono::seconds(30);
  Duration min_uptime = std::chrono::seconds(30);
  RestartPolicy restart;
  Duration loss_window = std::chrono::minutes(10);
  int losses_to_bar = 3;
  Duration first_bar = std::chrono::seconds(10);
};

}  // namespace ferrun
