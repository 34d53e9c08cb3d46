// Plays the CUDA plug-in for tests: a machine with STAND_IN_GPUS GPUs, of which none ever computes.
#include <cstdlib>
#include <string>

#include "worker/plugins/cuda_plugin.h"

namespace {

int device_count() {
  const char* const number = std::getenv("STAND_IN_GPUS");
  return number == nullptr ? 0 : std::atoi(number);
}
std::string why_no_device() { return "the driver is too old"; }

constexpr ferrun::CudaPlugin kStandIn{
    ferrun::kCudaPluginVersion, device_count, why_no_device, [](int) {}, nullptr, [] {}};

}  // namespace

extern "C" __attribute__((visibility("default"))) const ferrun::CudaPlugin* ferrun_cuda_plugin() { return &kStandIn; }
