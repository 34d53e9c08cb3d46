// GradScaler and autocast against torch.amp's on the CPU: scale, growth tracker, skipped steps and weights, one by one.
#include <ATen/ops/linear.h>
#include <gtest/gtest.h>

#include "tests/parity/peer_values.h"
#include "worker/ddp/adam.h"
#include "worker/ddp/autocast.h"
#include "worker/ddp/grad_scaler.h"

namespace ferrun::parity {
namespace {

using checkpoint::List;
using checkpoint::Value;

constexpr size_t kIterations = 40;
constexpr size_t kHalfWay = 18;

ddp::GradScalerOptions scaler_options(const Value& arguments) {
  ddp::GradScalerOptions options;
  if (const Value* scale = arguments.find("init_scale")) options.init_scale = *scale->get<double>();
  if (const Value* growth = arguments.find("growth_factor")) options.growth_factor = *growth->get<double>();
  if (const Value* backoff = arguments.find("backoff_factor")) options.backoff_factor = *backoff->get<double>();
  options.growth_interval = *entry(arguments, "growth_interval").get<int64_t>();
  return options;
}

class ScalerParity : public PeerValueTest {
 protected:
  void SetUp() override {
    run_peer("scaler_peer.py");
    if (!IsSkipped() && !HasFatalFailure()) record_ = load("record.pt");
  }
  const List& traces() const { return *entry(record_, "traces").get<List>(); }

  template <typename T>
  static T recorded(const Value& trace, const std::string& key, size_t iteration) {
    return *(*entry(trace, key).get<List>())[iteration].template get<T>();
  }

  // Iterations from `begin` on, each compared with the trace.
  void follow(const Value& trace, at::Tensor weight, ddp::Adam& adam, ddp::GradScaler& scaler, size_t begin) const {
    const at::Tensor inputs = tensor(record_, "inputs");
    for (size_t i = begin; i < kIterations; ++i) {
      adam.zero_grad();
      at::Tensor loss;
      {
        const ddp::AutocastGuard autocast(at::kCPU, at::kHalf);
        loss = at::linear(inputs.select(0, static_cast<int64_t>(i)), weight).to(at::kFloat).square().mean();
      }
      scaler.scale(loss).backward();
      scaler.step(adam);
      EXPECT_EQ(!scaler.skipped(), recorded<bool>(trace, "stepped", i)) << "iteration " << i;
      scaler.update();
      EXPECT_EQ(scaler.scale_value(), recorded<double>(trace, "scales", i)) << "iteration " << i;
      EXPECT_EQ(*entry(scaler.state_dict(), "_growth_tracker").get<int64_t>(), recorded<int64_t>(trace, "trackers", i))
          << "iteration " << i;
      EXPECT_LT(largest_difference(weight.detach(), recorded<at::Tensor>(trace, "weights", i)), 1e-5)
          << "iteration " << i;
    }
  }

  Value record_;
};

TEST_F(ScalerParity, TheTracesArePythons) {
  if (IsSkipped()) return;
  ASSERT_EQ(traces().size(), 4u);
  for (const Value& trace : traces()) {
    const at::Tensor weight = tensor(record_, "weight").clone().set_requires_grad(true);
    ddp::Adam adam({weight}, {.lr = 0.01});
    ddp::GradScaler scaler(at::kCPU, scaler_options(entry(trace, "arguments")));
    follow(trace, weight, adam, scaler, 0);
    size_t skipped = 0;
    for (size_t i = 0; i < kIterations; ++i) skipped += !recorded<bool>(trace, "stepped", i);
    EXPECT_GE(skipped, 3u) << "the record must hold overflows";
  }
}

TEST_F(ScalerParity, ContinuesFromPythonsState) {
  if (IsSkipped()) return;
  for (const Value& trace : traces()) {
    const Value& half_way = entry(trace, "half_way");
    const at::Tensor weight = recorded<at::Tensor>(trace, "weights", kHalfWay).clone().set_requires_grad(true);
    ddp::Adam adam({weight}, {});
    ddp::GradScaler scaler(at::kCPU);
    ASSERT_TRUE(adam.load_state_dict(entry(half_way, "optimizer")).ok());
    ASSERT_TRUE(scaler.load_state_dict(entry(half_way, "scaler")).ok());
    follow(trace, weight, adam, scaler, kHalfWay + 1);
  }
}

}  // namespace
}  // namespace ferrun::parity
