// The joint operation against LibTorch's own two in double precision, and in bfloat16 against how near those come.
#include "worker/model/batch_norm_silu.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/silu.h>
#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace ferrun::model {
namespace {

constexpr auto kChannelsLast = at::MemoryFormat::ChannelsLast, kContiguous = at::MemoryFormat::Contiguous;

// Weights and statistics that differ from channel to channel, the same for both types.
torch::nn::BatchNorm2d make_norm(int64_t channels, at::ScalarType type) {
  at::manual_seed(7);
  torch::nn::BatchNorm2d bn(channels);
  bn->weight.set_data(at::rand({channels}).add(0.5));
  bn->bias.set_data(at::randn({channels}));
  bn->running_mean.normal_();
  bn->running_var.uniform_(0.5, 2.0);
  bn->to(type);
  return bn;
}

struct Results {
  at::Tensor y, dx, dweight, dbias, mean, variance, batches;
};

using Forward = at::Tensor (*)(const at::Tensor&, torch::nn::BatchNorm2d&, bool);

at::Tensor two_operations(const at::Tensor& x, torch::nn::BatchNorm2d& bn, bool activate) {
  const at::Tensor y = bn->forward(x);
  return activate ? at::silu(y) : y;
}

Results run(const at::Tensor& input, const at::Tensor& gradient, torch::nn::BatchNorm2d bn, Forward forward,
            bool activate) {
  const at::Tensor x = input.detach().clone().set_requires_grad(true);
  const at::Tensor y = forward(x, bn, activate);
  y.backward(gradient);
  return {y.detach(),       x.grad(),        bn->weight.grad(),      bn->bias.grad(),
          bn->running_mean, bn->running_var, bn->num_batches_tracked};
}

double largest(const at::Tensor& numbers) { return numbers.abs().max().item<double>(); }

double distance(const at::Tensor& ours, const at::Tensor& exact) { return largest(ours.to(at::kDouble).sub(exact)); }

void expect_near(const at::Tensor& ours, const at::Tensor& exact, double bound, const char* what) {
  EXPECT_LT(distance(ours, exact), bound * (1 + largest(exact))) << what;
}

struct Shape {
  int64_t n, c, h, w;
};

// A case: the pictures' order of memory, whether BatchNorm trains, whether SiLU follows.
struct Case {
  at::MemoryFormat format;
  bool training;
  bool activate;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const auto format : {kChannelsLast, kContiguous}) {
    for (const bool training : {true, false}) {
      for (const bool activate : {true, false}) all.push_back({format, training, activate});
    }
  }
  return all;
}

class BatchNormSilu : public ::testing::TestWithParam<Shape> {
 protected:
  void SetUp() override {
    at::set_num_threads(1);
    at::manual_seed(1);
    const auto [n, c, h, w] = GetParam();
    // Far from zero in some channels: variances must not suffer from that.
    pictures_ = at::randn({n, c, h, w}).mul(3).add(at::randn({1, c, 1, 1}).mul(50));
    gradient_ = at::randn({n, c, h, w});
  }

  // Of pictures and gradients in `type`, computed in it or, `exactly`, in double.
  Results results(const Case& of, at::ScalarType type, Forward forward, bool exactly = false) const {
    const at::ScalarType in = exactly ? at::kDouble : type;
    auto bn = make_norm(pictures_.size(1), exactly ? at::kDouble : at::kFloat);
    bn->train(of.training);
    const at::Tensor x = pictures_.to(type).to(in).contiguous(of.format);
    return run(x, gradient_.to(type).to(in), bn, forward, of.activate);
  }

  at::Tensor pictures_, gradient_;
};

TEST_P(BatchNormSilu, EqualsTheTwoOperations) {
  for (const Case& of : cases()) {
    SCOPED_TRACE(::testing::Message() << of.format << " training " << of.training << " activate " << of.activate);
    const Results exact = results(of, at::kFloat, two_operations, /*exactly=*/true);
    const Results ours = results(of, at::kFloat, batch_norm_silu);
    expect_near(ours.y, exact.y, 1e-5, "y");
    expect_near(ours.dx, exact.dx, 1e-5, "dx");
    expect_near(ours.dweight, exact.dweight, 1e-5, "dweight");
    expect_near(ours.dbias, exact.dbias, 1e-5, "dbias");
    expect_near(ours.mean, exact.mean, 1e-6, "running_mean");
    expect_near(ours.variance, exact.variance, 1e-5, "running_var");
    EXPECT_EQ(ours.batches.item<int64_t>(), of.training ? 1 : 0);
    EXPECT_TRUE(ours.y.is_contiguous(of.format) && ours.dx.is_contiguous(of.format));
  }
}

TEST_P(BatchNormSilu, InBfloat16RoundsOnceWhatFloatComputes) {
  constexpr double kHalfUnit = 1.0 / 256;  // the most by which rounding to 8 bits moves a number, as a share of it
  for (const Case& of : cases()) {
    SCOPED_TRACE(::testing::Message() << of.format << " training " << of.training << " activate " << of.activate);
    const Results exact = results(of, at::kBFloat16, two_operations, /*exactly=*/true);
    const Results theirs = results(of, at::kBFloat16, two_operations);
    const Results ours = results(of, at::kBFloat16, batch_norm_silu);
    EXPECT_EQ(ours.y.scalar_type(), at::kBFloat16);
    EXPECT_EQ(ours.dx.scalar_type(), at::kBFloat16);
    const at::Tensor off = ours.y.to(at::kDouble).sub(exact.y).abs();
    EXPECT_TRUE(off.le(exact.y.abs().mul(1.01 * kHalfUnit).add(1e-4)).all().item<bool>()) << largest(off);
    EXPECT_LE(distance(ours.y, exact.y), 1.01 * distance(theirs.y, exact.y) + 1e-4);
    EXPECT_LE(distance(ours.dx, exact.dx), 1.01 * distance(theirs.dx, exact.dx) + kHalfUnit * largest(exact.dx));
    // Sums and statistics are float's.
    expect_near(ours.dweight, exact.dweight, 1e-5, "dweight");
    expect_near(ours.dbias, exact.dbias, 1e-5, "dbias");
    expect_near(ours.mean, exact.mean, 1e-6, "running_mean");
    expect_near(ours.variance, exact.variance, 1e-5, "running_var");
    EXPECT_EQ(ours.dweight.scalar_type(), at::kFloat);
    EXPECT_EQ(ours.mean.scalar_type(), at::kFloat);
    EXPECT_TRUE(ours.y.is_contiguous(of.format) && ours.dx.is_contiguous(of.format));
  }
}

// Narrow, odd and wide rows; fewer rows than one wide row, and several chunks.
INSTANTIATE_TEST_SUITE_P(Shapes, BatchNormSilu,
                         ::testing::Values(Shape{2, 8, 4, 4}, Shape{1, 3, 5, 7}, Shape{2, 1, 3, 3},
                                           Shape{8, 16, 56, 56}, Shape{3, 100, 9, 9}, Shape{4, 1280, 2, 2},
                                           Shape{2, 300, 20, 20}));

TEST(BatchNormSiluThreads, GiveTheSameBits) {
  at::manual_seed(2);
  const at::Tensor pictures = at::randn({4, 24, 64, 64}), gradient = at::randn({4, 24, 64, 64});
  for (const auto format : {kChannelsLast, kContiguous}) {
    for (const auto type : {at::kFloat, at::kBFloat16}) {
      const at::Tensor x = pictures.to(type).contiguous(format);
      const auto results = [&](int threads) {
        at::set_num_threads(threads);
        return run(x, gradient.to(type), make_norm(24, at::kFloat), batch_norm_silu, true);
      };
      const Results one = results(1), two = results(2);
      at::set_num_threads(1);
      EXPECT_TRUE(one.y.equal(two.y) && one.dx.equal(two.dx) && one.dweight.equal(two.dweight) &&
                  one.variance.equal(two.variance));
    }
  }
}

TEST(BatchNormSiluLimits, HugeInputsGiveNoNanAndNansStay) {
  at::set_num_threads(1);
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    at::Tensor x = at::randn({2, 4, 4, 4}).to(type).contiguous(kChannelsLast);
    auto bn = make_norm(4, at::kFloat);
    bn->weight.set_data(bn->weight.detach().mul(1e6));  // normalised values of ±1e6
    EXPECT_TRUE(batch_norm_silu(x, bn, true).isfinite().all().item<bool>());
    x[0][0][0][0].fill_(std::numeric_limits<float>::quiet_NaN());
    EXPECT_TRUE(batch_norm_silu(x, bn, true).isnan().any().item<bool>());
  }
}

// Each number of bfloat16, the subnormal, infinite and not-a-number ones too, comes through as LibTorch converts it.
TEST(BatchNormSiluLimits, EveryBfloat16IsReadAndRoundedAsLibTorchDoes) {
  at::set_num_threads(1);
  const at::Tensor every = at::arange(1 << 16, at::kInt).to(at::kShort).view(at::kBFloat16).view({1, 1, 256, 256});
  torch::nn::BatchNorm2d bn(torch::nn::BatchNorm2dOptions(1).eps(0));
  bn->eval();
  bn->weight.set_data(at::full({1}, 1.0f + 1.0f / 512 + 1.0f / 4096));  // most products lie between two numbers
  const at::Tensor wanted = every.to(at::kFloat).mul(bn->weight.detach()).to(at::kBFloat16);
  const at::Tensor ours = batch_norm_silu(every, bn, false).detach();
  const at::Tensor nan = wanted.isnan();
  EXPECT_TRUE(ours.isnan().equal(nan));
  EXPECT_TRUE(ours.masked_fill(nan, 0).equal(wanted.masked_fill(nan, 0)));
}

TEST(BatchNormSiluLimits, OtherTypesAndOrdersOfMemoryAreLibTorchs) {
  for (const auto type : {at::kDouble, at::kHalf}) {
    auto ours = make_norm(4, type), theirs = make_norm(4, type);
    const at::Tensor x = at::randn({2, 4, 6, 6}).to(type);
    EXPECT_TRUE(batch_norm_silu(x, ours, true).equal(two_operations(x, theirs, true)));
  }
  auto ours = make_norm(4, at::kFloat), theirs = make_norm(4, at::kFloat);
  const at::Tensor turned = at::randn({2, 4, 6, 6}).transpose(2, 3).transpose(0, 1).contiguous().transpose(0, 1);
  ASSERT_FALSE(turned.is_contiguous() || turned.is_contiguous(kChannelsLast));
  EXPECT_TRUE(batch_norm_silu(turned, ours, true).equal(two_operations(turned, theirs, true)));
}

}  // namespace
}  // namespace ferrun::model
