#include "worker/train/step_ledger.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

namespace ferrun::train {
namespace {

enum LedgerEntry { kLossSum, kHits, kSamples, kBadLoss, kBadLossRank, kBadGradients, kLedgerEntries };

}  // namespace

StepLedger::StepLedger(c10::Device device, int64_t steps)
    : rows_(at::zeros({steps, kLedgerEntries}, at::TensorOptions(at::kDouble).device(device))),
      failed_(at::zeros({}, at::TensorOptions(at::kFloat).device(device))) {}

void StepLedger::add(const at::Tensor& numbers, int rank) {
  const at::NoGradGuard no_grad;
  const at::Tensor finite = at::isfinite(numbers.select(0, kLossSum));
  const at::Tensor bad = finite.logical_not().to(at::kDouble);
  const at::Tensor counted = at::where(finite, numbers, at::zeros_like(numbers));
  // Of a step's batches one bad one is enough: a flag, not a number.
  const at::Tensor flags = row().narrow(0, kBadLoss, 2);
  flags.copy_(at::maximum(flags, at::stack({bad, bad.mul(rank)})));
  row().narrow(0, kLossSum, 3).add_(counted);
}

at::Tensor StepLedger::note_gradients(const at::Tensor& spoilt) {
  const at::NoGradGuard no_grad;
  row().select(0, kBadGradients).copy_(spoilt);
  failed_ = at::maximum(failed_, spoilt);
  return failed_;
}

void StepLedger::close(int64_t step) { steps_.push_back(step); }

std::vector<StepNumbers> StepLedger::read(ddp::ProcessGroup& group) {
  const at::NoGradGuard no_grad;
  const auto count = static_cast<int64_t>(steps_.size());
  at::Tensor host = rows_.narrow(0, 0, count).to(at::kCPU, rows_.scalar_type(), /*non_blocking=*/false, /*copy=*/true);
  rows_.zero_();
  group.all_reduce_sum(host);
  std::vector<StepNumbers> read;
  for (int64_t i = 0; i < count; ++i) {
    const double* const entries = host.const_data_ptr<double>() + i * kLedgerEntries;
    StepNumbers numbers;
    numbers.step = steps_[static_cast<size_t>(i)];
    numbers.samples = {entries[kLossSum], entries[kHits], entries[kSamples]};
    numbers.not_finite = static_cast<int64_t>(entries[kBadLoss]);
    if (numbers.not_finite == 1) numbers.first_rank = static_cast<int64_t>(entries[kBadLossRank]);
    numbers.spoilt = entries[kBadGradients] > 0.0;
    read.push_back(numbers);
  }
  steps_.clear();
  return read;
}

}  // namespace ferrun::train
