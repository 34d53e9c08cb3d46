#include "worker/ddp/comm_hooks.h"

#include <ATen/core/grad_mode.h>
#include <ATen/core/ivalue.h>
#include <ATen/core/jit_type.h>

#include <optional>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/comm.hpp>
#include <utility>

namespace ferrun::ddp {
namespace {

using Future = c10::intrusive_ptr<c10::ivalue::Future>;

// Averages in `wire`, or in the gradients' own type.
class AverageHook : public c10d::CommHookInterface {
 public:
  AverageHook(std::shared_ptr<ProcessGroup> group, std::optional<c10::ScalarType> wire)
      : group_(std::move(group)), wire_(wire) {}

  Future runHook(c10d::GradBucket& bucket) override {
    const at::NoGradGuard no_grad;
    at::Tensor buffer = bucket.getBuffer();
    at::Tensor sent = wire_ ? buffer.to(*wire_) : buffer;
    sent.div_(group_->world_size());
    std::vector<at::Tensor> tensors{sent};
    return group_->c10d_group()->allreduce(tensors)->getFuture()->then(
        [buffer, sent](c10::ivalue::Future& done) -> c10::IValue {
          done.value();  // throws what the collective threw
          if (!buffer.is_same(sent)) {
            const at::NoGradGuard plain;
            buffer.copy_(sent);
          }
          return buffer;
        },
        c10::TensorType::get());
  }

  at::Tensor parseHookResult(const c10::IValue& result) override { return result.toTensor(); }

 private:
  std::shared_ptr<ProcessGroup> group_;
  std::optional<c10::ScalarType> wire_;
};

}  // namespace

CommHook fp16_compress_hook(std::shared_ptr<ProcessGroup> group) {
  return std::make_shared<AverageHook>(std::move(group), at::kHalf);
}

CommHook bf16_compress_hook(std::shared_ptr<ProcessGroup> group) {
  return std::make_shared<AverageHook>(std::move(group), at::kBFloat16);
}

CommHook allreduce_hook(std::shared_ptr<ProcessGroup> group) {
  return std::make_shared<AverageHook>(std::move(group), std::nullopt);
}

}  // namespace ferrun::ddp
