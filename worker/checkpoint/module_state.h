// Moves weights between modules and checkpoint values.
#pragma once

#include <torch/nn/module.h>

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

enum class Match {
  kExact,       // every entry of the module is in the state and the other way round
  kCommonOnly,  // Python's strict=False: entries that only one of them has are left alone
};

// Copies a state_dict into the module, all or nothing: a missing, unknown or wrongly shaped entry changes nothing and
// is named. A leading "module." of every key (saved from Python's DDP wrapper) is dropped. Element types may differ.
Status load_module_state(torch::nn::Module& module, const Value& state, Match match = Match::kExact);

}  // namespace ferrun::checkpoint
