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

ferrun::CudaPlugin make_stand_in() {
  ferrun::CudaPlugin plugin{};
  plugin.interface_version = ferrun::kCudaPluginVersion;
  plugin.device_count = device_count;
  plugin.why_no_device = why_no_device;
  plugin.use_device = [](int, const ferrun::GpuArithmetic&) {};
  plugin.describe = [](int) { return std::string("stand-in"); };
  plugin.has_bfloat16 = [](int) { return false; };
  plugin.synchronize = [] {};
  return plugin;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) const ferrun::CudaPlugin* ferrun_cuda_plugin() {
  static const ferrun::CudaPlugin plugin = make_stand_in();
  return &plugin;
}
