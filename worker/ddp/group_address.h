// Where a process group meets, read from the environment that torchrun and ferrun give their workers. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "common/environment.h"
#include "common/result.h"

namespace ferrun::ddp {

struct GroupAddress {
  int rank = 0;
  int world_size = 1;
  std::string master_addr;
  uint16_t master_port = 0;
  // The launcher serves the store (TORCHELASTIC_USE_AGENT_STORE=True): every rank is a client. Otherwise rank 0 serves
  // it.
  bool agent_serves_store = false;

  // A world of one meets at a store and has a backend too, as larger ones have.
  bool connects_alone = false;

  // A world of one needs no store and opens no socket, unless it was asked to.
  bool alone() const { return world_size == 1 && !connects_alone; }
  // The address of a store on this machine: Gloo then needs no other interface than the loopback.
  bool on_loopback() const;
};

// RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT as Python's env:// reads them. None of the first two: a world of one.
// FERRUN_CONNECT_ALONE=1, for checks: a world of one connects, so that one GPU is enough to try NCCL and the Reducer.
// A variable that is missing beside the others, is no number or lies outside its range is named in the error.
Result<GroupAddress> group_address_from(const Environment& environment);

}  // namespace ferrun::ddp
