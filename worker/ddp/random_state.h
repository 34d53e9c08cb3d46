// A random generator's state as torch.get_rng_state() gives it: Python sets what C++ got, and the other way round.
// Thread rule: any thread; the generator's own lock is held.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include "common/result.h"

namespace ferrun::ddp {

// The state of the CPU's default generator, from which torch::nn's dropout, randn and randperm draw. Bytes.
at::Tensor random_state();
at::Tensor random_state(at::Generator generator);

// Failure: bytes that are no such generator's state.
Status set_random_state(const at::Tensor& state);
Status set_random_state(const at::Tensor& state, at::Generator generator);

}  // namespace ferrun::ddp
