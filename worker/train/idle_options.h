// Options that were given and change nothing beside the others: a person should know. Pure.
#pragma once

#include <string>
#include <vector>

#include "worker/train/options.h"

namespace ferrun::train {

// One line for each, without "note: ". `options` are those that count, whoever said them; `given` says which a person
// has.
std::vector<std::string> idle_options(const TrainOptions& options, bool on_gpu);

}  // namespace ferrun::train
