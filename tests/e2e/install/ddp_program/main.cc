// A training program outside the source tree: ranks with different inputs have to end with the same weights.
#include <ferrun/ddp.h>
#include <torch/nn/modules/linear.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

int main() {
  using namespace ferrun;
  const auto address = ddp::group_address_from(Environment::from_block(environ)).value();
  auto group = ddp::ProcessGroup::create(address, {}).value();
  {
    at::manual_seed(static_cast<uint64_t>(group->rank()));
    ddp::DistributedDataParallel<torch::nn::Linear> net(torch::nn::Linear(4, 1), group);
    ddp::Adam optimizer(net.module()->parameters(), {});
    for (int step = 0; step < 3; ++step) {
      net.zero_grad();
      net.forward(at::randn({8, 4})).square().mean().backward();
      optimizer.step();
    }
    std::printf("weights %.9g\n", net.module()->weight.sum().item<double>());
  }
  group->shut_down();
}
