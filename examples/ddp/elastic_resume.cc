// A run that may be killed at any time and goes on from its last checkpoint, with any number of ranks: each sample of
// an epoch is trained on once, whatever happens in between.
//
//   DIE_AT_STEP=60 ferrun --nproc-per-node=2 elastic_resume last.pt     # rank 1 is killed there
//   ferrun --nproc-per-node=3 elastic_resume last.pt                    # and three ranks go on
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randperm.h>
#include <ATen/ops/zeros.h>
#include <ferrun/ddp/checkpoint.h>
#include <ferrun/ddp/distributed_data_parallel.h>
#include <ferrun/ddp/optim.h>
#include <ferrun/ddp/process_group.h>
#include <torch/nn/modules/linear.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>

namespace ddp = ferrun::ddp;
using ferrun::checkpoint::Dict;

int main(int argc, char** argv) {
  const std::string path = argc > 1 ? argv[1] : "elastic_resume.pt";
  const char* const die = std::getenv("DIE_AT_STEP");
  return ddp::run([&](const std::shared_ptr<ddp::ProcessGroup>& group) {
    constexpr int64_t kSamples = 1000, kEpochs = 2, kBatch = 8;
    at::manual_seed(0);
    const at::Tensor data = at::randn({kSamples, 8});
    at::Tensor seen = at::zeros({kEpochs, kSamples}, at::kLong);
    ddp::DistributedDataParallel<torch::nn::Linear> net(torch::nn::Linear(8, 1), group);
    ddp::Adam optimizer(net.module()->parameters(), {.lr = 0.02});
    ddp::SamplerState at;
    const ddp::CheckpointParts parts{.module = &*net.module(), .optimizer = &optimizer, .sampler = &at};
    if (std::filesystem::exists(path)) {
      const ddp::LoadedCheckpoint loaded = ddp::value_or_throw(ddp::load_checkpoint(path, parts));
      seen.copy_(*loaded.content.find("seen")->get<at::Tensor>());
      std::printf("rank %d of %d: goes on at sample %ld of epoch %ld\n", group->rank(), group->world_size(), at.samples,
                  at.epoch);
    }
    for (int step = 0; at.epoch < kEpochs; ++at.epoch, at.samples = 0) {
      auto generator = at::detail::createCPUGenerator(static_cast<uint64_t>(at.epoch));
      const at::Tensor order = at::randperm(kSamples, generator, at::kLong);
      for (; at.samples < kSamples; ++step) {
        if (die != nullptr && step == std::atoi(die) && group->rank() == 1) std::raise(SIGKILL);
        // The next samples, shared by the ranks that there are now; the epoch's last step may be a short one.
        const int64_t count = std::min(kBatch * group->world_size(), kSamples - at.samples);
        const auto share = [&](int64_t rank) { return at.samples + count * rank / group->world_size(); };
        const at::Tensor own = order.slice(0, share(group->rank()), share(group->rank() + 1));
        const at::Tensor inputs = data.index_select(0, own);
        net.zero_grad();
        // A sum: the shares may differ by a sample, and DDP divides by the number of ranks.
        const at::Tensor loss = (net.forward(inputs) - inputs.sum(1, true)).square().sum();
        (loss * (double(group->world_size()) / double(count))).backward();
        optimizer.step();
        const at::Tensor everyones = order.slice(0, at.samples, at.samples + count);
        seen.select(0, at.epoch).index_add_(0, everyones, at::ones({count}, at::kLong));
        at.samples += count;
        if (group->rank() != 0 || (step + 1) % 25 != 0) continue;
        if (const auto saved = ddp::save_checkpoint(path, parts, Dict{{"seen", seen}}); !saved) {
          throw std::runtime_error(saved.error().message);
        }
      }
    }
    std::printf("rank %d of %d: every sample %s, weights %.6f\n", group->rank(), group->world_size(),
                seen.eq(1).all().item<bool>() ? "once" : "not once", net.module()->weight.sum().item<double>());
  });
}
