#include <ferrun/ddp.h>
#include <torch/nn/modules/linear.h>

#include <cstdio>

namespace ddp = ferrun::ddp;

struct NetImpl : torch::nn::Module {
  NetImpl() {
    hidden = register_module("hidden", torch::nn::Linear(8, 16));
    last = register_module("last", torch::nn::Linear(16, 1));
  }
  at::Tensor forward(const at::Tensor& x) { return last(torch::relu(hidden(x))); }
  torch::nn::Linear hidden{nullptr}, last{nullptr};
};
TORCH_MODULE(Net);

int main() {
  return ddp::run([](const std::shared_ptr<ddp::ProcessGroup>& group) {
    at::manual_seed(static_cast<uint64_t>(group->rank()));  // each rank draws inputs of its own
    ddp::DistributedDataParallel<Net> net(Net(), group);
    ddp::Adam optimizer(net.module()->parameters(), {.lr = 0.01});
    for (int step = 0; step < 100; ++step) {
      const at::Tensor x = torch::randn({32, 8}), y = x.sum(1, true);
      net.zero_grad();
      (net.forward(x) - y).square().mean().backward();
      optimizer.step();
    }
    std::printf("rank %d of %d: weights %.9g\n", group->rank(), group->world_size(),
                net.module()->hidden->weight.sum().item<double>());
  });
}
