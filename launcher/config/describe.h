// What --dry-run prints. Pure.
#pragma once

#include <string>

#include "launcher/config/job_config.h"

namespace ferrun {

// The command line, the store's address, the folders and the variables that ferrun sets for rank 0, as text for a
// person.
std::string describe(const JobConfig& config);

}  // namespace ferrun
