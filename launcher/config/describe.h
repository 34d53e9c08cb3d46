// What --dry-run prints. Pure.
#pragma once

#include <string>

#include "launcher/config/job_config.h"

namespace ferrun {

// The command line, the store's address, the folders and the variables that ferrun sets for rank 0, as text for a
// person.
std::string describe(const JobConfig& config);
// The same for a program: one object of JSON on one line. The store's port is null where it is chosen at the start, and
// with several nodes its address is that of rank 0's node and left out.
std::string describe_json(const JobConfig& config);

}  // namespace ferrun
