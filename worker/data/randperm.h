// torch.randperm without LibTorch.
#pragma once

#include <cstdint>
#include <vector>

namespace ferrun::data {

// torch.randperm(n, generator=torch.Generator().manual_seed(seed)) on the CPU, number for number. n ≥ 0.
std::vector<int64_t> randperm(int64_t n, uint64_t seed);

}  // namespace ferrun::data
