// What follows from being a task of a Slurm step: `srun --ntasks-per-node=1 ferrun train.py` needs no options. Pure.
//
// The nodes of the step are the nodes of the job, in the step's order; they meet at the first one, at a port made of
// the job's and the step's number, so that two steps beside each other do not meet. An option given by hand wins, and
// whoever says by hand where the nodes meet has said it all: a script that was written for torchrun works as it did.
// The variables are those of Slurm's srun(1), OUTPUT ENVIRONMENT VARIABLES.
#pragma once

#include "common/result.h"
#include "launcher/config/host_facts.h"
#include "launcher/config/place_defaults.h"

namespace ferrun {

// kUsage when the step cannot be one job: several tasks on a node, each of them a ferrun, or variables that contradict
// each other; it names the remedy. Outside of Slurm and of a step nothing is added.
Result<PlaceDefaults> with_slurm_step(const RawOptions& given, const HostFacts& facts);

}  // namespace ferrun
