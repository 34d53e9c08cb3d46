// Where a checkpoint's bytes go, one after the other. Not thread-safe.
#pragma once

#include <cstdint>
#include <span>

#include "common/result.h"

namespace ferrun::checkpoint {

class ByteSink {
 public:
  virtual ~ByteSink() = default;
  // Takes all of `bytes`, or fails for good: after a failure nothing more may be written.
  virtual Status write(std::span<const uint8_t> bytes) = 0;
};

}  // namespace ferrun::checkpoint
