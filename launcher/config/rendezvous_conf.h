// --rdzv-conf: torchrun's settings of the rendezvous. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/result.h"
#include "common/time.h"
#include "launcher/cli/parse.h"

namespace ferrun {

struct RendezvousConf {
  Duration join_timeout = std::chrono::seconds(600);
  Duration last_call = std::chrono::seconds(30);
  Duration close_timeout = std::chrono::seconds(30);
  Duration keep_alive_interval = std::chrono::seconds(1);
  int keep_alive_attempts = 5;
  std::optional<bool> is_host;  // none: whoever can bind the endpoint's address
  // One line each.
  std::vector<std::string> warnings;  // keys that are none
  std::vector<std::string> notes;     // keys of torchrun without effect here
};

// Times are seconds, fractions allowed, more than 0. An unknown key only warns, because torchrun takes it without a
// word; one that stands for an option of its own is refused. Fails with kUsage.
Result<RendezvousConf> read_rendezvous_conf(const RawOptions& options);

// The form alone, for a job on one node, which needs none of it: warns of unknown keys, judges no value.
Result<std::vector<std::string>> check_rendezvous_conf(const RawOptions& options);

}  // namespace ferrun
