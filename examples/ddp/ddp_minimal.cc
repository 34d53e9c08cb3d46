// The least that trains on several ranks: a small regression, each rank on data of its own.
//
//   ferrun --nproc-per-node=2 ddp_minimal
#include <ferrun/ddp/distributed_data_parallel.h>
#include <ferrun/ddp/optim.h>
#include <ferrun/ddp/process_group.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>

#include <cstdio>

namespace ddp = ferrun::ddp;
using torch::nn::Linear, torch::nn::ReLU, torch::nn::Sequential;

int main() {
  return ddp::run([](const std::shared_ptr<ddp::ProcessGroup>& group) {
    at::manual_seed(static_cast<uint64_t>(group->rank()));
    ddp::DistributedDataParallel<Sequential> net(Sequential(Linear(8, 16), ReLU(), Linear(16, 1)), group);
    ddp::Adam optimizer(net.module()->parameters(), {.lr = 0.01});
    double first = 0, last = 0;
    for (int step = 0; step < 100; ++step) {
      const at::Tensor inputs = at::randn({32, 8});
      net.zero_grad();
      const at::Tensor loss = (net.forward(inputs) - inputs.sum(1, true)).square().mean();
      loss.backward();
      optimizer.step();
      (step == 0 ? first : last) = loss.item<double>();
    }
    double weights = 0;
    for (const at::Tensor& parameter : net.module()->parameters()) weights += parameter.sum().item<double>();
    std::printf("rank %d of %d: loss %s, weights %.6f\n", group->rank(), group->world_size(),
                last < first / 4 ? "fell" : "did not fall", weights);
  });
}
