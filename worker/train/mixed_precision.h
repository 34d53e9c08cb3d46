// Which types of mixed precision a CPU has fast arithmetic for.
#pragma once

#include <c10/core/ScalarType.h>

#include <optional>
#include <string>

namespace ferrun::train {

// Whether oneDNN, which computes LibTorch's convolutions on a CPU, does so in `type` on this processor. Where it does
// not, LibTorch takes code of its own, many times slower than in float. Yes for a LibTorch that does not tell.
bool has_fast_convolutions(c10::ScalarType type);

// A line for the start of what computes under this autocast (nothing: in full precision): that it is slow, and the
// remedy. Nothing where it is `fast`, or not known to be slow.
std::optional<std::string> precision_note(std::optional<c10::ScalarType> autocast, bool on_cpu,
                                          bool (*fast)(c10::ScalarType) = has_fast_convolutions);

}  // namespace ferrun::train
