// Where the workers of a one-node job meet: the rule from torchrun's rendezvous options to an address and a port. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/result.h"
#include "launcher/cli/parse.h"

namespace ferrun {

// Where workers find their store.
struct Meeting {
  std::string master_addr;
  // Address that the store listens on; empty for every address, when master_addr is a name.
  std::string listen_address;
  // 0: the kernel chooses a new one for every attempt.
  uint16_t port = 0;
};

struct MeetingChoice {
  Meeting meeting;
  std::vector<std::string> warnings;  // options that were given and have no effect
};

// In this order: --standalone (loopback, free port); --rdzv-endpoint with the static backend; --master-addr and
// --master-port; --local-addr; loopback and a free port. Fails with kUsage.
Result<MeetingChoice> choose_meeting(const RawOptions& options);

}  // namespace ferrun
