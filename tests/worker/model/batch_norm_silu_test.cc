// The joint operation against LibTorch's own two, in double precision.
#include "worker/model/batch_norm_silu.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/silu.h>
#include <gtest/gtest.h>

#include <limits>

namespace ferrun::model {
namespace {

constexpr auto kChannelsLast = at::MemoryFormat::ChannelsLast;

// Weights that differ from channel to channel, the same for both types.
torch::nn::BatchNorm2d make_norm(int64_t channels, at::ScalarType type) {
  at::manual_seed(7);
  torch::nn::BatchNorm2d bn(channels);
  bn->weight.set_data(at::rand({channels}).add(0.5));
  bn->bias.set_data(at::randn({channels}));
  bn->to(type);
  return bn;
}

struct Results {
  at::Tensor y, dx, dweight, dbias, mean, variance, batches;
};

template <typename Forward>
Results run(const at::Tensor& input, const at::Tensor& gradient, torch::nn::BatchNorm2d bn, Forward&& forward) {
  const at::Tensor x = input.detach().clone().set_requires_grad(true);
  const at::Tensor y = forward(x, bn);
  y.backward(gradient);
  return {y.detach(),       x.grad(),        bn->weight.grad(),      bn->bias.grad(),
          bn->running_mean, bn->running_var, bn->num_batches_tracked};
}

void expect_near(const at::Tensor& ours, const at::Tensor& exact, double bound, const char* what) {
  const at::Tensor difference = ours.to(at::kDouble).sub(exact).abs().max();
  EXPECT_LT(difference.item<double>(), bound * (1 + exact.abs().max().item<double>())) << what;
}

struct Shape {
  int64_t n, c, h, w;
};

class BatchNormSilu : public ::testing::TestWithParam<Shape> {
 protected:
  void SetUp() override { at::set_num_threads(1); }
};

TEST_P(BatchNormSilu, EqualsTheTwoOperations) {
  const auto [n, c, h, w] = GetParam();
  at::manual_seed(1);
  // Far from zero in some channels: variances must not suffer from that.
  const at::Tensor x = at::randn({n, c, h, w}).mul(3).add(at::randn({1, c, 1, 1}).mul(50)).contiguous(kChannelsLast);
  const at::Tensor gradient = at::randn({n, c, h, w});
  for (bool activate : {true, false}) {
    const Results exact = run(x.to(at::kDouble), gradient.to(at::kDouble), make_norm(c, at::kDouble),
                              [&](const at::Tensor& in, auto& bn) {
                                const at::Tensor y = bn->forward(in);
                                return activate ? at::silu(y) : y;
                              });
    const Results ours = run(x, gradient, make_norm(c, at::kFloat),
                             [&](const at::Tensor& in, auto& bn) { return batch_norm_silu(in, bn, activate); });
    expect_near(ours.y, exact.y, 1e-5, "y");
    expect_near(ours.dx, exact.dx, 1e-5, "dx");
    expect_near(ours.dweight, exact.dweight, 1e-5, "dweight");
    expect_near(ours.dbias, exact.dbias, 1e-5, "dbias");
    expect_near(ours.mean, exact.mean, 1e-6, "running_mean");
    expect_near(ours.variance, exact.variance, 1e-5, "running_var");
    EXPECT_EQ(ours.batches.item<int64_t>(), 1);
    EXPECT_TRUE(ours.y.is_contiguous(kChannelsLast));
  }
}

// Narrow, odd and wide rows; fewer rows than one wide row, and several chunks.
INSTANTIATE_TEST_SUITE_P(Shapes, BatchNormSilu,
                         ::testing::Values(Shape{2, 8, 4, 4}, Shape{1, 3, 5, 7}, Shape{2, 1, 3, 3},
                                           Shape{8, 16, 56, 56}, Shape{3, 100, 9, 9}, Shape{4, 1280, 2, 2},
                                           Shape{2, 300, 20, 20}));

TEST(BatchNormSiluThreads, GiveTheSameBits) {
  at::manual_seed(2);
  const at::Tensor x = at::randn({4, 24, 64, 64}).contiguous(kChannelsLast), gradient = at::randn({4, 24, 64, 64});
  const auto results = [&](int threads) {
    at::set_num_threads(threads);
    return run(x, gradient, make_norm(24, at::kFloat),
               [](const at::Tensor& in, auto& bn) { return batch_norm_silu(in, bn, true); });
  };
  const Results one = results(1), two = results(2);
  at::set_num_threads(1);
  EXPECT_TRUE(one.y.equal(two.y) && one.dx.equal(two.dx) && one.dweight.equal(two.dweight) &&
              one.variance.equal(two.variance));
}

TEST(BatchNormSiluLimits, HugeInputsGiveNoNanAndNansStay) {
  at::set_num_threads(1);
  at::Tensor x = at::randn({2, 4, 4, 4}).contiguous(kChannelsLast);
  auto bn = make_norm(4, at::kFloat);
  bn->weight.set_data(bn->weight.detach().mul(1e6));  // normalised values of ±1e6
  EXPECT_TRUE(batch_norm_silu(x, bn, true).isfinite().all().item<bool>());
  x.mutable_data_ptr<float>()[0] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(batch_norm_silu(x, bn, true).isnan().any().item<bool>());
}

TEST(BatchNormSiluLimits, EvaluationAndOtherLayoutsAreLibTorchs) {
  auto ours = make_norm(4, at::kFloat), theirs = make_norm(4, at::kFloat);
  const at::Tensor plain = at::randn({2, 4, 6, 6});
  EXPECT_TRUE(batch_norm_silu(plain, ours, true).equal(at::silu(theirs->forward(plain))));
  ours->eval();
  theirs->eval();
  EXPECT_TRUE(batch_norm_silu(plain.contiguous(kChannelsLast), ours, true)
                  .equal(at::silu(theirs->forward(plain.contiguous(kChannelsLast)))));
}

}  // namespace
}  // namespace ferrun::model
