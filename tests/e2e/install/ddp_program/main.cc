// A training program outside the source tree: ranks with different inputs have to end with the same weights.
#include <ferrun/ddp.h>
#include <torch/nn/modules/linear.h>

#include <cstdio>

int main() {
  using namespace ferrun;
  return ddp::run([](const std::shared_ptr<ddp::ProcessGroup>& group) {
    at::manual_seed(static_cast<uint64_t>(group->rank()));
    ddp::DistributedDataParallel<torch::nn::Linear> net(torch::nn::Linear(4, 1), group);
    ddp::Adam optimizer(net.module()->parameters(), {});
    for (int step = 0; step < 3; ++step) {
      net.zero_grad();
      net.forward(at::randn({8, 4})).square().mean().backward();
      optimizer.step();
    }
    std::printf("weights %.9g\n", net.module()->weight.sum().item<double>());
  });
}
