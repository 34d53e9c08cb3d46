// --nproc-per-node's meaning on this machine. Pure.
#pragma once

#include <string>

#include "common/result.h"
#include "launcher/config/host_facts.h"

namespace ferrun {

// A number of 1 or more, or gpu, cpu, auto (see the flag's help). The error is a sentence without the option's name.
Result<int> worker_count(const std::string& text, const HostFacts& facts);

}  // namespace ferrun
