// The passes of a step, forward and backward with the reduction of the gradients in it, recorded once as a CUDA graph
// and from then on started by one call, where the host would start each of a thousand operations.
//
// Ownership: its own tensors, which are the places that the recording reads and writes; borrows the plug-in. Thread
// rule: one thread, whose work is on a stream of its own (CudaPlugin::use_own_stream). On all ranks the same calls.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "worker/plugins/cuda_plugin.h"
#include "worker/train/batch_tensors.h"

namespace ferrun::train {

class StepGraph {
 public:
  // What is recorded. Leaves gradients in the parameters and returns the batch's numbers (batch_numbers()); waits for
  // nothing, and depends on nothing of the host that changes. `weight`: one float on the device.
  using Passes = std::function<at::Tensor(const BatchTensors& batch, const at::Tensor& weight)>;

  // cuDNN tries its algorithms in the first steps, and DDP measures them: eleven, as PyTorch says.
  static constexpr int64_t kWarmUp = 11;

  StepGraph(const CudaPlugin& plugin, std::vector<at::Tensor> parameters, Passes passes, int64_t warm_up = kWarmUp);

  // Asked once for each batch of the recording's size; false for the first ones, which are computed as any other.
  bool is_warm() { return warm_up_ == 0 || warm_up_-- == 0; }
  bool recorded() const { return graph_ != nullptr; }

  // The passes of `batch`, which all have one size; the parameters have its gradients then. Returns the numbers, whose
  // place the next run uses again. The first run records. Throws c10::Error; where nothing was recorded then, nothing
  // was computed either.
  const at::Tensor& run(const BatchTensors& batch, double weight);

 private:
  void make_places(const BatchTensors& batch);
  void record();

  const CudaPlugin& plugin_;
  std::vector<at::Tensor> parameters_;
  Passes passes_;
  int64_t warm_up_;
  BatchTensors batch_;
  at::Tensor weight_, numbers_;
  std::unique_ptr<DeviceGraph> graph_;
  std::vector<at::Tensor> gradients_;  // of the parameters
};

}  // namespace ferrun::train
