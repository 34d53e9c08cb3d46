// A communication hook of one's own: gradients travel as bfloat16, and what the rounding took is added to the next
// step's gradient, so that nothing is lost for good (error feedback).
//
//   ferrun --nproc-per-node=2 custom_comm_hook
#include <ATen/core/grad_mode.h>
#include <ferrun/ddp/distributed_data_parallel.h>
#include <ferrun/ddp/optim.h>
#include <ferrun/ddp/process_group.h>
#include <torch/nn/modules/linear.h>

#include <cstdio>
#include <map>
#include <torch/csrc/distributed/c10d/comm.hpp>

namespace ddp = ferrun::ddp;
using Future = c10::intrusive_ptr<c10::ivalue::Future>;

class ErrorFeedback : public c10d::CommHookInterface {
 public:
  explicit ErrorFeedback(std::shared_ptr<ddp::ProcessGroup> group) : group_(std::move(group)) {}

  // For each bucket, as soon as its gradients are there.
  Future runHook(c10d::GradBucket& bucket) override {
    const at::NoGradGuard no_grad;
    at::Tensor wanted = bucket.getBuffer() / group_->world_size();
    at::Tensor& rest = rests_[bucket.getIndex()];
    if (rest.defined()) wanted += rest;
    std::vector<at::Tensor> sent{wanted.to(at::kBFloat16)};
    rest = wanted - sent[0].to(wanted.scalar_type());
    return group_->c10d_group()->allreduce(sent)->getFuture();
  }
  // What takes the bucket's place.
  at::Tensor parseHookResult(const c10::IValue& result) override { return result.toTensorVector()[0].to(at::kFloat); }

 private:
  std::shared_ptr<ddp::ProcessGroup> group_;
  std::map<size_t, at::Tensor> rests_;
};

int main() {
  return ddp::run([](const std::shared_ptr<ddp::ProcessGroup>& group) {
    at::manual_seed(static_cast<uint64_t>(group->rank()));
    ddp::DistributedDataParallel<torch::nn::Linear> net(torch::nn::Linear(8, 1), group);
    net.register_comm_hook(std::make_shared<ErrorFeedback>(group));
    ddp::Sgd optimizer(net.module()->parameters(), {.lr = 0.1});
    double first = 0, last = 0;
    for (int step = 0; step < 100; ++step) {
      const at::Tensor inputs = at::randn({32, 8});
      net.zero_grad();
      const at::Tensor loss = (net.forward(inputs) - inputs.sum(1, true)).square().mean();
      loss.backward();
      optimizer.step();
      (step == 0 ? first : last) = loss.item<double>();
    }
    std::printf("rank %d of %d: loss %s, weights %.6f\n", group->rank(), group->world_size(),
                last < first / 4 ? "fell" : "did not fall", net.module()->weight.sum().item<double>());
  });
}
