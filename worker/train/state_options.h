// What the options of a run must have been, read from the states of its optimizer and its schedule: a Python trainer's
// checkpoint has no others.
#pragma once

#include "worker/checkpoint/value.h"

namespace ferrun::train {

// The entries that 'options' of our own checkpoints would have, as far as 'optimizer_state_dict' and
// 'scheduler_state_dict' of `checkpoint` tell; what they do not tell, or what is none of ours, is left out. So is which
// optimizer it is: another one than the run was asked for is an error, not a choice. `lr` is null where the schedule
// does not know the rate that it began with (ReduceLROnPlateau).
checkpoint::Dict options_of_states(const checkpoint::Value& checkpoint);

}  // namespace ferrun::train
