// `ferrun coordinator`: one job's coordinator in a process of its own.
#pragma once

#include "launcher/config/coordinator_job.h"

namespace ferrun {

// Runs it to the end of the job, whose exit status it returns. SIGTERM, SIGINT, SIGHUP and SIGQUIT end the job; the
// second one ends the coordinator at once.
int run_coordinator(CoordinatorJob job);

}  // namespace ferrun
