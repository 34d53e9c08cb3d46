// Ranks with unequal numbers of batches: who is done takes part in the others' steps until all are.
//
//   ferrun --nproc-per-node=2 uneven_inputs
#include <ferrun/ddp/distributed_data_parallel.h>
#include <ferrun/ddp/optim.h>
#include <ferrun/ddp/process_group.h>
#include <torch/nn/modules/linear.h>

#include <cstdio>

namespace ddp = ferrun::ddp;

int main() {
  return ddp::run([](const std::shared_ptr<ddp::ProcessGroup>& group) {
    at::manual_seed(static_cast<uint64_t>(group->rank()));
    ddp::DistributedDataParallel<torch::nn::Linear> net(torch::nn::Linear(8, 1), group);
    ddp::Sgd optimizer(net.module()->parameters(), {.lr = 0.1});
    const int batches = 40 + 20 * group->rank();
    double first = 0, last = 0;
    ddp::Join join = net.join({.divide_by_initial_world_size = false});
    for (int batch = 0; batch < batches; ++batch) {
      const at::Tensor inputs = at::randn({32, 8});
      net.zero_grad();
      const at::Tensor loss = (net.forward(inputs) - inputs.sum(1, true)).square().mean();
      loss.backward();
      optimizer.step();
      (batch == 0 ? first : last) = loss.item<double>();
    }
    join.finish();
    std::printf("rank %d of %d: %d batches, loss %s, weights %.6f\n", group->rank(), group->world_size(), batches,
                last < first / 4 ? "fell" : "did not fall", net.module()->weight.sum().item<double>());
  });
}
