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

class ScalerParity : public PeerValueTest {
 protected:
  void SetUp() override {
    run_peer("scaler_peer.py");
    if (!IsSkipped() && !HasFatalFailure()) record_ = load("record.pt");
  }
  template <typename T>
  T recorded(const std::string& key, size_t iteration) const {
    return *(*entry(record_, key).get<List>())[iteration].template get<T>();
  }

  // Iterations from `begin` on, each compared with the record.
  void follow(at::Tensor weight, ddp::Adam& adam, ddp::GradScaler& scaler, size_t begin) const {
    const at::Tensor inputs = tensor(record_, "inputs");
    for (size_t i = begin; i < kIterations; ++i) {
      adam.zero_grad();
      at::Tensor loss;
      {
        const ddp::AutocastGuard autocast(at::kCPU, at::kHalf);
        loss = at::linear(inputs.select(0, static_cast<int64_t>(i)), weight).to(at::kFloat).square().mean();
      }
      scaler.scale(loss).backward();
      scaler.step(adam, {weight});
      EXPECT_EQ(!scaler.skipped(), recorded<bool>("stepped", i)) << "iteration " << i;
      scaler.update();
      EXPECT_EQ(scaler.scale_value(), recorded<double>("scales", i)) << "iteration " << i;
      EXPECT_EQ(*entry(scaler.state_dict(), "_growth_tracker").get<int64_t>(), recorded<int64_t>("trackers", i))
          << "iteration " << i;
      EXPECT_LT(largest_difference(weight.detach(), recorded<at::Tensor>("weights", i)), 1e-5) << "iteration " << i;
    }
  }

  Value record_;
};

TEST_F(ScalerParity, TheTraceIsPythons) {
  const at::Tensor weight = tensor(record_, "weight").clone().set_requires_grad(true);
  ddp::Adam adam({weight}, {.lr = 0.01});
  ddp::GradScaler scaler(at::kCPU, {.init_scale = 1024, .growth_interval = 4});
  follow(weight, adam, scaler, 0);
  size_t skipped = 0;
  for (size_t i = 0; i < kIterations; ++i) skipped += !recorded<bool>("stepped", i);
  EXPECT_GE(skipped, 3u) << "the record must hold overflows";
}

TEST_F(ScalerParity, ContinuesFromPythonsState) {
  const Value half_way = load("half_way.pt");
  const at::Tensor weight = recorded<at::Tensor>("weights", kHalfWay).clone().set_requires_grad(true);
  ddp::Adam adam({weight}, {});
  ddp::GradScaler scaler(at::kCPU);
  ASSERT_TRUE(adam.load_state_dict(entry(half_way, "optimizer")).ok());
  ASSERT_TRUE(scaler.load_state_dict(entry(half_way, "scaler")).ok());
  follow(weight, adam, scaler, kHalfWay + 1);
}

}  // namespace
}  // namespace ferrun::parity
