// Replicas on the CPU: what autograd leaves in the module is what one device would leave there.
#include "examples/data_parallel/data_parallel.h"

#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <torch/nn/modules/linear.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "tests/temporary_directory.h"
#include "worker/model/emotion_net.h"

namespace ferrun::examples {
namespace {

using model::EmotionNet;
using ::testing::HasSubstr;

constexpr int64_t kClasses = 7;

EmotionNet make_net() {
  EmotionNet net(kClasses);
  net->to(at::kDouble);
  return net;
}

// Two nets of equal weights in double precision, one of them in parallel on `replicas` threads.
struct Pair {
  explicit Pair(size_t replicas, int64_t samples, bool training) {
    at::manual_seed(5);
    alone = make_net();
    at::manual_seed(5);
    parallel = make_net();
    alone->train(training);
    parallel->train(training);
    network.emplace(data_parallel<EmotionNet>(parallel, make_net, std::vector<c10::Device>(replicas, at::kCPU), 1));
    input = at::randn({samples, 3, 64, 64}, at::kDouble);
    targets = at::randint(kClasses, {samples}, at::kLong);
  }
  void expect_equal_gradients() const {
    const auto ours = parallel->named_parameters(), theirs = alone->named_parameters();
    for (const auto& parameter : theirs) {
      const at::Tensor expected = parameter.value().grad(), found = ours[parameter.key()].grad();
      ASSERT_EQ(expected.defined(), found.defined()) << parameter.key();
      if (!expected.defined()) continue;
      EXPECT_LE((found - expected).abs().max().item<double>(), 1e-12 * (1 + expected.abs().max().item<double>()))
          << parameter.key();
    }
  }
  EmotionNet alone{nullptr}, parallel{nullptr};
  std::optional<DataParallel> network;
  at::Tensor input, targets;
};

TEST(DataParallel, GradientsAreThoseOfOneDeviceWithTheWholeBatch) {
  // Equal and unequal parts, none of them of one sample, on which PyTorch's own backward pass in evaluation differs.
  for (const auto& [replicas, samples] : {std::pair<size_t, int64_t>{2, 7}, {3, 8}}) {
    Pair pair(replicas, samples, /*training=*/false);  // BatchNorm takes the running statistics: no sample sees another
    at::cross_entropy_loss(pair.alone->forward(pair.input), pair.targets).backward();
    at::cross_entropy_loss(pair.network->forward(pair.input), pair.targets).backward();
    pair.expect_equal_gradients();
  }
}

TEST(DataParallel, BatchNormTrainsOnEachPartByItself) {
  Pair pair(2, 6, /*training=*/true);
  std::vector<at::Tensor> outputs;
  std::vector<at::Tensor> buffers;
  for (const at::Tensor& part : pair.input.chunk(2)) {
    outputs.push_back(pair.alone->forward(part));
    if (!buffers.empty()) continue;
    for (const at::Tensor& buffer : pair.alone->buffers()) buffers.push_back(buffer.clone());
  }
  at::cross_entropy_loss(at::cat(outputs), pair.targets).backward();
  at::cross_entropy_loss(pair.network->forward(pair.input), pair.targets).backward();
  pair.expect_equal_gradients();
  const std::vector<at::Tensor> kept = pair.parallel->buffers();
  for (size_t i = 0; i < kept.size(); ++i) EXPECT_TRUE(kept[i].equal(buffers[i])) << "the first part's, buffer " << i;
}

TEST(DataParallel, EveryStepTakesTheNewWeightsAndAddsToTheGradients) {
  Pair pair(2, 4, false);
  for (int step = 0; step < 3; ++step) {
    at::cross_entropy_loss(pair.alone->forward(pair.input), pair.targets).backward();
    at::cross_entropy_loss(pair.network->forward(pair.input), pair.targets).backward();
    pair.expect_equal_gradients();
    const at::NoGradGuard no_grad;
    for (const EmotionNet& net : {pair.alone, pair.parallel}) {
      for (at::Tensor& parameter : net->parameters()) parameter.sub_(parameter.grad(), 0.125);
    }
  }
}

TEST(DataParallel, ABatchSmallerThanTheDevicesLeavesTheLastIdle) {
  Pair pair(3, 1, false);
  EXPECT_TRUE(pair.network->forward(pair.input).equal(pair.alone->forward(pair.input)));
  const at::NoGradGuard no_grad;
  EXPECT_FALSE(pair.network->forward(at::cat({pair.input, pair.input, pair.input, pair.input})).requires_grad());
}

TEST(DataParallel, WhatAReplicaThrowsIsThrown) {
  using torch::nn::Linear;
  const auto failing = [](Linear net, bool fails) {
    return DataParallel::Replica{net.ptr(),
                                 [net, fails](const at::Tensor& part) mutable {
                                   if (fails) throw std::runtime_error("the second device's");
                                   return net->forward(part);
                                 },
                                 at::kCPU};
  };
  DataParallel network({failing(Linear(2, 2), false), failing(Linear(2, 2), true)});
  EXPECT_THROW(network.forward(at::randn({4, 2})), std::runtime_error);
  EXPECT_THROW(DataParallel({failing(Linear(2, 2), false), failing(Linear(2, 3), false)}), std::invalid_argument);
  EXPECT_THROW(DataParallel({}), std::invalid_argument);
}

std::string output_of(const std::string& arguments, int expected) {
  const testing::TemporaryDirectory folder;
  const std::string command = FERRUN_BIN_DIR "/data_parallel " + arguments + " > '" + folder.file("out") + "' 2>&1";
  const int status = std::system(command.c_str());
  EXPECT_EQ(WIFEXITED(status) ? WEXITSTATUS(status) : -1, expected) << arguments;
  std::ifstream file(folder.file("out"));
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(DataParallel, TheProgramComparesAndAdvises) {
  const std::string text = output_of("--steps=2 --batch-size=8 --devices=cpu,cpu,cpu", 0);
  for (const char* part : {"8 drawn faces a step at 64x64", "images/s", "3 devices take",
                           "ferrun --nproc-per-node=3 worker --batch-size=8"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  EXPECT_EQ(output_of("--devices=tpx", 1), "data_parallel: 'tpx' is neither cpu nor cuda:N\n");
}

}  // namespace
}  // namespace ferrun::examples
