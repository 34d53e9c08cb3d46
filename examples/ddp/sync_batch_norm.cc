// BatchNorm over all ranks' batches together: with four samples a rank, its own statistics would be coarse.
//
//   ferrun --nproc-per-node=2 sync_batch_norm
#include <ferrun/ddp/distributed_data_parallel.h>
#include <ferrun/ddp/optim.h>
#include <ferrun/ddp/process_group.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/linear.h>

#include <cstdio>

namespace ddp = ferrun::ddp;
using torch::nn::BatchNorm1d, torch::nn::Linear, torch::nn::ReLU, torch::nn::Sequential;

int main() {
  return ddp::run([](const std::shared_ptr<ddp::ProcessGroup>& group) {
    at::manual_seed(static_cast<uint64_t>(group->rank()));
    const Sequential plain(Linear(8, 16), BatchNorm1d(16), ReLU(), Linear(16, 1));
    ddp::DdpOptions options;
    options.broadcast_buffers = false;  // the statistics are everybody's
    ddp::DistributedDataParallel<Sequential> net(ddp::convert_sync_batchnorm(plain, group), group, options);
    ddp::Adam optimizer(net.module()->parameters(), {.lr = 0.02});
    double first = 0, last = 0;
    for (int step = 0; step < 200; ++step) {
      const at::Tensor inputs = at::randn({4, 8});
      net.zero_grad();
      const at::Tensor loss = (net.forward(inputs) - inputs.sum(1, true)).square().mean();
      loss.backward();
      optimizer.step();
      if (step < 10) first += loss.item<double>();
      if (step >= 190) last += loss.item<double>();
    }
    double statistics = 0;
    for (const at::Tensor& buffer : net.module()->buffers()) statistics += buffer.sum().item<double>();
    std::printf("rank %d of %d: loss %s, statistics %.6f\n", group->rank(), group->world_size(),
                last < first / 4 ? "fell" : "did not fall", statistics);
  });
}
