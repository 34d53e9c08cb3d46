#include "worker/ddp/random_state.h"

#include <ATen/CPUGeneratorImpl.h>

#include <mutex>

namespace ferrun::ddp {

at::Tensor random_state() { return random_state(at::detail::getDefaultCPUGenerator()); }

at::Tensor random_state(at::Generator generator) {
  const std::lock_guard lock(generator.mutex());
  return generator.get_state();
}

Status set_random_state(const at::Tensor& state) {
  return set_random_state(state, at::detail::getDefaultCPUGenerator());
}

Status set_random_state(const at::Tensor& state, at::Generator generator) {
  const std::lock_guard lock(generator.mutex());
  try {
    generator.set_state(state);
  } catch (const c10::Error&) {
    return Error{ErrorKind::kUser, "its random state does not fit this LibTorch"};
  }
  return ok_status();
}

}  // namespace ferrun::ddp
