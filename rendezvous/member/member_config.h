// What a member is told about its node and its job before it begins. Pure; a value.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "common/time.h"
#include "rendezvous/job/ids.h"
#include "rendezvous/wire/messages.h"

namespace ferrun {

struct MemberConfig {
  AgentId agent;
  std::string host;
  std::vector<std::string> addresses;
  int workers = 1;
  std::string role = "default";
  std::optional<int> node_rank;
  std::vector<Term> terms;
  int min_nodes = 1;  // these three are shown in its own status; the coordinator decides
  int max_nodes = 1;
  int max_restarts = 0;
  std::string endpoint;                                     // as the user wrote it, for messages
  Duration join_timeout = std::chrono::seconds(600);        // to become part of a round
  Duration coordinator_timeout = std::chrono::seconds(60);  // for a lost coordinator to come back
  Duration answer_timeout = std::chrono::seconds(10);       // for Welcome, once connected
  Duration reset_grace = std::chrono::milliseconds(250);    // for a reset connection, until the workers are stopped
  Duration explain_interval = std::chrono::seconds(5);      // between two lines about waiting
};

}  // namespace ferrun
