// step_rounds: the trainer's step on pictures that are on the device already, so many of them whenever a line comes on
// stdin. scripts/gpu-check gives it and its peer in Python, scripts/lib/gpu_check/peers/step.py, their turns.
//
// A step is forward, loss, the step's numbers, backward, the gradients' norm or scaler, Adam. On a GPU, as the trainer:
// channels-last, fused Adam, no wait for the device within a round; with --graph the passes are recorded.
//
//   step_rounds [--device=cpu|cuda] [--size=224] [--batch=128] [--precision=fp32|tf32|bf16|fp16] [--steps=20] [--graph]
//
// Prints "ready" after the steps that choose algorithms (and record), then for each line the seconds of its steps; ends
// with stdin.
#include <ATen/Context.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <optional>
#include <string>

#include "worker/ddp/adam.h"
#include "worker/ddp/autocast.h"
#include "worker/ddp/grad_scaler.h"
#include "worker/ddp/gradient_norm.h"
#include "worker/model/emotion_net.h"
#include "worker/train/channels_last.h"
#include "worker/train/device.h"
#include "worker/train/evaluation.h"
#include "worker/train/heap.h"
#include "worker/train/step_graph.h"

namespace {

using at::Tensor;
using ferrun::train::BatchTensors;
using ferrun::train::ComputeDevice;

struct RoundOptions {
  bool cuda = false;
  int64_t size = 224;
  int64_t batch = 128;
  std::string precision = "fp32";
  int steps = 20;
  bool graph = false;
};

[[noreturn]] void refuse(const std::string& line) {
  std::fprintf(stderr, "step_rounds: %s\n", line.c_str());
  std::exit(2);
}

RoundOptions read_round_options(int argc, char** argv) {
  std::map<std::string, std::string> given{{"--device", "cpu"},     {"--size", "224"}, {"--batch", "128"},
                                           {"--precision", "fp32"}, {"--steps", "20"}, {"--graph", ""}};
  RoundOptions options;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const size_t equal = word.find('=');
    const auto found = given.find(word.substr(0, equal));
    if (found == given.end() || (equal == std::string::npos) != (found->first == "--graph")) {
      refuse(
          "usage: step_rounds [--device=cpu|cuda] [--size=224] [--batch=128] [--precision=fp32|tf32|bf16|fp16] "
          "[--steps=20] [--graph]");
    }
    found->second = equal == std::string::npos ? "on" : word.substr(equal + 1);
  }
  options.cuda = given["--device"] == "cuda";
  options.size = std::max(1, std::atoi(given["--size"].c_str()));
  options.batch = std::max(1, std::atoi(given["--batch"].c_str()));
  options.precision = given["--precision"];
  options.steps = std::max(1, std::atoi(given["--steps"].c_str()));
  options.graph = !given["--graph"].empty();
  if (options.graph && !options.cuda) refuse("--graph: a CPU records no steps");
  return options;
}

ComputeDevice device_of(const RoundOptions& options) {
  using ferrun::train::DeviceChoice;
  const auto device = ferrun::train::choose_device(options.cuda ? DeviceChoice::kCuda : DeviceChoice::kCpu,
                                                   {.tf32 = options.precision == "tf32"}, 0, 1);
  if (!device) refuse(device.error().message);
  // Before the first tensor, as for whatever may be recorded.
  if (device->is_cuda()) device->cuda->use_own_stream(device->device.index());
  return *device;
}

class RoundTraining {
 public:
  RoundTraining(const RoundOptions& options, const ComputeDevice& device)
      : device_(device), model_(7), scaler_(device.device, {.enabled = options.precision == "fp16"}) {
    if (options.precision == "bf16") autocast_ = at::kBFloat16;
    if (options.precision == "fp16") autocast_ = at::kHalf;
    model_->to(device.device);
    ferrun::train::use_channels_last(*model_);
    const at::TensorOptions there(device.device);
    batch_.pixels =
        at::randn({options.batch, 3, options.size, options.size}, there).contiguous(at::MemoryFormat::ChannelsLast);
    batch_.targets = at::randint(0, 7, {options.batch}, there.dtype(at::kLong));
    adam_.emplace(model_->parameters(), ferrun::ddp::AdamOptions{});
    if (!options.graph) return;
    graph_.emplace(*device.cuda, adam_->parameters(),
                   [this](const BatchTensors& batch, const Tensor& weight) { return passes(batch, &weight); });
  }

  // Without waiting for the device.
  void step() {
    adam_->zero_grad();
    if (graph_ && graph_->is_warm()) {
      graph_->run(batch_, 1.0);
    } else {
      passes(batch_, nullptr);
    }
    const std::vector<Tensor>& parameters = adam_->parameters();
    if (scaler_.enabled()) {
      scaler_.unscale(parameters);
      scaler_.step(*adam_);
      scaler_.update();
    } else {
      adam_->step({}, ferrun::ddp::not_finite(ferrun::ddp::grad_norm(parameters)));
    }
  }

  double round(int steps) {
    wait();
    const auto begun = std::chrono::steady_clock::now();
    for (int i = 0; i < steps; ++i) step();
    wait();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  }

 private:
  // As Trainer::passes(); a weight of 1 is left out where nothing is recorded.
  Tensor passes(const BatchTensors& batch, const Tensor* weight) {
    Tensor logits, loss;
    {
      const ferrun::ddp::AutocastGuard autocast(device_.device.type(), autocast_.value_or(at::kBFloat16),
                                                autocast_.has_value());
      logits = model_->forward(batch.pixels);
      loss = at::cross_entropy_loss(logits, batch.targets);
    }
    const Tensor numbers = ferrun::train::batch_numbers(logits, batch.targets);
    scaler_.scale(weight == nullptr ? loss : loss * *weight).backward();
    return numbers;
  }
  void wait() const {
    if (device_.is_cuda()) device_.cuda->synchronize();
  }

  ComputeDevice device_;
  std::optional<at::ScalarType> autocast_;
  ferrun::model::EmotionNet model_;
  ferrun::ddp::GradScaler scaler_;
  BatchTensors batch_;
  std::optional<ferrun::ddp::Adam> adam_;
  std::optional<ferrun::train::StepGraph> graph_;
};

void serve(const RoundOptions& options) {
  // cuDNN's choice of algorithms, and what a recorded step wants before it and for itself.
  const int before = !options.cuda ? 2 : static_cast<int>(ferrun::train::StepGraph::kWarmUp) + 3;
  RoundTraining training(options, device_of(options));
  training.round(before);
  std::puts("ready");
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line);) {
    std::printf("%.6f\n", training.round(options.steps));
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const RoundOptions options = read_round_options(argc, argv);
  if (const std::string wrong = ferrun::model::check_image_size(options.size); !wrong.empty()) {
    refuse("--size=" + wrong);
  }
  ferrun::train::tune_heap();  // as the trainer
  ferrun::train::set_compute_threads(0, 1);
  at::manual_seed(1);
  try {
    serve(options);
  } catch (const c10::Error& error) {
    const std::string words = error.what_without_backtrace();
    refuse(words.substr(0, words.find('\n')));
  }
  return 0;
}
