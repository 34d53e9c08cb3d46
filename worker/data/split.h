// The sizes of a dataset's parts as torch.utils.data.random_split has them.
#pragma once

#include <cstdint>
#include <vector>

namespace ferrun::data {

// Whether random_split takes them: not negative, and their sum is 1 up to rounding (relative 1e-9).
bool are_fractions_of_one(const std::vector<double>& fractions);

// The parts' sizes as torch has them: size × fraction rounded down, what is left dealt out one by one from the first
// on. `fractions` are fractions of one.
std::vector<int64_t> split_sizes(int64_t size, const std::vector<double>& fractions);

}  // namespace ferrun::data
