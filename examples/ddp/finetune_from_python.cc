// Weights that Python trained, in a network with another head, of which the head alone is trained; Python reads what
// comes out. finetune_from_python.py is the other side.
//
//   python3 finetune_from_python.py make body.pt
//   ferrun --nproc-per-node=2 finetune_from_python body.pt tuned.pt
//   python3 finetune_from_python.py check tuned.pt
#include <ferrun/ddp/checkpoint.h>
#include <ferrun/ddp/distributed_data_parallel.h>
#include <ferrun/ddp/optim.h>
#include <ferrun/ddp/process_group.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/linear.h>

#include <cstdio>
#include <stdexcept>

namespace ddp = ferrun::ddp;
using torch::nn::Linear, torch::nn::ReLU, torch::nn::Sequential;

// The names are those of Python's module, but for the head's.
struct TunedImpl : torch::nn::Module {
  TunedImpl() {
    body = register_module("body", Sequential(Linear(8, 32), ReLU()));
    regression = register_module("regression", Linear(32, 1));
  }
  at::Tensor forward(const at::Tensor& inputs) { return regression(body->forward(inputs)); }
  Sequential body{nullptr};
  Linear regression{nullptr};
};
TORCH_MODULE(Tuned);

std::string list(const std::vector<std::string>& names) {
  std::string all;
  for (const std::string& name : names) all += " " + name;
  return all;
}

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: finetune_from_python BODY TUNED\n");
    return 2;
  }
  return ddp::run([&](const std::shared_ptr<ddp::ProcessGroup>& group) {
    at::manual_seed(static_cast<uint64_t>(group->rank()));
    Tuned tuned;
    const ddp::LoadedCheckpoint loaded =
        ddp::value_or_throw(ddp::load_checkpoint(argv[1], {.module = &*tuned}, {.strict = false}));
    std::printf("rank %d of %d: missing%s, unexpected%s\n", group->rank(), group->world_size(),
                list(loaded.missing).c_str(), list(loaded.unexpected).c_str());
    for (at::Tensor& parameter : tuned->body->parameters()) parameter.requires_grad_(false);
    ddp::DistributedDataParallel<Tuned> net(tuned, group);
    ddp::Adam optimizer(tuned->regression->parameters(), {.lr = 0.02});
    double first = 0, last = 0;
    for (int step = 0; step < 200; ++step) {
      const at::Tensor inputs = at::randn({32, 8});
      net.zero_grad();
      const at::Tensor loss = (net.forward(inputs) - inputs.sum(1, true)).square().mean();
      loss.backward();
      optimizer.step();
      (step == 0 ? first : last) = loss.item<double>();
    }
    std::printf("rank %d of %d: loss %s, weights %.6f\n", group->rank(), group->world_size(),
                last < first / 4 ? "fell" : "did not fall", tuned->regression->weight.sum().item<double>());
    if (group->rank() != 0) return;
    if (const auto saved = ddp::save_checkpoint(argv[2], {.module = &*tuned, .optimizer = &optimizer}); !saved) {
      throw std::runtime_error(saved.error().message);
    }
  });
}
