// How a GPU calculates in single precision.
#pragma once

namespace ferrun {

struct GpuArithmetic {
  bool tf32 = false;           // products of floats with 10 bits of a factor
  bool deterministic = false;  // the same numbers in each run, at the price of the fastest algorithms
};

}  // namespace ferrun
