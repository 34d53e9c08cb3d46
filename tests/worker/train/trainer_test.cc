#include "worker/train/trainer.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/ops/tensor.h>
#include <ATen/record_function.h>
#include <gmock/gmock.h>

#include <atomic>
#include <cmath>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "tests/temporary_directory.h"
#include "tests/worker/data/test_pictures.h"
#include "tests/worker/train/stub_gpu.h"
#include "worker/ddp/adam.h"
#include "worker/ddp/step_lr.h"

namespace ferrun::train {
namespace {

using ::testing::HasSubstr;

class Faces final : public data::Dataset {
 public:
  int64_t size() const override { return 10; }
  const std::vector<std::string>& classes() const override { return classes_; }
  int label(int64_t index) const override { return static_cast<int>(index % 2); }
  std::string name(int64_t index) const override { return std::to_string(index); }
  Status load_into(int64_t index, data::Image& image, data::MemoryLease&) const override {
    image = data::test_picture(32, 32, static_cast<int>(11 * index));
    return ok_status();
  }

 private:
  std::vector<std::string> classes_ = {"a", "b"};
};

// Counts what makes a host wait for its device: the operations that bring a number of a tensor to the host. On the CPU
// they cost nothing, but they are called all the same. What the CPU's fused Adam asks of its own step counters does not
// count: a GPU's reads them where they are.
class SynchronisationCounter {
 public:
  SynchronisationCounter() {
    count_ = 0;
    handle_ = at::addGlobalCallback(at::RecordFunctionCallback(begin, end).scopes({at::RecordScope::FUNCTION}));
  }
  ~SynchronisationCounter() { at::removeCallback(handle_); }
  int count() const { return count_; }

 private:
  static bool is_fused_kernel(const at::RecordFunction& function) {
    return std::string_view(function.name()) == "aten::_fused_adam_";
  }
  static std::unique_ptr<at::ObserverContext> begin(const at::RecordFunction& function) {
    static const std::set<std::string> waiting = {"aten::_local_scalar_dense",
                                                  "aten::is_nonzero",
                                                  "aten::nonzero",
                                                  "aten::masked_select",
                                                  "aten::equal",
                                                  "aten::_unique2",
                                                  "aten::bincount"};
    if (is_fused_kernel(function)) within_kernel_ = true;
    if (!within_kernel_ && waiting.contains(function.name())) ++count_;
    return nullptr;
  }
  static void end(const at::RecordFunction& function, at::ObserverContext*) {
    if (is_fused_kernel(function)) within_kernel_ = false;
  }
  inline static std::atomic<int> count_ = 0;
  inline static thread_local bool within_kernel_ = false;
  at::CallbackHandle handle_ = 0;
};

constexpr int kWarmUp = 3;

struct Asked {
  int64_t read_every = 1;
  bool scaled = false;
  bool averaged = false;
  double lr = 1e-3;
  double clip_grad = 0;
  int64_t graph_batch = 0;
  bool weighted = false;  // by classes
  ComputeDevice device = {};
};

struct SmallRun {
  explicit SmallRun(const Asked& asked)
      : model((at::set_num_threads(1), at::manual_seed(3), 2)),
        optimizer(model->parameters(), {.lr = asked.lr}),
        schedule(asked.lr, 10, 0.1),
        scaler(at::Device(at::kCPU), {.init_scale = 1024, .enabled = asked.scaled}),
        loader(std::make_shared<Faces>(), data::Transform::train(32), loading(asked), {}),
        checkpointer(directory.path(), {model, optimizer, schedule, scaler, state}, {}, *group),
        network(model, group) {
    if (asked.averaged) average.emplace(*model, 0.9);
    Trainer::Options options;
    options.arithmetic.device = asked.device;
    options.read_every = asked.read_every;
    options.clip_grad = asked.clip_grad;
    options.graph_batch = asked.graph_batch;
    options.graph_warm_up = kWarmUp;
    if (asked.weighted) options.class_weights = at::tensor({0.5, 2.0}, at::kFloat);
    trainer.emplace(Trainer::Parts{network, optimizer, schedule, scaler, loader, state, checkpointer, display, *group,
                                   average ? &*average : nullptr},
                    options);
  }

  static ShardedLoaderOptions loading(const Asked& asked) {
    ShardedLoaderOptions options;
    options.batch_size = 4;
    options.least_share = 2;
    options.shuffle = true;
    options.loader.channels_last = true;
    options.loader = BatchFeed::for_device(std::move(options.loader), asked.device);
    return options;
  }

  testing::TemporaryDirectory directory;
  std::shared_ptr<ddp::ProcessGroup> group = ddp::ProcessGroup::create({}, {}).value();
  model::EmotionNet model;
  ddp::Adam optimizer;
  ddp::StepLr schedule;
  ddp::GradScaler scaler;
  ShardedLoader loader;
  TrainingState state;
  Checkpointer checkpointer;
  ProgressDisplay display{false, 1};
  ddp::DistributedDataParallel<model::EmotionNet> network;
  std::optional<ddp::ExponentialMovingAverage> average;
  std::optional<Trainer> trainer;
  SampleSums last_sums;  // of the last whole epoch
};

int synchronisations_of_an_epoch(Asked asked) {
  asked.device = StubGpu::device();
  SmallRun run(asked);
  // Optimizer, reducer and average make their memory in the first steps.
  EXPECT_TRUE(run.trainer->train_epoch().value());
  run.state.begin_next_epoch();
  const SynchronisationCounter counter;
  EXPECT_TRUE(run.trainer->train_epoch().value());
  EXPECT_EQ(run.state.step, 3);
  EXPECT_EQ(run.state.sums.count, 10);
  return counter.count();
}

TEST(Trainer, NoStepWaitsForTheDevice) {
  EXPECT_EQ(synchronisations_of_an_epoch({.read_every = 2}), 0);
  EXPECT_EQ(synchronisations_of_an_epoch({.read_every = 2, .averaged = true, .clip_grad = 1.0}), 0);
  EXPECT_EQ(synchronisations_of_an_epoch({.read_every = 2, .scaled = true}), 0);
  EXPECT_GE(synchronisations_of_an_epoch({.read_every = 1}), 3) << "the counter sees what it is there for";
}

TEST(Trainer, ReadingSeldomChangesNoNumber) {
  for (const bool scaled : {false, true}) {
    SmallRun each({.read_every = 1, .scaled = scaled});
    SmallRun seldom({.read_every = 2, .scaled = scaled});
    for (SmallRun* run : {&each, &seldom}) ASSERT_TRUE(run->trainer->train_epoch().value());
    EXPECT_EQ(seldom.state.sums, each.state.sums);
    EXPECT_EQ(seldom.state.step, each.state.step);
    EXPECT_EQ(seldom.state.samples, each.state.samples);
    const auto ours = seldom.model->parameters(), theirs = each.model->parameters();
    for (size_t i = 0; i < ours.size(); ++i) ASSERT_TRUE(ours[i].equal(theirs[i])) << "parameter " << i;
  }
}

// Epochs of ten faces in batches of four: two steps of the recording's size and one that is not.
constexpr int kEpochs = 3;
constexpr int kRecorded = 2 * kEpochs - kWarmUp;

void train_epochs(SmallRun& run) {
  for (int epoch = 0; epoch < kEpochs; ++epoch) {
    ASSERT_TRUE(run.trainer->train_epoch().value());
    run.last_sums = run.state.sums;
    run.state.begin_next_epoch();
  }
}

void expect_same_models(const SmallRun& one, const SmallRun& other) {
  EXPECT_EQ(one.last_sums, other.last_sums);
  const auto ours = one.model->parameters(), theirs = other.model->parameters();
  for (size_t i = 0; i < ours.size(); ++i) ASSERT_TRUE(ours[i].equal(theirs[i])) << "parameter " << i;
  const auto statistics = one.model->buffers(), others = other.model->buffers();
  for (size_t i = 0; i < statistics.size(); ++i) ASSERT_TRUE(statistics[i].equal(others[i])) << "buffer " << i;
}

TEST(Trainer, ARecordedStepGivesTheSameNumbers) {
  const std::vector<Asked> kinds = {{.read_every = 2},
                                    {.read_every = 2, .scaled = true, .averaged = true},
                                    {.read_every = 3, .clip_grad = 1.0, .weighted = true}};
  for (Asked asked : kinds) {
    asked.device = StubGpu::device();
    SmallRun plain(asked);
    train_epochs(plain);
    asked.device = StubGpu::device();
    asked.graph_batch = 4;
    SmallRun recorded(asked);
    StubGpu::model = recorded.model->parameters();
    train_epochs(recorded);
    EXPECT_EQ(StubGpu::recordings, 1);
    EXPECT_EQ(StubGpu::replays, kRecorded) << "the first steps and those of another size are taken as any other";
    expect_same_models(recorded, plain);
  }
}

TEST(Trainer, NoRecordedStepWaitsForTheDevice) {
  Asked asked{.read_every = 2, .graph_batch = 4};
  asked.device = StubGpu::device();
  SmallRun run(asked);
  StubGpu::model = run.model->parameters();
  train_epochs(run);
  const int before = StubGpu::replays;
  const SynchronisationCounter counter;
  EXPECT_TRUE(run.trainer->train_epoch().value());
  EXPECT_EQ(StubGpu::replays, before + 2);
  EXPECT_EQ(counter.count(), 0);
}

TEST(Trainer, AStepThatCannotBeRecordedIsTakenAsAnyOther) {
  Asked asked{.read_every = 2};
  asked.device = StubGpu::device();
  SmallRun plain(asked);
  train_epochs(plain);
  asked.device = StubGpu::device();
  asked.graph_batch = 4;
  SmallRun refused(asked);
  StubGpu::records = false;
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  refused.display = ProgressDisplay(true, 1);
  train_epochs(refused);
  const std::string said = ::testing::internal::GetCapturedStdout() + ::testing::internal::GetCapturedStderr();
  const std::string line =
      "note: the step cannot be recorded as a CUDA graph (operation not permitted when stream is capturing): its "
      "operations are started one by one\n";
  const size_t at = said.find(line);
  EXPECT_NE(at, std::string::npos) << said;
  EXPECT_EQ(said.find("cannot be recorded", at + line.size()), std::string::npos) << "once";
  EXPECT_EQ(StubGpu::replays, 0);
  expect_same_models(refused, plain);
}

TEST(Trainer, AStepThatIsNotFiniteIsNamedAndLeavesTheWeightsAsTheyWere) {
  for (const int64_t read_every : {1, 2, 100}) {
    SmallRun run({.read_every = read_every});
    {
      const at::NoGradGuard no_grad;
      run.model->parameters().back().fill_(std::numeric_limits<float>::quiet_NaN());
    }
    std::vector<at::Tensor> before;
    for (const at::Tensor& parameter : run.model->parameters()) before.push_back(parameter.detach().clone());
    const Result<bool> trained = run.trainer->train_epoch();
    ASSERT_FALSE(trained);
    EXPECT_THAT(trained.error().message, HasSubstr("the loss of rank 0 is not finite in epoch 1, step 1, "));
    const auto after = run.model->parameters();
    for (size_t i = 0; i + 1 < before.size(); ++i) ASSERT_TRUE(after[i].equal(before[i])) << "parameter " << i;
  }
}

}  // namespace
}  // namespace ferrun::train
