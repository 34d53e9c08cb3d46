// A large batch in four small ones: the first three gradients stay on the rank, the fourth travels with their sum.
//
//   ferrun --nproc-per-node=2 gradient_accumulation
#include <ferrun/ddp/distributed_data_parallel.h>
#include <ferrun/ddp/optim.h>
#include <ferrun/ddp/process_group.h>
#include <torch/nn/modules/linear.h>

#include <cstdio>

namespace ddp = ferrun::ddp;

int main() {
  return ddp::run([](const std::shared_ptr<ddp::ProcessGroup>& group) {
    constexpr int kMicroBatches = 4;
    at::manual_seed(static_cast<uint64_t>(group->rank()));
    ddp::DistributedDataParallel<torch::nn::Linear> net(torch::nn::Linear(8, 1), group);
    ddp::Sgd optimizer(net.module()->parameters(), {.lr = 0.1});
    double first = 0, last = 0;
    for (int step = 0; step < 50; ++step) {
      net.zero_grad();
      for (int micro = 0; micro < kMicroBatches; ++micro) {
        const at::Tensor inputs = at::randn({8, 8});
        const auto scope = net.no_sync(micro + 1 < kMicroBatches);  // of forward and backward
        const at::Tensor loss = (net.forward(inputs) - inputs.sum(1, true)).square().mean() / kMicroBatches;
        loss.backward();
        (step == 0 ? first : last) = loss.item<double>();
      }
      optimizer.step();
    }
    std::printf("rank %d of %d: loss %s, weights %.6f\n", group->rank(), group->world_size(),
                last < first / 4 ? "fell" : "did not fall", net.module()->weight.sum().item<double>());
  });
}
