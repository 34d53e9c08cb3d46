// A run that may be stopped or killed at any time and goes on from its last checkpoint, with any number of ranks: each
// sample of an epoch is trained on once, whatever happens in between.
//
//   DIE_AT_STEP=60 ferrun --nproc-per-node=2 elastic_resume checkpoints     # rank 1 is killed there,
//   STOP_AT_STEP=5 ferrun --nproc-per-node=3 elastic_resume checkpoints     # three ranks go on, and are asked to stop,
//   ferrun --nproc-per-node=2 elastic_resume checkpoints                    # and two end it
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randperm.h>
#include <ATen/ops/zeros.h>
#include <ferrun/client.h>
#include <ferrun/ddp/checkpoint.h>
#include <ferrun/ddp/distributed_data_parallel.h>
#include <ferrun/ddp/optim.h>
#include <ferrun/ddp/process_group.h>
#include <torch/nn/modules/linear.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace ddp = ferrun::ddp;
using ferrun::checkpoint::Dict;

namespace {

bool is_to(const char* what, int step) {
  const char* const at_step = std::getenv(what);
  return at_step != nullptr && std::atoi(at_step) == step;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string folder = argc > 1 ? argv[1] : "checkpoints";
  return ddp::run([&](const std::shared_ptr<ddp::ProcessGroup>& group) {
    ferrun::client::note_stop_signals();
    constexpr int64_t kSamples = 1000, kEpochs = 2, kBatch = 8;
    at::manual_seed(0);
    const at::Tensor data = at::randn({kSamples, 8});
    at::Tensor seen = at::zeros({kEpochs, kSamples}, at::kLong);
    ddp::DistributedDataParallel<torch::nn::Linear> net(torch::nn::Linear(8, 1), group);
    ddp::Adam optimizer(net.module()->parameters(), {.lr = 0.02});
    ddp::SamplerState at;
    const ddp::CheckpointParts parts{.module = &*net.module(), .optimizer = &optimizer, .sampler = &at};
    ddp::CheckpointSaver saver(folder, {.keep_last = 2});
    if (const auto path = ddp::resume_path(*group, folder)) {
      const ddp::LoadedCheckpoint loaded = ddp::value_or_throw(ddp::load_checkpoint(*path, parts));
      seen.copy_(*loaded.content.find("seen")->get<at::Tensor>());
      std::printf("rank %d of %d: goes on at sample %ld of epoch %ld\n", group->rank(), group->world_size(), at.samples,
                  at.epoch);
    }
    for (int step = 0; at.epoch < kEpochs; ++at.epoch, at.samples = 0) {
      auto generator = at::detail::createCPUGenerator(static_cast<uint64_t>(at.epoch));
      const at::Tensor order = at::randperm(kSamples, generator, at::kLong);
      for (; at.samples < kSamples; ++step) {
        if (is_to("DIE_AT_STEP", step) && group->rank() == 1) std::raise(SIGKILL);
        if (is_to("STOP_AT_STEP", step) && group->rank() == 1) std::raise(SIGTERM);  // a scheduler would do it
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
        const bool leave = ddp::save_now(*group);
        if (group->rank() == 0 && (leave || (step + 1) % 25 == 0)) {
          ddp::value_or_throw(saver.save(at.epoch * kSamples + at.samples, parts, Dict{{"seen", seen}}));
        }
        if (!leave) continue;
        ddp::value_or_throw(saver.finish());
        std::printf("rank %d of %d: stops at sample %ld of epoch %ld\n", group->rank(), group->world_size(), at.samples,
                    at.epoch);
        return;
      }
    }
    ddp::value_or_throw(saver.finish());
    std::printf("rank %d of %d: every sample %s, weights %.6f\n", group->rank(), group->world_size(),
                seen.eq(1).all().item<bool>() ? "once" : "not once", net.module()->weight.sum().item<double>());
  });
}
