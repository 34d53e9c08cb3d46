// A GPU that is none: the plug-in's table with functions that note what was asked, for ranks that compute on the CPU.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <cstdlib>
#include <functional>
#include <limits>
#include <memory>
#include <vector>

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

  inline static int own_streams = 0;
  inline static int recordings = 0;
  inline static int replays = 0;
  inline static bool records = true;            // else a recording fails, as where an operation cannot be recorded
  inline static std::vector<at::Tensor> model;  // parameters, whose gradients a recording writes

  // Does all operations anew, and puts what they leave where the recording left it. A recording gives no number on a
  // GPU, where it is not done: here its gradients are hidden until the first replay.
  class Graph final : public DeviceGraph {
   public:
    explicit Graph(const std::function<void()>& work) : work_(work) {
      work_();
      for (const at::Tensor& parameter : model) {
        places_.push_back(parameter.grad());
        hidden_.push_back(parameter.grad().clone());
        parameter.grad().fill_(std::numeric_limits<float>::quiet_NaN());
      }
    }
    void replay() override {
      if (replays++ > 0) {
        hidden_.clear();
        for (at::Tensor& parameter : model) parameter.mutable_grad().reset();
        work_();
        for (const at::Tensor& parameter : model) hidden_.push_back(parameter.grad());
      }
      for (size_t i = 0; i < places_.size(); ++i) places_[i].copy_(hidden_[i]);
    }

   private:
    std::function<void()> work_;
    std::vector<at::Tensor> places_, hidden_;
  };

  // As if nothing had been asked yet.
  static ComputeDevice device() {
    pinned = copies = under_way = own_streams = recordings = replays = 0;
    ready = false;
    records = true;
    model.clear();
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
    plugin.use_own_stream = [](int) { ++own_streams; };
    plugin.record_graph = [](const std::function<void()>& work) -> std::unique_ptr<DeviceGraph> {
      TORCH_CHECK(records, "operation not permitted when stream is capturing\nby the stub");
      ++recordings;
      return std::make_unique<Graph>(work);
    };
    return plugin;
  }
};

}  // namespace ferrun::train
