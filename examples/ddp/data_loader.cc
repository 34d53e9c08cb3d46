// Batches by a DataLoader, whose place in an epoch goes into the checkpoint: a run that ends in mid-epoch goes on with
// the next batch, and ends with the weights of one that nothing disturbed.
//
//   STOP_AT_STEP=40 ferrun --nproc-per-node=2 data_loader run.pt
//   ferrun --nproc-per-node=2 data_loader run.pt
#include <ATen/CPUGeneratorImpl.h>
#include <ferrun/ddp/checkpoint.h>
#include <ferrun/ddp/data.h>
#include <ferrun/ddp/distributed_data_parallel.h>
#include <ferrun/ddp/optim.h>
#include <ferrun/ddp/process_group.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>

namespace ddp = ferrun::ddp;
using ferrun::checkpoint::Dict;
using torch::nn::Linear, torch::nn::ReLU, torch::nn::Sequential;

// Points, and whether they lie in a ring. Each is a little elsewhere in every epoch, by numbers of the sample's own:
// they do not depend on the number of threads, and a run that goes on draws the same.
struct Ring {
  int64_t size() const { return 2000; }
  std::pair<at::Tensor, float> get(int64_t index, ddp::SampleRandom& random) const {
    const at::Tensor point = at::randn({2}, at::detail::createCPUGenerator(static_cast<uint64_t>(index)));
    const double radius = point.norm().item<double>();
    const at::Tensor moved = point + at::randn({2}, at::detail::createCPUGenerator(random.next())) * 0.01;
    return {moved, radius > 0.7 && radius < 1.5 ? 1.0f : 0.0f};
  }
};

int main(int argc, char** argv) {
  const std::string file = argc > 1 ? argv[1] : "data_loader.pt";
  const char* const stop = std::getenv("STOP_AT_STEP");
  return ddp::run([&](const std::shared_ptr<ddp::ProcessGroup>& group) {
    at::manual_seed(0);
    ddp::DistributedDataParallel<Sequential> net(Sequential(Linear(2, 32), ReLU(), Linear(32, 1)), group);
    ddp::Adam optimizer(net.module()->parameters(), {.lr = 0.01});
    const ddp::CheckpointParts parts{.module = &*net.module(), .optimizer = &optimizer};

    const Ring ring;
    auto sampler = std::make_shared<ddp::DistributedSampler>(ring.size(), ddp::shard_of(*group),
                                                             ddp::DistributedSamplerOptions{.seed = 7});
    ddp::DataLoader loader(ring, sampler, {.batch_size = 25, .num_workers = 2, .seed = 7});
    int64_t step = 0;
    if (std::filesystem::exists(file)) {
      const ddp::LoadedCheckpoint loaded = ddp::value_or_throw(ddp::load_checkpoint(file, parts));
      ddp::value_or_throw(loader.load_state_dict(*loaded.content.find("loader")));
      step = *loaded.content.find("step")->get<int64_t>();
      std::printf("rank %d of %d: goes on in epoch %ld, %ld batches of it are left\n", group->rank(),
                  group->world_size(), loader.epoch(), loader.size());
    }
    double first = 0, last = 0;
    while (loader.epoch() < 3) {
      for (auto& [points, inside] : loader) {
        net.zero_grad();
        const at::Tensor scores = net.forward(points).squeeze(1);
        const at::Tensor loss = at::binary_cross_entropy_with_logits(scores, inside);
        loss.backward();
        optimizer.step();
        last = loss.item<double>();
        if (first == 0) first = last;
        if (++step != (stop == nullptr ? -1 : std::atoi(stop))) continue;
        if (group->rank() == 0) {
          ddp::value_or_throw(ddp::save_checkpoint(file, parts, Dict{{"loader", loader.state_dict()}, {"step", step}}));
        }
        std::printf("rank %d of %d: stops in epoch %ld\n", group->rank(), group->world_size(), loader.epoch());
        return;
      }
    }
    double weights = 0;
    for (const at::Tensor& parameter : net.module()->parameters()) weights += parameter.sum().item<double>();
    std::printf("rank %d of %d: %ld steps, loss %s, weights %.9f\n", group->rank(), group->world_size(), step,
                last < first ? "fell" : "did not fall", weights);
  });
}
