// One job of C++ and Python ranks, which train one network: this is a C++ rank, mixed_python_cpp.py a Python one, and
// mixed_python_cpp.sh decides which a worker is.
//
//   ferrun --nproc-per-node=2 ./mixed_python_cpp.sh
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ferrun/ddp/collectives.h>
#include <ferrun/ddp/distributed_data_parallel.h>
#include <ferrun/ddp/optim.h>
#include <ferrun/ddp/process_group.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/linear.h>

#include <cstdio>
#include <stdexcept>

namespace ddp = ferrun::ddp;
using torch::nn::Linear, torch::nn::ReLU, torch::nn::Sequential;

int main() {
  return ddp::run([](const std::shared_ptr<ddp::ProcessGroup>& group) {
    at::manual_seed(static_cast<uint64_t>(group->rank()));
    bool equal = true;
    ddp::DdpOptions options;
    options.as_python = true;  // the buckets are Python's
    options.bucket_bytes = 25 << 20;
    ddp::DistributedDataParallel<Sequential> net(Sequential(Linear(8, 16), ReLU(), Linear(16, 1)), group, options);
    ddp::Sgd optimizer(net.module()->parameters(), {.lr = 0.05});
    for (int step = 0; step < 50; ++step) {
      const at::Tensor inputs = at::randn({16, 8});
      net.zero_grad();
      (net.forward(inputs) - inputs.sum(1, true)).square().mean().backward();
      optimizer.step();
    }
    std::vector<at::Tensor> flat;
    for (const at::Tensor& parameter : net.module()->parameters()) flat.push_back(parameter.detach().flatten());
    const at::Tensor weights = at::cat(flat);
    for (const at::Tensor& other : ddp::all_gather(*group, weights)) equal = equal && other.equal(weights);
    // Sub-groups meet too; this one has all ranks.
    const auto everyone = ddp::value_or_throw(group->new_group({0, 1}));
    at::Tensor largest = at::full({1}, static_cast<double>(group->rank()), at::kDouble);
    ddp::all_reduce(*everyone, largest, ddp::ReduceOp::kMax);
    equal = equal && largest.item<double>() == 1;
    everyone->shut_down();
    std::printf("rank %d of %d (C++): %s weights\n", group->rank(), group->world_size(), equal ? "equal" : "other");
    if (!equal) throw std::runtime_error("the ranks' weights differ");
  });
}
