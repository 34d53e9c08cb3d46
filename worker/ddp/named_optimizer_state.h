// An optimizer's state by parameter names, as torch.distributed.checkpoint.state_dict has it, and by index, as
// torch.optim has it. Pure.
#pragma once

#include <torch/nn/module.h>

#include <vector>

#include "worker/checkpoint/value.h"

namespace torch::optim {
class Optimizer;
}

namespace ferrun::ddp {

// The state with the indices of `parameters` (an optimizer's, in its order) in place of the names that `module` has for
// them, and with a 'state', which torch.distributed.checkpoint leaves out where it is empty; groups and the parameters
// in them come in the order of these indices. A state by index (also as texts, which is what the same makes of
// numbers), and names that the module has not, come back as they are.
checkpoint::Value optimizer_state_by_index(const checkpoint::Value& state, const torch::nn::Module& module,
                                           const std::vector<at::Tensor>& parameters);

// The other way round.
checkpoint::Value optimizer_state_by_name(const checkpoint::Value& state, const torch::nn::Module& module,
                                          const std::vector<at::Tensor>& parameters);

// The parameters of all groups, in their order.
std::vector<at::Tensor> all_parameters(const torch::optim::Optimizer& optimizer);

}  // namespace ferrun::ddp
