// Moves weights between modules and checkpoint values.
#pragma once

#include <torch/nn/module.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "common/result.h"
#include "worker/checkpoint/value.h"

namespace ferrun::checkpoint {

// Parameters and buffers themselves (no copies) by state_dict name, in the order of Python's state_dict(): a module's
// own parameters, its own buffers, then its children.
std::vector<std::pair<std::string, at::Tensor>> named_state(const torch::nn::Module& module);

// The module's state_dict as Python writes it, tensors cloned to the CPU, contiguous (so that files do not depend on
// channels_last) and detached: later training steps do not change it.
Value module_state(const torch::nn::Module& module);

// The same without copies: detached views of the module's own memory, to be used up before the next step.
Value module_view(const torch::nn::Module& module);

// How far a state_dict has to fit the module.
struct StateRules {
  bool strict = true;         // names that only one side has are an error
  bool other_shapes = false;  // an entry of another shape is left out instead of an error
  // The module's name for an entry's, "" for one that is to be left out; asked before wrappers are taken off.
  std::function<std::string(const std::string&)> rename = {};
};

// Where a state_dict and a module differ; all empty when it fits.
struct StateDifference {
  std::vector<std::string> missing;     // names that the module has, in its order
  std::vector<std::string> unexpected;  // names that the state_dict has, in its order, as they stand there
  std::vector<std::string> skipped;     // "'head.weight' has the shape [10, 4], the model's [3, 4]"
};

// Copies a state_dict into the module, all or nothing, as Python's load_state_dict(strict=…): names that only one side
// has are an error that lists them when `strict`, and reported otherwise; so are entries of another shape. Element
// types may differ. As in PyTorch, a missing num_batches_tracked keeps the module's (it came with PyTorch 0.4.1) and a
// single number may have one dimension (before 0.4). Names may carry what wraps them, see unwrapped_name.
Result<StateDifference> load_state_dict(torch::nn::Module& module, const Value& state, const StateRules& rules = {});

// The same, strictly.
Status load_module_state(torch::nn::Module& module, const Value& state);

// A state_dict's name without what DDP ("module."), torch.compile ("_orig_mod."), Lightning ("model.", "net.",
// "network.") and FSDP put before or into it, in any nesting. Nothing is taken from a name once `is_known` answers true
// for it.
std::string unwrapped_name(const std::string& name, const std::function<bool(const std::string&)>& is_known);

// "'a', 'b', 'c' and 12 more".
std::string shortened(const std::vector<std::string>& names);

}  // namespace ferrun::checkpoint
