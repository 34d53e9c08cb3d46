#include "worker/train/evaluation.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/zeros.h>

#include "worker/ddp/autocast.h"
#include "worker/train/batch_tensors.h"
#include "worker/train/epoch_plan.h"

namespace ferrun::train {
namespace {

at::Tensor forward(model::EmotionNet& model, const at::Tensor& pixels, const Arithmetic& arithmetic) {
  const ddp::AutocastGuard autocast(arithmetic.device.device.type(), arithmetic.autocast.value_or(at::kBFloat16),
                                    arithmetic.autocast.has_value());
  return model->forward(pixels);
}

}  // namespace

at::Tensor batch_sums(const at::Tensor& logits, const at::Tensor& targets, int64_t counted) {
  const at::NoGradGuard no_grad;
  at::Tensor sums = at::zeros({4}, at::kDouble);
  const at::Tensor seen = logits.detach().narrow(0, 0, counted).to(at::kFloat);
  const at::Tensor wanted = targets.narrow(0, 0, counted);
  double* const values = sums.mutable_data_ptr<double>();
  if (counted > 0) {
    values[0] = at::cross_entropy_loss(seen, wanted, {}, at::Reduction::None).sum(at::kDouble).item<double>();
    values[1] = static_cast<double>(seen.argmax(1).eq(wanted).sum().item<int64_t>());
    values[2] = static_cast<double>(counted);
  }
  return sums;
}

SampleSums to_sums(const at::Tensor& sums) {
  const double* const values = sums.const_data_ptr<double>();
  return {values[0], values[1], values[2]};
}

Result<SampleSums> evaluate(model::EmotionNet& model, data::Loader& loader, const ddp::DistributedSampler& sampler,
                            int64_t batch_size, const Arithmetic& arithmetic, ddp::ProcessGroup& group) {
  const at::NoGradGuard no_grad;
  model->eval();
  const EpochPlan plan = EpochPlan::make(sampler, 0, batch_size);
  loader.start(plan.indices, 0);
  at::Tensor total = at::zeros({4}, at::kDouble);
  for (int64_t batch_number = 0; batch_number < plan.batches(); ++batch_number) {
    group.set_activity("validation, step " + std::to_string(batch_number + 1));
    Result<std::optional<data::Batch>> batch = loader.next();
    if (!batch) {
      return batch.error();
    }
    const int64_t counted = plan.counted_in_batch(batch_number, (*batch)->indices);
    if ((*batch)->labels.empty()) {
      continue;  // every picture of it was broken and skipped
    }
    const BatchTensors tensors = to_tensors(std::move(**batch), arithmetic.channels_last, arithmetic.device.device);
    total += batch_sums(forward(model, tensors.pixels, arithmetic), tensors.targets, counted);
  }
  group.all_reduce_sum(total);
  return to_sums(total);
}

}  // namespace ferrun::train
