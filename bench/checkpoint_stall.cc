// How long a save keeps a training loop waiting, in save() and in the next step: CheckpointSaver against a save that
// returns when the file is in place. checkpoint_stall [MEGABYTES [SAVES]]: the parts are a network of so many bytes and
// Adam's two moments of each weight. The first save of each kind, which makes the memory and the folder, is shown
// apart.
#include <ATen/Parallel.h>
#include <ATen/ops/ones.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "worker/ddp/adam.h"
#include "worker/ddp/checkpoint_saver.h"

namespace {

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

struct Times {
  double first = 0;
  std::vector<double> later;
  double median() {
    std::ranges::sort(later);
    return later[later.size() / 2];
  }
};

}  // namespace

int main(int argc, char** argv) {
  namespace ddp = ferrun::ddp;
  const int64_t megabytes = argc > 1 ? std::atoi(argv[1]) : 100, saves = argc > 2 ? std::atoi(argv[2]) : 5;
  at::set_num_threads(1);
  constexpr int64_t kBatch = 256;
  constexpr int64_t kWidth = 1024;  // 4 MB a layer
  torch::nn::Sequential net;
  for (int64_t made = 0; made < megabytes; made += 4) net->push_back(torch::nn::Linear(kWidth, kWidth));
  ddp::Adam optimizer(net->parameters(), {.lr = 1e-6});
  const auto gradients = [&] {
    optimizer.zero_grad();
    net->forward(at::ones({kBatch, kWidth})).sum().backward();
  };
  const auto step = [&] {
    gradients();
    optimizer.step();
  };
  step();
  const ddp::CheckpointParts parts{.module = &*net, .optimizer = &optimizer};
  const std::string folder = "checkpoint_stall.folder";
  Times synchronous, asynchronous;
  {
    ddp::CheckpointSaver at_once(folder, {.keep_last = 1, .asynchronous = false}), later(folder, {.keep_last = 1});
    for (int64_t i = 0; i <= saves; ++i) {
      for (const bool waits : {true, false}) {
        step();
        auto begin = Clock::now();
        const ferrun::Status saved = (waits ? at_once : later).save(waits ? 1 : 2, parts);
        double ms = ms_since(begin);
        // The next step, but for its waiting for the copy.
        gradients();
        begin = Clock::now();
        later.wait_for_snapshot();
        ms += ms_since(begin);
        optimizer.step();
        if (!saved || !later.finish()) return 1;
        Times& times = waits ? synchronous : asynchronous;
        i == 0 ? void(times.first = ms) : times.later.push_back(ms);
      }
    }
  }
  const uintmax_t bytes = std::filesystem::file_size(*ddp::latest_checkpoint(folder));
  std::filesystem::remove_all(folder);
  const double wait = asynchronous.median(), save = synchronous.median();
  std::printf("%.0f MB in the file, medians of %ld saves\n", static_cast<double>(bytes) / 1e6, saves);
  std::printf("  a save that returns when the file is in place %8.1f ms (first %.1f)\n", save, synchronous.first);
  std::printf("  CheckpointSaver's stall                       %8.1f ms (first %.1f), %.1f %%\n", wait,
              asynchronous.first, 100 * wait / save);
}
