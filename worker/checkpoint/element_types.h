// The file's element types as LibTorch's.
#pragma once

#include <c10/core/ScalarType.h>

#include <optional>

#include "worker/checkpoint/stored_tensor.h"

namespace ferrun::checkpoint {

c10::ScalarType to_scalar_type(ElementType type);
// None for types that a checkpoint cannot hold (quantized ones).
std::optional<ElementType> to_element_type(c10::ScalarType type);

}  // namespace ferrun::checkpoint
