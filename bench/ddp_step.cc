// One rank of ddp_bench.py: the time of a step, ddp_step.py's in C++.
//
//   ferrun --nproc-per-node=2 ddp_step small|large plain|ddp|flat STEPS
//
// plain: no gradients travel; ddp: DistributedDataParallel; flat: one all-reduce of all gradients after the backward
// pass.
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>

#include "worker/ddp/collectives.h"
#include "worker/ddp/distributed_data_parallel.h"
#include "worker/ddp/program.h"
#include "worker/ddp/sgd.h"

namespace ferrun::ddp {
namespace {

using torch::nn::Linear, torch::nn::Sequential;

// small: 500 parameters, 144 kB; large: 12 parameters, 100 MB.
Sequential network(bool large) {
  Sequential layers;
  for (int i = 0; i < (large ? 6 : 250); ++i) layers->push_back(large ? Linear(2048, 2048) : Linear(8, 8));
  return layers;
}

void average_flat(ProcessGroup& group, const std::vector<at::Tensor>& parameters) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> gradients;
  for (const at::Tensor& parameter : parameters) gradients.push_back(parameter.grad().flatten());
  at::Tensor all = at::cat(gradients);
  all_reduce(group, all, ReduceOp::kAverage);
  int64_t begin = 0;
  for (const at::Tensor& parameter : parameters) {
    parameter.grad().copy_(all.narrow(0, begin, parameter.numel()).view_as(parameter));
    begin += parameter.numel();
  }
}

double median_step(const std::shared_ptr<ProcessGroup>& group, bool large, const std::string& mode, int steps) {
  at::set_num_threads(1);
  Sequential module = network(large);
  const std::vector<at::Tensor> parameters = module->parameters();
  std::optional<DistributedDataParallel<Sequential>> net;
  if (mode == "ddp") net.emplace(module, group);
  Sgd optimizer(parameters, {.lr = 1e-3});
  const at::Tensor inputs = at::randn({16, large ? 2048 : 8});
  std::vector<double> times;
  for (int step = 0; step < steps + 3; ++step) {
    group->barrier();
    const auto begin = std::chrono::steady_clock::now();
    for (const at::Tensor& parameter : parameters) parameter.mutable_grad().reset();
    (net ? net->forward(inputs) : module->forward(inputs)).square().mean().backward();
    if (mode == "flat") average_flat(*group, parameters);
    optimizer.step();
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
    if (step >= 3) times.push_back(took.count());
  }
  std::nth_element(times.begin(), times.begin() + steps / 2, times.end());
  return times[static_cast<size_t>(steps / 2)];
}

}  // namespace
}  // namespace ferrun::ddp

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  return ferrun::ddp::run([&](const std::shared_ptr<ferrun::ddp::ProcessGroup>& group) {
    const double time = ferrun::ddp::median_step(group, std::string(argv[1]) == "large", argv[2], std::atoi(argv[3]));
    if (group->rank() == 0) std::printf("step_ms %.4f\n", time);
  });
}
