// --rdzv-conf: torchrun's settings of the rendezvous. Pure.
#pragma once

#include <string>
#include <vector>

#include "common/result.h"
#include "launcher/cli/parse.h"
#include "launcher/config/rendezvous_config.h"

namespace ferrun {

// Into the `config`. Times are seconds, fractions allowed, more than 0. An unknown key only warns, because torchrun
// takes it without a word; one that stands for an option of its own is refused. Fails with kUsage.
Status read_rendezvous_conf(const RawOptions& options, RendezvousConfig& config);

// The form alone, for a job on one node, which needs none of it: warns of unknown keys, judges no value.
Result<std::vector<std::string>> check_rendezvous_conf(const RawOptions& options);

}  // namespace ferrun
