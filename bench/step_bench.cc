// step_bench: which share of a training step the model's convolutions and linear layers take by themselves.
//
// The step is the trainer's on pictures that are there already: forward, loss, backward, the gradients' norm, Adam. The
// floor is what any trainer on LibTorch has to do of it: the convolutions and linear layers alone, forward and
// backward, on tensors of the same shapes, types and memory order, each with its own memory. They are noted while the
// model runs once, so no list of them has to be kept. Share = floor / step: at 100 % everything else costs nothing.
//
// Steps and floors take turns and are compared pair by pair. Processor time is shown beside wall time: on a busy
// machine it is the steadier of the two.
//
//   step_bench [--size=224] [--batch=64] [--threads=1] [--rounds=5] [--amp] [--contiguous] [--json]
//   --amp: fp32 and bf16 autocast in turns, and their ratio. --contiguous: as worker's --no-channels-last.
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <ATen/ops/convolution.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/record_function.h>
#include <c10/core/GradMode.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "bench/statistics.h"
#include "worker/ddp/adam.h"
#include "worker/ddp/autocast.h"
#include "worker/ddp/gradient_norm.h"
#include "worker/model/emotion_net.h"
#include "worker/train/channels_last.h"
#include "worker/train/heap.h"

namespace {

using at::Tensor;
using ferrun::bench::median;

struct Options {
  int64_t size = 224;
  int64_t batch = 64;
  int threads = 1;
  int rounds = 5;
  bool amp = false;
  bool contiguous = false;
  bool json = false;
};

struct Times {
  double wall = 0;  // seconds
  double processor = 0;
};

double seconds(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

Times time_of(const std::function<void()>& work) {
  const double wall = seconds(CLOCK_MONOTONIC), processor = seconds(CLOCK_PROCESS_CPUTIME_ID);
  work();
  return {seconds(CLOCK_MONOTONIC) - wall, seconds(CLOCK_PROCESS_CPUTIME_ID) - processor};
}

// One training step after another on the same pictures.
class Training {
 public:
  Training(const Options& options, bool bf16)
      : bf16_(bf16),
        model_(7),
        pixels_(at::randn({options.batch, 3, options.size, options.size})),
        targets_(at::randint(0, 7, {options.batch}, at::kLong)) {
    if (!options.contiguous) {
      ferrun::train::use_channels_last(*model_);
      pixels_ = pixels_.contiguous(at::MemoryFormat::ChannelsLast);
    }
    adam_.emplace(model_->parameters(), ferrun::ddp::AdamOptions{});
  }

  void step() {
    adam_->zero_grad();
    forward().backward();
    const Tensor spoilt = ferrun::ddp::not_finite(ferrun::ddp::grad_norm(adam_->parameters()));
    adam_->step({}, spoilt);
  }

  Tensor forward() {
    const ferrun::ddp::AutocastGuard autocast(at::kCPU, at::kBFloat16, bf16_);
    return at::cross_entropy_loss(model_->forward(pixels_), targets_);
  }

 private:
  bool bf16_;
  ferrun::model::EmotionNet model_;
  Tensor pixels_, targets_;
  std::optional<ferrun::ddp::Adam> adam_;
};

// A convolution or linear layer on tensors of its own.
class Layer {
 public:
  static Layer convolution(const at::RecordFunction& call) {
    const auto inputs = call.inputs();
    Layer layer(inputs[0].toTensor(), inputs[1].toTensor());
    layer.stride_ = inputs[3].toIntVector();
    layer.padding_ = inputs[4].toIntVector();
    layer.groups_ = inputs[8].toInt();
    return layer;
  }
  static Layer linear(const at::RecordFunction& call) {
    const auto inputs = call.inputs();
    return Layer(inputs[0].toTensor(), inputs[1].toTensor());
  }

  void pass() {
    const bool is_linear = stride_.empty();
    const Tensor y = is_linear ? at::mm(x_, weight_.t())
                               : at::convolution(x_, weight_, {}, stride_, padding_, {1, 1}, false, {0, 0}, groups_);
    // Made once, before times are taken; as a batch's gradients, not all of one value.
    if (!dy_.defined()) dy_ = at::randn(y.sizes(), y.options()).contiguous(y.suggest_memory_format());
    if (is_linear) {
      at::mm(dy_, weight_);
      at::mm(dy_.t(), x_);
    } else {
      at::convolution_backward(dy_, x_, weight_, std::nullopt, stride_, padding_, {1, 1}, false, {0, 0}, groups_,
                               {needs_input_gradient_, true, false});
    }
  }
  // Multiplications and additions of a pass.
  double operations() const {
    const double each = 2.0 * static_cast<double>(dy_.numel()) * static_cast<double>(weight_.numel() / weight_.size(0));
    return (needs_input_gradient_ ? 3 : 2) * each;
  }

 private:
  Layer(const Tensor& x, const Tensor& weight)
      : x_(at::randn(x.sizes(), x.options()).contiguous(x.suggest_memory_format())),
        weight_(weight.detach().clone()),
        needs_input_gradient_(x.requires_grad()) {}

  Tensor x_, weight_, dy_;
  bool needs_input_gradient_;
  std::vector<int64_t> stride_, padding_;
  int64_t groups_ = 1;
};

// The layers that a forward pass calls.
std::vector<Layer> layers_of(Training& training) {
  static std::vector<Layer> layers;  // a callback of LibTorch's is a plain function
  layers.clear();
  const at::CallbackHandle handle = at::addThreadLocalCallback(
      at::RecordFunctionCallback([](const at::RecordFunction& call) -> std::unique_ptr<at::ObserverContext> {
        // Autocast calls again what it has cast the inputs of.
        if (at::autocast::is_autocast_enabled(at::kCPU)) return nullptr;
        const std::string name = call.name();
        if (name == "aten::convolution") layers.push_back(Layer::convolution(call));
        if (name == "aten::linear") layers.push_back(Layer::linear(call));
        return nullptr;
      })
          .needsInputs(true)
          .scopes({at::RecordScope::FUNCTION}));
  training.forward();
  at::removeCallback(handle);
  return std::move(layers);
}

Options read_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto number = [&](const std::string& name) {
      return word.starts_with(name) ? std::optional(std::max(1, std::atoi(word.substr(name.size()).c_str())))
                                    : std::nullopt;
    };
    if (word == "--json") {
      options.json = true;
    } else if (word == "--amp") {
      options.amp = true;
    } else if (word == "--contiguous") {
      options.contiguous = true;
    } else if (const auto size = number("--size=")) {
      options.size = *size;
    } else if (const auto batch = number("--batch=")) {
      options.batch = *batch;
    } else if (const auto threads = number("--threads=")) {
      options.threads = *threads;
    } else if (const auto rounds = number("--rounds=")) {
      options.rounds = *rounds;
    } else {
      std::fprintf(stderr,
                   "usage: step_bench [--size=224] [--batch=64] [--threads=1] [--rounds=N] [--amp] [--contiguous] "
                   "[--json]\n");
      std::exit(2);
    }
  }
  return options;
}

// A precision's steps and floors.
struct Side {
  Side(const Options& options, const char* its_name, bool bf16)
      : name(its_name), training(options, bf16), layers(layers_of(training)) {}

  void measure(bool counts) {
    const Times step = time_of([&] { training.step(); });
    const Times floor = time_of([&] {
      const c10::NoGradGuard no_grad;
      for (Layer& layer : layers) layer.pass();
    });
    if (!counts) return;  // the first makes what is made once
    steps.push_back(step);
    floors.push_back(floor);
  }
  double shares(double Times::*time) const {
    std::vector<double> values;
    for (size_t i = 0; i < steps.size(); ++i) values.push_back(floors[i].*time / (steps[i].*time));
    return median(values);
  }
  // Of a floor, in 10^9 operations a second of processor time.
  double gigaflops() const {
    double operations = 0;
    for (const Layer& layer : layers) operations += layer.operations();
    return 1e-9 * operations / median_of(floors, &Times::processor);
  }
  static double median_of(const std::vector<Times>& times, double Times::*time) {
    std::vector<double> values;
    for (const Times& one : times) values.push_back(one.*time);
    return median(values);
  }

  std::string name;
  Training training;
  std::vector<Layer> layers;
  std::vector<Times> steps, floors;
};

// Of bf16 over fp32 in images a second, pair by pair.
double speedup(const Side& fp32, const Side& bf16, double Times::*time) {
  std::vector<double> values;
  for (size_t i = 0; i < fp32.steps.size(); ++i) values.push_back(fp32.steps[i].*time / (bf16.steps[i].*time));
  return median(values);
}

void report(const Options& options, const std::vector<Side*>& sides) {
  nlohmann::json all = {{"size", options.size},
                        {"batch", options.batch},
                        {"threads", options.threads},
                        {"rounds", options.rounds},
                        {"contiguous", options.contiguous}};
  if (!options.json) {
    std::printf("a training step at %lldx%lld, batch %lld, %d threads%s, medians of %d interleaved rounds\n",
                static_cast<long long>(options.size), static_cast<long long>(options.size),
                static_cast<long long>(options.batch), options.threads, options.contiguous ? ", contiguous" : "",
                options.rounds);
    std::printf("  %-6s %10s %10s %10s %8s %18s %10s\n", "", "images/s", "step ms", "floor ms", "share",
                "share (processor)", "GFLOP/s");
  }
  for (const Side* side : sides) {
    const double step = Side::median_of(side->steps, &Times::wall), floor = Side::median_of(side->floors, &Times::wall);
    const double rate = static_cast<double>(options.batch) / step;
    const double share = side->shares(&Times::wall), of_processor = side->shares(&Times::processor);
    all[side->name] = {{"images_per_second", rate},       {"step_ms", 1e3 * step},
                       {"floor_ms", 1e3 * floor},         {"share", share},
                       {"processor_share", of_processor}, {"floor_gigaflops", side->gigaflops()}};
    if (options.json) continue;
    std::printf("  %-6s %10.1f %10.1f %10.1f %7.0f%% %17.0f%% %10.1f\n", side->name.c_str(), rate, 1e3 * step,
                1e3 * floor, 100 * share, 100 * of_processor, side->gigaflops());
  }
  if (sides.size() > 1) {
    const double wall = speedup(*sides[0], *sides[1], &Times::wall);
    const double processor = speedup(*sides[0], *sides[1], &Times::processor);
    all["bf16_over_fp32"] = wall;
    all["bf16_over_fp32_processor"] = processor;
    if (!options.json)
      std::printf("  bf16 trains %.2f times as fast as fp32 (processor time: %.2f)\n", wall, processor);
  }
  if (options.json) std::printf("%s\n", all.dump(2).c_str());
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = read_options(argc, argv);
  if (const std::string wrong = ferrun::model::check_image_size(options.size); !wrong.empty()) {
    std::fprintf(stderr, "step_bench: --size=%s\n", wrong.c_str());
    return 2;
  }
  ferrun::train::tune_heap();  // as the trainer
  at::set_num_threads(options.threads);
  at::manual_seed(1);
  Side fp32(options, "fp32", false);
  std::optional<Side> bf16;
  std::vector<Side*> sides{&fp32};
  if (options.amp) sides.push_back(&bf16.emplace(options, "bf16", true));
  for (int round = 0; round <= options.rounds; ++round) {
    for (Side* const side : sides) side->measure(round > 0);
  }
  report(options, sides);
  return 0;
}
