// A GPU that is none: the plug-in's table with functions that note what was asked, for ranks that compute on the CPU.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdlib>
#include <memory>

#include "worker/train/device.h"

namespace ferrun::train {

struct StubGpu {
  inline static int pinned = 0;      // pieces of page-locked memory that are held
  inline static int copies = 0;      // that were started
  inline static int under_way = 0;   // of them, those whose end has not come
  inline static bool ready = false;  // what a copy answers when it is asked whether it is done

  class Copy final : public DeviceCopy {
   public:
    explicit Copy(const at::Tensor& host) : copy_(host.clone()) { ++under_way; }
    ~Copy() override { --under_way; }
    bool done() const override { return ready; }
    at::Tensor tensor() override { return copy_; }

   private:
    at::Tensor copy_;
  };

  // As if nothing had been asked yet.
  static ComputeDevice device() {
    pinned = copies = under_way = 0;
    ready = false;
    static const CudaPlugin plugin = table();
    ComputeDevice device;
    device.cuda = &plugin;
    return device;
  }

 private:
  static CudaPlugin table() {
    CudaPlugin plugin{};
    plugin.interface_version = kCudaPluginVersion;
    plugin.synchronize = [] {};
    plugin.allocate_pinned = [](size_t bytes) {
      ++pinned;
      return std::malloc(bytes);
    };
    plugin.release_pinned = [](void* memory) {
      --pinned;
      std::free(memory);
    };
    plugin.start_copy = [](const at::Tensor& host, int) -> std::unique_ptr<DeviceCopy> {
      ++copies;
      return std::make_unique<Copy>(host);
    };
    return plugin;
  }
};

}  // namespace ferrun::train
