#include <ATen/ops/abs.h>
#include <ATen/ops/full.h>
#include <ATen/ops/sum.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/linear.h>

#include <filesystem>

#include "tests/temporary_directory.h"
#include "worker/ddp/adam.h"
#include "worker/ddp/checkpoint_saver.h"
#include "worker/ddp/moving_average.h"

namespace ferrun::ddp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> files_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::ranges::sort(names);
  return names;
}

class CheckpointSaverTest : public ::testing::TestWithParam<bool> {
 protected:
  SaverOptions options() const {
    SaverOptions options;
    options.keep_last = 2;
    options.asynchronous = GetParam();
    return options;
  }
  double bias_in(const std::string& path) {
    torch::nn::Linear read(1, 1);
    const auto loaded = load_checkpoint(path, {.module = &*read});
    EXPECT_TRUE(loaded.ok()) << loaded.error().message;
    return read->bias.item<double>();
  }
  void set_bias(double value) {
    const at::NoGradGuard no_grad;
    net->bias.fill_(value);
  }

  testing::TemporaryDirectory directory;
  const std::string folder = directory.file("checkpoints");
  torch::nn::Linear net{1, 1};
  CheckpointParts parts{.module = &*net};
};

TEST_P(CheckpointSaverTest, TheLastOnesAndTheBestStayAsTheyWereWhenTheyWereSaved) {
  const double losses[] = {0.5, 0.1, 0.4, 0.3, std::nan("")};
  {
    CheckpointSaver saver(folder, options());
    for (int step = 0; step < 5; ++step) {
      set_bias(step);
      const Status saved = saver.save(step, parts, {}, losses[step]);
      ASSERT_TRUE(saved.ok()) << saved.error().message;
    }
    set_bias(100);  // the training goes on
    ASSERT_TRUE(saver.finish().ok());
  }
  EXPECT_THAT(files_in(folder), ElementsAre("latest.json", "step-00000001.pt", "step-00000003.pt", "step-00000004.pt"));
  EXPECT_EQ(latest_checkpoint(folder), folder + "/step-00000004.pt");
  EXPECT_EQ(best_checkpoint(folder), folder + "/step-00000001.pt");
  EXPECT_EQ(bias_in(*latest_checkpoint(folder)), 4);
  EXPECT_EQ(bias_in(*best_checkpoint(folder)), 1);

  // Another run in the same folder: one step back, better.
  CheckpointSaver saver(folder, options());
  set_bias(7);
  ASSERT_TRUE(saver.save(2, parts, {}, 0.05).ok());
  ASSERT_TRUE(saver.finish().ok());
  EXPECT_THAT(files_in(folder), ElementsAre("latest.json", "step-00000002.pt", "step-00000004.pt"));
  EXPECT_EQ(latest_checkpoint(folder), folder + "/step-00000002.pt") << "the newest, whatever its step";
  EXPECT_EQ(bias_in(*latest_checkpoint(folder)), 7);
}

TEST_P(CheckpointSaverTest, AFailureIsToldByTheNextCallOrTheEnd) {
  CheckpointSaver saver(folder, options());
  ASSERT_TRUE(saver.save(1, parts).ok());
  ASSERT_TRUE(saver.finish().ok());
  std::filesystem::remove_all(folder);
  const Status at_once = saver.save(2, parts);
  const Status at_end = saver.finish();
  EXPECT_NE(at_once.ok(), at_end.ok());
  EXPECT_EQ(at_once.ok(), GetParam());
  EXPECT_THAT((GetParam() ? at_end : at_once).error().message, HasSubstr("step-00000002.pt"));
  EXPECT_TRUE(saver.finish().ok()) << "it is told once";
}

TEST_P(CheckpointSaverTest, AFolderThatCannotBeMadeIsTold) {
  ASSERT_TRUE(save_checkpoint(folder, parts).ok());
  const Status failed = CheckpointSaver(folder + "/inside", options()).save(1, parts);
  ASSERT_FALSE(failed.ok());
  EXPECT_THAT(failed.error().message, HasSubstr("cannot make the folder " + folder + "/inside"));
}

// Large enough to be copied beside the training: step() waits for it.
TEST_P(CheckpointSaverTest, AStepChangesNothingOfWhatWasSavedBefore) {
  torch::nn::Linear wide(400, 400);
  Adam adam(wide->parameters(), {.lr = 1.0});
  CheckpointSaver saver(folder, options());
  std::vector<at::Tensor> expected;
  const auto weight_in = [](const std::string& path) {
    torch::nn::Linear read(400, 400);
    const auto loaded = load_checkpoint(path, {.module = &*read});
    EXPECT_TRUE(loaded.ok()) << loaded.error().message;
    return read->weight.detach();
  };
  for (int step = 0; step < 6; ++step) {
    wide->weight.mutable_grad() = at::full({400, 400}, 1.0);
    expected.push_back(wide->weight.detach().clone());
    ASSERT_TRUE(saver.save(step, {.module = &*wide, .optimizer = &adam}).ok());
    adam.step();
    if (step % 2 == 0) continue;
    ASSERT_TRUE(saver.finish().ok());
    for (const int saved : {step - 1, step}) {
      EXPECT_TRUE(
          weight_in(folder + "/" + checkpoint::checkpoint_name(saved)).equal(expected[static_cast<size_t>(saved)]))
          << saved;
    }
  }
  // What the library changes waits as a step does.
  ExponentialMovingAverage average(*wide, 0.5);
  const std::string other = directory.file("other.pt");
  ASSERT_TRUE(save_checkpoint(other, {.module = &*wide}).ok());
  for (int step = 6; step < 9; ++step) {
    wide->weight.mutable_grad() = at::full({400, 400}, 1.0);
    adam.step();
    const at::Tensor saved = wide->weight.detach().clone();
    ASSERT_TRUE(saver.save(step, {.module = &*wide, .optimizer = &adam}).ok());
    if (step % 2 == 0) {
      const auto scope = average.in_module();
    } else {
      ASSERT_TRUE(load_checkpoint(other, {.module = &*wide}).ok());
    }
    ASSERT_TRUE(saver.finish().ok());
    EXPECT_TRUE(weight_in(*latest_checkpoint(folder)).equal(saved)) << step;
  }
  ASSERT_TRUE(saver.save(9, {.module = &*wide, .optimizer = &adam}).ok());
  saver.wait_for_snapshot();
  const at::NoGradGuard no_grad;
  wide->weight.fill_(0);
  ASSERT_TRUE(saver.finish().ok());
  EXPECT_NE(weight_in(*latest_checkpoint(folder)).abs().sum().item<double>(), 0);
}

INSTANTIATE_TEST_SUITE_P(Both, CheckpointSaverTest, ::testing::Bool(),
                         [](const auto& asynchronous) { return asynchronous.param ? "Asynchronous" : "Synchronous"; });

}  // namespace
}  // namespace ferrun::ddp
