// A run that changes hands: Python trains an epoch, the worker goes on and is stopped within the next, Python takes a
// step, the worker trains the rest. In the end it has the weights of a Python trainer that did all of it alone.
#include <ATen/ops/cat.h>
#include <gmock/gmock.h>

#include <csignal>
#include <fstream>

#include "tests/parity/peer_values.h"
#include "tests/process/process_test_support.h"

namespace ferrun::parity {
namespace {

using checkpoint::Value;
using ::testing::HasSubstr;
using Words = std::vector<std::string>;

constexpr int kEpochs = 4;

struct Recipe {
  std::string name;
  std::string optimizer;
  std::string schedule;
  Words options;  // the worker's for both, given at every start; none: the worker has them from Python's states
  // What no state tells.
  bool class_weights = false;
  double ema = 0.0;
  double label_smoothing = 0.0;
  double clip_grad = 0.0;
  int accumulate = 1;

  double lr() const { return optimizer == "sgd" ? 0.0001 : 0.001; }
  nlohmann::json description() const {
    return {{"name", name},
            {"optimizer", optimizer},
            {"schedule", schedule},
            {"lr", lr()},
            {"class_weights", class_weights},
            {"ema", ema},
            {"label_smoothing", label_smoothing},
            {"clip_grad", clip_grad},
            {"accumulate", accumulate}};
  }
  Words words() const {
    Words words = options;
    if (optimizer != "adam" || !options.empty()) words.insert(words.end(), {"--optimizer", optimizer});
    if (!options.empty()) words.insert(words.end(), {"--lr", std::to_string(lr())});
    if (!options.empty() && optimizer == "sgd") words.insert(words.end(), {"--momentum", "0.9", "--nesterov"});
    if (class_weights) words.insert(words.end(), {"--class-weights", "balanced"});
    if (ema > 0) words.insert(words.end(), {"--ema", std::to_string(ema)});
    if (label_smoothing > 0) words.insert(words.end(), {"--label-smoothing", std::to_string(label_smoothing)});
    if (clip_grad > 0) words.insert(words.end(), {"--clip-grad", std::to_string(clip_grad)});
    if (accumulate > 1) words.insert(words.end(), {"--accumulate", std::to_string(accumulate)});
    return words;
  }
};

std::vector<Recipe> recipes() {
  const Words step = {"--scheduler", "step", "--step-size", "1", "--gamma", "0.5"};
  const Words cosine = {"--scheduler", "cosine"};
  const Words plateau = {"--scheduler", "plateau", "--plateau-patience", "0", "--gamma", "0.5"};
  const Words warmup = {"--scheduler", "cosine", "--warmup", "2"};
  std::vector<Recipe> recipes = {
      {"adam-step", "adam", "step", step},
      {"adam-cosine", "adam", "cosine", {}},
      {"adam-plateau", "adam", "plateau", plateau},
      {"adamw-step", "adamw", "step", {}},
      {"adamw-cosine", "adamw", "cosine", cosine},
      {"adamw-plateau", "adamw", "plateau", {}},
      {"sgd-step", "sgd", "step", step},
      {"sgd-cosine", "sgd", "cosine", {}},
      {"sgd-plateau", "sgd", "plateau", plateau},
      {"sgd-warmup", "sgd", "warmup", {}},
      {"adam-everything", "adam", "warmup", warmup},
  };
  Recipe& everything = recipes.back();
  everything.class_weights = true;
  everything.ema = 0.75;
  everything.label_smoothing = 0.125;
  everything.clip_grad = 0.5;
  everything.accumulate = 2;
  return recipes;
}

class ChangingHands : public PeerTest {
 protected:
  std::string file(const std::string& name) const { return result(name).string(); }

  void SetUp() override {
    FERRUN_NEEDS_PEER();
    testing::Program faces(
        {FERRUN_BIN_DIR "/worker", "make-data", file("faces"), "--faces", "6", "--image-size", "32"});
    ASSERT_TRUE(faces.wait().success()) << faces.err();
    for (const char* name : {"0000.jpg", "0001.jpg", "0002.jpg"}) {
      std::filesystem::remove(file("faces/train/happy/") + name);  // classes of different sizes
    }
    const char* const transforms = R"([{"name":"Resize","size":[32,32]},{"name":"ToTensor"},)"
                                   R"({"name":"Normalize","mean":[0.485,0.456,0.406],"std":[0.229,0.224,0.225]}])";
    std::ofstream(file("transforms.json")) << R"({"train":)" << transforms << R"(,"validation":)" << transforms << "}";
    nlohmann::json task = {{"data", file("faces")}, {"size", 32}, {"batch", 13}, {"epochs", kEpochs}, {"seed", 42}};
    for (const Recipe& recipe : recipes()) task["cases"].push_back(recipe.description());
    std::ofstream(file("cases.json")) << task;
  }

  Words train(const Recipe& recipe, const std::string& from, const std::string& output) const {
    Words words = {FERRUN_BIN_DIR "/worker",
                   "--data",
                   file("faces"),
                   "--transforms",
                   file("transforms.json"),
                   "--batch-size",
                   "13",
                   "--epochs",
                   std::to_string(kEpochs),
                   "--patience",
                   "0",
                   "--monitor",
                   "val_loss",
                   "--num-workers",
                   "0",
                   "--no-channels-last",
                   "--resume",
                   file(from),
                   "--output-dir",
                   file(output)};
    const Words more = recipe.words();
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  const testing::ProgramOptions one_thread = {.environment = {"OMP_NUM_THREADS=1"}};
};

// What is learned, or with `statistics` what BatchNorm has seen, in a row.
at::Tensor numbers(const Value& checkpoint, const std::string& key, bool statistics) {
  std::vector<at::Tensor> parts;
  for (const auto& [name, value] : *entry(checkpoint, key).get<checkpoint::Dict>()) {
    const at::Tensor* const part = value.get<at::Tensor>();
    const bool running = name.get<std::string>()->find(".running_") != std::string::npos;
    if (part->is_floating_point() && running == statistics) parts.push_back(part->to(at::kDouble).flatten());
  }
  return at::cat(parts);
}

// How far the two came out apart, as a part of what they are and of the way that they went.
struct Difference {
  Difference(const Value& ours, const Value& theirs, const Value& start, const std::string& key, bool statistics) {
    const at::Tensor end = numbers(theirs, key, statistics);
    const double apart = numbers(ours, key, statistics).sub(end).norm().item<double>();
    relative = apart / end.norm().item<double>();
    of_the_way = apart / end.sub(numbers(start, key, statistics)).norm().item<double>();
  }
  double relative = 0.0;
  double of_the_way = 0.0;
};

// Of the epochs from the second on, which the worker has had a part in, and of the one that would come next.
std::vector<double> learning_rates(const Value& checkpoint) {
  std::vector<double> rates;
  for (const Value& epoch : *entry(checkpoint, "history").get<checkpoint::List>()) {
    if (*entry(epoch, "epoch").get<int64_t>() > 1) rates.push_back(*entry(epoch, "lr").get<double>());
  }
  const Value& next = entry(entry(checkpoint, "scheduler_state_dict"), "_last_lr");
  rates.push_back(*next.get<checkpoint::List>()->front().get<double>());
  return rates;
}

double loss(const Value& epoch, const char* which) { return *entry(epoch, which).get<double>(); }

// In the 9 steps after the first epoch, all but one of them the worker's, weights come out apart by 1e-8 to 1e-7 of
// themselves and 2e-5 of the way that they went, BatchNorm's statistics by 2e-6 of themselves; the bounds leave room
// for other processors. It is rounding (the two add in another order), which each step through BatchNorm enlarges:
// batches of 8 and five times the learning rate make 1e-1 of it.
TEST_F(ChangingHands, EndsWhereATrainerAloneEnds) {
  run_peer("train_continuation_peer.py", "begin");
  if (IsSkipped() || HasFatalFailure()) return;
  for (const Recipe& recipe : recipes()) {
    SCOPED_TRACE(recipe.name);
    testing::Program training(train(recipe, recipe.name + "-epoch.pt", recipe.name), one_thread);
    EXPECT_TRUE(training.wait_for_output("1 rank on cpu")) << training.err();
    training.signal(SIGTERM);
    EXPECT_EQ(training.wait().shell_code(), 128 + SIGTERM) << training.err();
  }
  run_peer("train_continuation_peer.py", "go_on");
  if (HasFatalFailure()) return;
  for (const Recipe& recipe : recipes()) {
    SCOPED_TRACE(recipe.name);
    testing::Program training(train(recipe, recipe.name + "-step.pt", recipe.name + "-rest"), one_thread);
    EXPECT_TRUE(training.wait().success()) << training.err();
    const Value ours = read_file(file(recipe.name + "-rest/last_model.pt"));
    const Value theirs = read_file(file(recipe.name + "-end.pt")), start = read_file(file(recipe.name + "-epoch.pt"));
    for (const char* const key : {"model_state_dict", "ema_state_dict"}) {
      if (theirs.find(key) == nullptr) continue;
      const Difference weights(ours, theirs, start, key, false), statistics(ours, theirs, start, key, true);
      std::printf("%-16s %s: weights %.1e of them, %.1e of the way, statistics %.1e of them\n", recipe.name.c_str(),
                  key, weights.relative, weights.of_the_way, statistics.relative);
      EXPECT_LT(weights.relative, 1e-5) << key;
      EXPECT_LT(weights.of_the_way, 1e-3) << key;
      EXPECT_LT(statistics.relative, 1e-5) << key;
    }
    const auto& epochs = *entry(theirs, "history").get<checkpoint::List>();
    const auto& own_epochs = *entry(ours, "history").get<checkpoint::List>();
    for (size_t back = 1; back < epochs.size(); ++back) {
      for (const char* const which : {"train_loss", "val_loss"}) {
        EXPECT_NEAR(loss(own_epochs.rbegin()[back - 1], which), loss(epochs.rbegin()[back - 1], which), 1e-4) << which;
      }
    }
    EXPECT_EQ(learning_rates(ours), learning_rates(theirs));
  }
}

}  // namespace
}  // namespace ferrun::parity
