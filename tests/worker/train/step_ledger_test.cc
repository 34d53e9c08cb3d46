#include "worker/train/step_ledger.h"

#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include "worker/train/evaluation.h"

namespace ferrun::train {
namespace {

at::Tensor numbers(double loss, double correct, double count) {
  at::Tensor tensor = at::full({3}, loss, at::kDouble);
  tensor.mutable_data_ptr<double>()[1] = correct;
  tensor.mutable_data_ptr<double>()[2] = count;
  return tensor;
}

at::Tensor flag(float value) { return at::full({}, value, at::kFloat); }

class StepLedgerTest : public ::testing::Test {
 protected:
  std::shared_ptr<ddp::ProcessGroup> group = ddp::ProcessGroup::create({}, {}).value();
  StepLedger ledger{c10::Device(c10::DeviceType::CPU), 3};
};

TEST_F(StepLedgerTest, GivesEachStepsSumsBackInOrder) {
  EXPECT_TRUE(ledger.empty());
  ledger.add(numbers(1.5, 2, 4), 0);
  ledger.add(numbers(0.25, 1, 2), 0);  // the step's second batch
  ledger.close(7);
  ledger.add(numbers(3, 0, 4), 0);
  ledger.close(8);
  EXPECT_FALSE(ledger.full());
  const std::vector<StepNumbers> read = ledger.read(*group);
  ASSERT_EQ(read.size(), 2u);
  EXPECT_EQ(read[0].step, 7);
  EXPECT_EQ(read[0].samples, (SampleSums{1.75, 3, 6}));
  EXPECT_EQ(read[1].step, 8);
  EXPECT_EQ(read[1].samples, (SampleSums{3, 0, 4}));
  EXPECT_EQ(read[0].not_finite + read[1].not_finite, 0);
  EXPECT_TRUE(ledger.empty());
  // The rows are used again.
  for (int64_t step = 9; step < 12; ++step) {
    ledger.add(numbers(1, 1, 1), 0);
    ledger.close(step);
  }
  EXPECT_TRUE(ledger.full());
  EXPECT_EQ(ledger.read(*group)[2].samples, (SampleSums{1, 1, 1}));
}

TEST_F(StepLedgerTest, ALossThatIsNotFiniteIsCountedAsSuchAlone) {
  ledger.add(numbers(1, 1, 2), 0);
  ledger.close(1);
  ledger.add(numbers(NAN, 1, 2), 0);
  ledger.add(numbers(INFINITY, 1, 2), 0);
  ledger.add(numbers(1, 1, 2), 0);
  ledger.close(2);
  const std::vector<StepNumbers> read = ledger.read(*group);
  EXPECT_EQ(read[0].not_finite, 0);
  EXPECT_EQ(read[1].not_finite, 1) << "ranks, not batches";
  EXPECT_EQ(read[1].first_rank, 0);
  EXPECT_EQ(read[1].samples, (SampleSums{1, 1, 2}));
}

TEST_F(StepLedgerTest, BehindASpoiltStepEveryStepIsLeftOut) {
  EXPECT_EQ(ledger.note_gradients(flag(0)).item<float>(), 0.0f);
  ledger.close(1);
  EXPECT_EQ(ledger.note_gradients(flag(1)).item<float>(), 1.0f);
  ledger.close(2);
  EXPECT_EQ(ledger.note_gradients(flag(0)).item<float>(), 1.0f) << "the weights stay as they were before step 2";
  ledger.close(3);
  const std::vector<StepNumbers> read = ledger.read(*group);
  EXPECT_FALSE(read[0].spoilt);
  EXPECT_TRUE(read[1].spoilt);
  EXPECT_FALSE(read[2].spoilt) << "its own gradients were finite";
}

TEST(BatchNumbers, AreLossHitsAndSamples) {
  at::Tensor logits = at::full({2, 2}, 0.0f);
  logits.mutable_data_ptr<float>()[0] = 1.0f;
  const at::Tensor sums = batch_numbers(logits, at::full({2}, 0, at::kLong));
  EXPECT_EQ(sums.scalar_type(), at::kDouble);
  EXPECT_NEAR(sums.const_data_ptr<double>()[0], std::log(1 + std::exp(-1.0)) + std::log(2.0), 1e-6);
  EXPECT_EQ(sums.const_data_ptr<double>()[1], 2.0) << "of equal ones the first is chosen";
  EXPECT_EQ(sums.const_data_ptr<double>()[2], 2.0);
  EXPECT_EQ(batch_numbers(logits, at::full({0}, 0, at::kLong)).abs().sum().item<double>(), 0.0);
}

}  // namespace
}  // namespace ferrun::train
