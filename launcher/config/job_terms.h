// What the agents of a job with several nodes tell of themselves beyond what its rendezvous settles, so that
// differences are seen: the program, its arguments and how it is stopped. All of that may differ. Pure.
#pragma once

#include <vector>

#include "launcher/cli/parse.h"
#include "launcher/config/job_config.h"
#include "rendezvous/wire/messages.h"

namespace ferrun {

// Values are for a person to compare. A long command line is shown by its beginning and a hash of the whole. There is a
// program.
void append_job_terms(const JobConfig& config, const CommandLine& line, std::vector<Term>& terms);

}  // namespace ferrun
