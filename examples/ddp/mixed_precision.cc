// Forward passes in bfloat16, weights in float32, and a scaler that keeps small gradients from vanishing. (bfloat16 has
// float32's range and needs no scaler; float16 on a GPU does, and the loop is the same.)
//
//   ferrun --nproc-per-node=2 mixed_precision
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
    ddp::DistributedDataParallel<Sequential> net(Sequential(Linear(8, 32), ReLU(), Linear(32, 1)), group);
    const std::vector<at::Tensor> parameters = net.module()->parameters();
    ddp::Adam optimizer(parameters, {.lr = 0.01});
    ddp::GradScaler scaler(at::kCPU, {.init_scale = 1024.0});
    double first = 0, last = 0;
    for (int step = 0; step < 100; ++step) {
      const at::Tensor inputs = at::randn({32, 8});
      net.zero_grad();
      at::Tensor loss;
      {
        const ddp::AutocastGuard autocast(at::kCPU, at::kBFloat16);
        loss = (net.forward(inputs).to(at::kFloat) - inputs.sum(1, true)).square().mean();
      }
      scaler.scale(loss).backward();
      scaler.unscale(parameters);
      ddp::clip_grad_norm(parameters, 10.0);
      scaler.step(optimizer);
      scaler.update();
      (step == 0 ? first : last) = loss.item<double>();
    }
    double weights = 0;
    for (const at::Tensor& parameter : parameters) weights += parameter.sum().item<double>();
    std::printf("rank %d of %d: loss %s, weights %.6f\n", group->rank(), group->world_size(),
                last < first / 4 ? "fell" : "did not fall", weights);
  });
}
