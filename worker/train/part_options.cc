#include "worker/train/part_options.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "worker/ddp/class_weights.h"
#include "worker/train/batch_feed.h"

namespace ferrun::train {

ShardedLoaderOptions loader_options(const TrainOptions& options, const Job& job) {
  ShardedLoaderOptions sharded;
  sharded.batch_size = options.batch_size;
  sharded.loader.threads = loader_threads(options.data.num_workers, job);
  sharded.loader.channels_last = options.channels_last;
  sharded.loader.bad_images = options.data.bad_images;
  sharded.loader.seed = options.seed;  // one for all ranks: their shards are parts of one permutation
  sharded.loader = BatchFeed::for_device(std::move(sharded.loader), job.device);
  return sharded;
}

int loader_threads(int requested, const Job& job) {
  return loader_threads(requested, job.device, usable_cores(), job.context.local_world_size, job.threads);
}

int64_t cache_bytes(const DataOptions& options, const ComputeDevice& device) {
  constexpr int64_t kMebibyte = int64_t{1} << 20;
  constexpr int64_t kOnGpu = 1024;
  return kMebibyte * (options.cache_mib >= 0 ? options.cache_mib : device.is_cuda() ? kOnGpu : 0);
}

int64_t read_every(const TrainOptions& options, const ComputeDevice& device) {
  constexpr int64_t kOnGpu = 20;
  return options.read_every > 0 ? options.read_every : device.is_cuda() ? kOnGpu : 1;
}

GraphDecision graph_decision(const TrainOptions& options, const Job& job) {
  GraphTerms terms;
  terms.on_gpu = job.device.is_cuda();
  terms.ranks = job.group->world_size();
  terms.batch_size = options.batch_size;
  terms.least_share = model::least_training_batch(options.data.size());
  terms.accumulate = options.accumulate;
  terms.read_every = read_every(options, job.device);
  terms.skips_pictures = options.data.bad_images == data::BadImages::kSkip;
  return decide_graph(options.cuda_graph, terms);
}

double weight_decay(const TrainOptions& options) {
  return options.weight_decay.value_or(options.optimizer == OptimizerChoice::kAdamW ? 0.01 : 0.0);
}

ddp::OptimizerOptions optimizer_options(const TrainOptions& options) {
  if (options.optimizer == OptimizerChoice::kSgd) {
    ddp::SgdOptions sgd;
    sgd.lr = options.lr;
    sgd.momentum = options.momentum;
    sgd.nesterov = options.nesterov;
    sgd.weight_decay = weight_decay(options);
    return sgd;
  }
  ddp::AdamOptions adam;
  adam.lr = options.lr;
  adam.decoupled_weight_decay = options.optimizer == OptimizerChoice::kAdamW;
  adam.weight_decay = weight_decay(options);
  return adam;
}

ddp::LrScheduleOptions schedule_options(const TrainOptions& options) {
  ddp::LrScheduleOptions schedule;
  schedule.initial_lr = options.lr;
  schedule.warmup.epochs = options.warmup;
  switch (options.schedule) {
    case ScheduleChoice::kStep: schedule.schedule = ddp::StepLrOptions{options.step_size, options.gamma}; break;
    case ScheduleChoice::kCosine:
      schedule.schedule =
          ddp::CosineAnnealingLrOptions{std::max<int64_t>(1, options.epochs - options.warmup), options.min_lr};
      break;
    case ScheduleChoice::kPlateau: {
      ddp::ReduceLrOnPlateauOptions plateau;
      plateau.larger_is_better = options.monitor != Monitor::kLoss;
      plateau.factor = options.gamma;
      plateau.patience = options.plateau_patience;
      plateau.min_lr = options.min_lr;
      schedule.schedule = plateau;
    }
  }
  return schedule;
}

ddp::GradScalerOptions scaler_options(const Arithmetic& arithmetic) {
  ddp::GradScalerOptions scaler;
  scaler.enabled = arithmetic.autocast == at::kHalf;
  return scaler;
}

EarlyStopping early_stopping(const TrainOptions& options) {
  EarlyStopping stopping;
  stopping.monitor = options.monitor;
  stopping.min_delta = options.min_delta;
  stopping.patience = options.patience;
  return stopping;
}

Result<at::Tensor> class_weights(const TrainOptions& options, const data::Dataset& pictures, c10::Device device) {
  if (options.class_weights == ClassWeights::kNone) return at::Tensor();
  std::vector<int64_t> counts(pictures.classes().size());
  for (int64_t i = 0; i < pictures.size(); ++i) ++counts[static_cast<size_t>(pictures.label(i))];
  const Result<std::vector<double>> weights = ddp::balanced_class_weights(counts, pictures.classes());
  if (!weights) return Error{weights.error().kind, "--class-weights: " + weights.error().message};
  at::Tensor tensor = at::empty({std::ssize(*weights)}, at::kFloat);
  std::ranges::transform(*weights, tensor.mutable_data_ptr<float>(),
                         [](double value) { return static_cast<float>(value); });
  return tensor.to(device);
}

}  // namespace ferrun::train
