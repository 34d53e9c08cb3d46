// The state of LibTorch's own optimizers in PyTorch's layout: torch.optim goes on from it, and they from torch.optim's.
// Adam, AdamW, SGD, RMSprop and Adagrad, with any number of parameter groups; LBFGS is not covered.
//
// Ownership: nothing is kept. Thread rule: that of the optimizer.
#pragma once

#include <torch/optim/optimizer.h>

#include "common/result.h"
#include "worker/checkpoint/value.h"
#include "worker/ddp/group_rates.h"

namespace ferrun::ddp {

// torch.optim's state_dict(). The tensors are the optimizer's own: save them before the next step. `initial_lrs`: as a
// scheduler adds them, one for each group; or none. Failure: an optimizer of another class or with another number of
// groups.
Result<checkpoint::Value> state_dict(const torch::optim::Optimizer& optimizer, const GroupRates& initial_lrs = {});

// Takes over state and hyperparameters, as Python does; hyperparameters that it lacks stay as they are. All or nothing;
// the error says what does not fit.
Status load_state_dict(torch::optim::Optimizer& optimizer, const checkpoint::Value& state);

}  // namespace ferrun::ddp
