// On what the agents of a job with several nodes have to agree, beyond what its rendezvous settles: the program and how
// it is stopped. Pure.
#pragma once

#include <vector>

#include "launcher/cli/parse.h"
#include "launcher/config/job_config.h"
#include "rendezvous/wire/messages.h"

namespace ferrun {

// Values are for a person to compare. A long command line is shown by its beginning and a hash of the whole.
void append_job_terms(const JobConfig& config, const CommandLine& line, std::vector<Term>& terms);

}  // namespace ferrun
