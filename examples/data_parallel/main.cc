// data_parallel: trains the worker's EmotionNet on drawn faces in one process on several devices, as
// torch.nn.DataParallel does it, then on one device, and says what each step cost.
//
//   data_parallel                                    two replicas on the CPU
//   data_parallel --devices=cuda:0,cuda:1            two GPUs
//
// It is here to show how DataParallel works and what it costs; to train, start a process for each device, which copies
// no weights and lets backward passes run beside each other:
//
//   ferrun --nproc-per-node=2 worker
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/ops/cross_entropy_loss.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

#include "examples/data_parallel/data_parallel.h"
#include "worker/data/drawn_faces.h"
#include "worker/data/loader.h"
#include "worker/ddp/optimizer.h"
#include "worker/model/emotion_net.h"
#include "worker/train/batch_tensors.h"
#include "worker/train/device.h"

namespace {

using ferrun::examples::DataParallel;
using ferrun::model::EmotionNet;
using ferrun::train::BatchTensors;

constexpr uint64_t kSeed = 42;
constexpr int kSize = 64;
constexpr int kFirstStep = 1;  // the step before it makes memory and threads, and is not counted

struct Options {
  std::vector<std::string> devices = {"cpu", "cpu"};
  int64_t steps = 6;
  int64_t batch_size = 64;
};

// Means over the counted steps, in milliseconds; the loss of each step.
struct Run {
  double step = 0, replicate = 0, scatter = 0, compute = 0, gather = 0, backward = 0;
  std::vector<double> losses;
};

double milliseconds(std::chrono::steady_clock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

// The same batches for every run.
std::vector<BatchTensors> load_batches(const Options& options, size_t& classes) {
  ferrun::data::DrawnFacesOptions drawn;
  drawn.size = kSize;
  drawn.seed = kSeed;
  const std::shared_ptr<const ferrun::data::Dataset> faces = ferrun::data::DrawnFaces::make(drawn).train;
  classes = faces->classes().size();
  ferrun::data::LoaderOptions loading;
  loading.batch_size = options.batch_size;
  loading.channels_last = true;
  ferrun::data::Loader loader(faces, ferrun::data::Transform::train(kSize), loading);
  // Every so many of the pictures, which lie class by class.
  std::vector<int64_t> order(static_cast<size_t>(options.steps * options.batch_size));
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int64_t>(i) * 607 % faces->size();
  loader.start(order, /*epoch=*/0);
  std::vector<BatchTensors> batches;
  for (int64_t i = 0; i < options.steps; ++i) {
    auto batch = loader.next();
    if (!batch || !*batch) throw std::runtime_error("the faces could not be drawn");
    batches.push_back(ferrun::train::to_tensors(std::move(**batch), true));
  }
  return batches;
}

// "cpu", or "cuda:0" where a GPU serves.
c10::Device device_of(const std::string& name) {
  const bool on_cpu = name == "cpu";
  if (!on_cpu && !name.starts_with("cuda:")) throw std::runtime_error("'" + name + "' is neither cpu nor cuda:N");
  const c10::Device device(name);
  const auto choice = on_cpu ? ferrun::train::DeviceChoice::kCpu : ferrun::train::DeviceChoice::kCuda;
  const int index = device.has_index() ? device.index() : 0;
  if (const auto usable = ferrun::train::choose_device(choice, ferrun::GpuArithmetic{}, index, index + 1); !usable) {
    throw std::runtime_error(usable.error().message);
  }
  return device;
}

// A few steps of Adam from the weights of the seed.
Run train(const std::vector<c10::Device>& devices, const std::vector<BatchTensors>& batches, int64_t classes) {
  at::manual_seed(kSeed);
  EmotionNet model(classes);
  const int threads = std::max(1, at::get_num_threads() / static_cast<int>(devices.size()));
  DataParallel network = ferrun::examples::data_parallel<EmotionNet>(
      model, [classes] { return EmotionNet(classes); }, devices, threads);
  const auto optimizer = ferrun::ddp::make_optimizer(model->parameters(), ferrun::ddp::AdamOptions{});
  if (!optimizer) throw std::runtime_error(optimizer.error().message);
  Run run;
  const auto counted = static_cast<double>(batches.size() - kFirstStep);
  for (size_t i = 0; i < batches.size(); ++i) {
    const auto begin = std::chrono::steady_clock::now();
    (*optimizer)->zero_grad();
    const at::Tensor logits = network.forward(batches[i].pixels);
    const at::Tensor loss = at::cross_entropy_loss(logits, batches[i].targets.to(logits.device()));
    const auto before = std::chrono::steady_clock::now();
    loss.backward();
    const auto after = std::chrono::steady_clock::now();
    (*optimizer)->step();
    run.losses.push_back(loss.item<double>());  // waits for the device
    if (i < kFirstStep) continue;
    run.step += milliseconds(std::chrono::steady_clock::now() - begin) / counted;
    run.backward += milliseconds(after - before) / counted;
    run.replicate += network.times().replicate * 1e3 / counted;
    run.scatter += network.times().scatter * 1e3 / counted;
    run.compute += network.times().compute * 1e3 / counted;
    run.gather += network.times().gather * 1e3 / counted;
  }
  return run;
}

void print(const std::string& name, const Run& run, int64_t batch_size) {
  std::printf("%-10s %8.1f %8.1f %8.1f %9.1f %8.1f %8.1f %9.0f   %.4f → %.4f\n", name.c_str(), run.replicate,
              run.scatter, run.compute, run.gather, run.backward, run.step,
              static_cast<double>(batch_size) * 1e3 / run.step, run.losses.front(), run.losses.back());
}

void compare(const Options& options) {
  std::vector<c10::Device> devices;
  for (const std::string& name : options.devices) devices.push_back(device_of(name));
  size_t classes = 0;
  const std::vector<BatchTensors> batches = load_batches(options, classes);
  const auto outputs = static_cast<int64_t>(classes);
  std::printf("EmotionNet on %lld drawn faces a step at %dx%d, %lld steps of Adam; milliseconds a step\n",
              static_cast<long long>(options.batch_size), kSize, kSize, static_cast<long long>(options.steps));
  std::printf("%-10s %8s %8s %8s %9s %8s %8s %9s   %s\n", "devices", "copy", "scatter", "forward", "gather", "backward",
              "step", "images/s", "loss");
  const Run several = train(devices, batches, outputs);
  print(std::to_string(devices.size()), several, options.batch_size);
  const Run one = train({devices.front()}, batches, outputs);
  print("1", one, options.batch_size);
  std::printf("%zu devices take %.2f times as long as one. A process for each copies no weights:\n", devices.size(),
              several.step / one.step);
  std::printf("  ferrun --nproc-per-node=%zu worker --batch-size=%lld\n", devices.size(),
              static_cast<long long>(options.batch_size));
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Trains a few steps as torch.nn.DataParallel does, and says what it costs.", "data_parallel");
  app.add_option("--devices", options.devices, "Of the replicas, as cpu,cpu or cuda:0,cuda:1")->delimiter(',');
  app.add_option("--steps", options.steps, "The first of them is not counted")->check(CLI::Range(2, 1000));
  app.add_option("--batch-size", options.batch_size, "Pictures of a step")->check(CLI::Range(2, 100000));
  CLI11_PARSE(app, argc, argv);
  try {
    compare(options);
    return 0;
  } catch (const std::exception& error) {
    const std::string text = error.what();  // LibTorch's go on with a stack
    std::fprintf(stderr, "data_parallel: %s\n", text.substr(0, text.find('\n')).c_str());
    return 1;
  }
}
