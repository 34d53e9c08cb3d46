// Reads what the configuration needs to know of this machine.
#pragma once

#include "launcher/config/host_facts.h"

namespace ferrun {

// Never fails: what cannot be read is left at its default.
HostFacts read_host_facts();

}  // namespace ferrun
