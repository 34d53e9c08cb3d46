// Autocast for a scope, as `with torch.autocast(device_type, dtype)` does it.
#pragma once

#include <c10/core/DeviceType.h>
#include <c10/core/ScalarType.h>

namespace ferrun::ddp {

// Saves the thread's autocast state, switches it on for `device` and `dtype` (or off when `enabled` is false), restores
// it at the end, and clears the weight-cast cache when the outermost guard ends: the next step must not see old
// weights. Covers the forward pass and the loss; backward needs none. Thread rule: the state is the thread's own.
class AutocastGuard {
 public:
  AutocastGuard(c10::DeviceType device, c10::ScalarType dtype, bool enabled = true);
  ~AutocastGuard();
  AutocastGuard(const AutocastGuard&) = delete;
  AutocastGuard& operator=(const AutocastGuard&) = delete;

 private:
  c10::DeviceType device_;
  bool previous_enabled_;
  c10::ScalarType previous_dtype_;
};

}  // namespace ferrun::ddp
