// BatchNorm over the batches of all ranks together: torch.nn.SyncBatchNorm for LibTorch, on GPUs and on the CPU.
//
//   SyncBatchNorm norm(64, group);                                     // in the place of BatchNorm1d, 2d or 3d
//   auto net = convert_sync_batchnorm(torch::nn::Sequential(…), group);
//
// Its state_dict is BatchNorm's. In training each forward is an all-gather of two numbers a channel and each backward
// an all-reduce of as many: every rank must call both, as often and in the same order. The batches may differ in size.
// In evaluation, and in a world of one, it is BatchNorm. Thread rule: the network's.
#pragma once

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/pimpl.h>

#include <memory>

#include "worker/ddp/process_group.h"

namespace ferrun::ddp {

class SyncBatchNormImpl : public torch::nn::NormImplBase<1, SyncBatchNormImpl, torch::nn::BatchNormOptions> {
 public:
  SyncBatchNormImpl(const torch::nn::BatchNormOptions& of_norm, std::shared_ptr<ProcessGroup> group)
      : NormImplBase(of_norm), group_(std::move(group)) {}

  // [samples, channels, …] → the same shape and type. Throws what c10d throws.
  at::Tensor forward(const at::Tensor& input);
  void pretty_print(std::ostream& stream) const override {
    stream << "SyncBatchNorm(" << options.num_features() << ")";
  }

 private:
  void _check_input_dim(const at::Tensor& input) override;
  double average_factor();

  std::shared_ptr<ProcessGroup> group_;
};
TORCH_MODULE(SyncBatchNorm);

// The same network with a SyncBatchNorm for each BatchNorm1d, 2d and 3d, sharing the memory of all parameters and
// buffers with the old one, which is not used afterwards: before DDP and optimizer. A BatchNorm within one of its
// modules, whose forward calls it by its type, cannot be exchanged from outside: std::invalid_argument names it, and
// that module needs a SyncBatchNorm member.
torch::nn::Sequential convert_sync_batchnorm(const torch::nn::Sequential& network,
                                             const std::shared_ptr<ProcessGroup>& group);

}  // namespace ferrun::ddp
