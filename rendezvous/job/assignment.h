// The place of one node in one round: of constant size, however many nodes there are. Pure values.
#pragma once

#include <cstdint>
#include <string>

#include "rendezvous/job/ids.h"

namespace ferrun {

struct Assignment {
  RoundId round;
  int node_rank = 0;  // of this node
  int node_count = 1;
  int first_rank = 0;  // RANK of the node's local rank 0; ranks go up by node rank, then by local rank
  int world = 1;       // workers of all nodes
  int first_role_rank = 0;
  int role_world = 1;     // workers with this node's role
  int restart_count = 0;  // restarts spent by the job so far: the same on all nodes
  bool operator==(const Assignment&) const = default;
};

// Where the round's store was reached from this node: MASTER_ADDR and MASTER_PORT of its workers.
struct StoreAddress {
  std::string host;
  uint16_t port = 0;
  bool operator==(const StoreAddress&) const = default;
};

}  // namespace ferrun
