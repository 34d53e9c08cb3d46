// Weights that make rare classes count as much as frequent ones, for cross entropy's `weight`. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/result.h"

namespace ferrun::ddp {

// samples / (classes × samples of the class), by class: scikit-learn's class_weight="balanced". Their mean over the
// samples is 1. Failure: a class without a sample, by its name. `names` are as many as `counts`.
Result<std::vector<double>> balanced_class_weights(const std::vector<int64_t>& counts,
                                                   const std::vector<std::string>& names);

}  // namespace ferrun::ddp
