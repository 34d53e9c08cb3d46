// A C++ rank of mixed_ranks_test, mixed_rank.py's equal: trains from CHECKPOINT, where there is one, to step LAST.
//
//   mixed_rank CHECKPOINT LAST DIE_AT: rank 1 kills itself before step DIE_AT of the first attempt
#include <ATen/ops/cat.h>
#include <ATen/ops/randn.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include "worker/ddp/adam.h"
#include "worker/ddp/checkpoint.h"
#include "worker/ddp/distributed_data_parallel.h"
#include "worker/ddp/program.h"

namespace ferrun::ddp {
namespace {

using torch::nn::Linear, torch::nn::ReLU, torch::nn::Sequential;

std::string bytes_in_hex(const torch::nn::Module& module) {
  std::vector<at::Tensor> flat;
  for (const at::Tensor& parameter : module.parameters()) flat.push_back(parameter.detach().flatten());
  const at::Tensor all = at::cat(flat);
  std::string text;
  char digits[3];
  const auto* const bytes = static_cast<const uint8_t*>(all.const_data_ptr());
  for (size_t i = 0; i < all.nbytes(); ++i) {
    std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned>(bytes[i]));
    text += digits;
  }
  return text;
}

void train(const std::shared_ptr<ProcessGroup>& group, const std::string& checkpoint, int64_t last, int64_t die_at) {
  std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // a killed rank has said what it said
  at::set_num_threads(1);
  at::manual_seed(static_cast<uint64_t>(group->rank()));
  DdpOptions options;
  options.as_python = true;
  options.bucket_bytes = 25 << 20;
  // In braces, where arguments are evaluated from the left: the first layer takes the first random numbers.
  DistributedDataParallel<Sequential> net(Sequential{Linear(8, 16), ReLU(), Linear(16, 1)}, group, options);
  Adam optimizer(net.module()->parameters(), {.lr = 0.01});
  const CheckpointParts parts{.module = &*net.module(), .optimizer = &optimizer};
  int64_t step = 0;
  if (std::filesystem::exists(checkpoint)) {
    step = *value_or_throw(load_checkpoint(checkpoint, parts)).content.find("step")->get<int64_t>();
    std::printf("rank %d of %d (C++): goes on at step %ld\n", group->rank(), group->world_size(), step);
  }
  const bool first_attempt = std::string_view(std::getenv("TORCHELASTIC_RESTART_COUNT")) == "0";
  while (step < last) {
    if (first_attempt && group->rank() == 1 && step == die_at) std::raise(SIGKILL);
    at::manual_seed(static_cast<uint64_t>(step * 16 + group->rank()));
    const at::Tensor inputs = at::randn({16, 8});
    net.zero_grad();
    (net.forward(inputs) - inputs.sum(1, true)).square().mean().backward();
    optimizer.step();
    ++step;
    if (step % 10 == 0 && group->rank() == 0) {
      value_or_throw(save_checkpoint(checkpoint, parts, {{"step", step}}));
    }
  }
  std::printf("rank %d of %d (C++): ends with %s\n", group->rank(), group->world_size(),
              bytes_in_hex(*net.module()).c_str());
}

}  // namespace
}  // namespace ferrun::ddp

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  return ferrun::ddp::run([&](const std::shared_ptr<ferrun::ddp::ProcessGroup>& group) {
    ferrun::ddp::train(group, argv[1], std::atoll(argv[2]), std::atoll(argv[3]));
  });
}
