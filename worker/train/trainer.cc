#include "worker/train/trainer.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <mutex>
#include <utility>

#include "worker/checkpoint/atomic_file.h"
#include "worker/ddp/autocast.h"
#include "worker/ddp/replica_check.h"
#include "worker/train/batch_tensors.h"
#include "worker/train/channels_last.h"
#include "worker/train/curves.h"
#include "worker/train/output_plan.h"
#include "worker/train/source_data.h"
#include "worker/train/stop_signal.h"

namespace ferrun::train {
namespace {

constexpr int kStopEntry = 3;  // of batch_sums: a rank that was asked to stop puts a one here

ddp::DistributedSampler sampler_for(const data::Dataset& dataset, const ddp::ProcessGroup& group, bool shuffle,
                                    uint64_t seed) {
  ddp::DistributedSampler sampler;
  sampler.dataset_size = dataset.size();
  sampler.world_size = group.world_size();
  sampler.rank = group.rank();
  sampler.shuffle = shuffle;
  sampler.seed = seed;  // one seed for all ranks: their shards are parts of one permutation
  return sampler;
}

data::LoaderOptions loader_options(const TrainOptions& options, int64_t batch_size) {
  data::LoaderOptions loader;
  loader.batch_size = batch_size;
  loader.threads = options.data.num_workers;
  loader.channels_last = options.channels_last;
  loader.bad_images = options.data.bad_images;
  loader.seed = options.seed;
  return loader;
}

// Weights are drawn from the seed, then laid out for the device; before the optimizer and DDP look at their strides.
model::EmotionNet make_model(const TrainOptions& options, const ComputeDevice& device, size_t classes) {
  at::manual_seed(options.seed);
  model::EmotionNet model(static_cast<int64_t>(classes));
  model->to(device.device);
  if (options.channels_last) {
    use_channels_last(*model);
  }
  return model;
}

ddp::AdamOptions adam_options(const TrainOptions& options) {
  ddp::AdamOptions adam;
  adam.lr = options.lr;
  adam.decoupled_weight_decay = options.optimizer == OptimizerChoice::kAdamW;
  adam.weight_decay = options.weight_decay.value_or(adam.decoupled_weight_decay ? 0.01 : 0.0);
  return adam;
}

ddp::GradScalerOptions scaler_options(const Arithmetic& arithmetic) {
  ddp::GradScalerOptions scaler;
  scaler.enabled = arithmetic.autocast == at::kHalf;
  return scaler;
}

at::Tensor random_state() {
  at::Generator generator = at::detail::getDefaultCPUGenerator();
  const std::lock_guard lock(generator.mutex());
  return generator.get_state();
}

bool stop_agreed(const at::Tensor& sums) { return sums.const_data_ptr<double>()[kStopEntry] > 0.0; }

std::string precision_name(const Arithmetic& arithmetic) {
  return !arithmetic.autocast ? "fp32" : *arithmetic.autocast == at::kHalf ? "fp16" : "bf16";
}

}  // namespace

Trainer::Trainer(const TrainOptions& options, const Job& job, const data::Split& split, std::string output_directory)
    : options_(options),
      job_(job),
      split_(split),
      output_directory_(std::move(output_directory)),
      arithmetic_{job.device, autocast_type(options.amp, job.device), options.channels_last},
      batch_size_(options.batch_size / job.group->world_size()),
      train_sampler_(sampler_for(*split.train, *job.group, true, options.seed)),
      val_sampler_(sampler_for(*split.val, *job.group, false, options.seed)),
      train_loader_(split.train, data::Transform::train(options.data.size()), loader_options(options, batch_size_)),
      val_loader_(split.val, data::Transform::validation(options.data.size()), loader_options(options, batch_size_)),
      model_(make_model(options, job.device, split.train->classes().size())),
      optimizer_(model_->parameters(), adam_options(options)),
      schedule_(options.lr, options.step_size, options.gamma),
      scaler_(job.device.device, scaler_options(arithmetic_)),
      display_(job.group->rank() == 0, options.epochs) {
  state_.early_stopping = EarlyStopping::with_patience(options.patience);
}

Status Trainer::resume_from(const checkpoint::Value& checkpoint) {
  Result<Restored> restored = restore(checkpoint, parts(), identity(), job_.group->rank());
  if (!restored) {
    return restored.error();
  }
  for (const std::string& warning : restored->warnings) {
    display_.say("note: " + warning + "; the run will not equal an undisturbed one");
  }
  return ok_status();
}

Ending Trainer::run() {
  network_.emplace(model_, job_.group);
  show_start();
  // A checkpoint from the first moment on: a restarted worker finds its launch's mark, whatever the directory held
  // before.
  if (Status saved = save(kLastModel, true); !saved) {
    return Ending::failure(saved.error());
  }
  Ending ending = train();
  if (ending.message.empty() && job_.group->rank() == 0 && !state_.history.empty()) {
    if (Status drawn = write_curves(join_path(output_directory_, kCurvesFile), state_.history); !drawn) {
      return Ending::failure(drawn.error());
    }
  }
  return ending;
}

Ending Trainer::train() {
  while (state_.epoch < options_.epochs && !state_.early_stopping.exhausted()) {
    const Result<bool> completed = train_epoch();
    if (!completed) return Ending::failure(completed.error());
    if (!*completed) {
      const Status saved = save_within_epoch();
      return saved ? stopped() : Ending::failure(saved.error());
    }
    network_->broadcast_buffers();
    const Result<SampleSums> validation =
        evaluate(model_, val_loader_, val_sampler_, batch_size_, arithmetic_, *job_.group);
    if (!validation) return Ending::failure(validation.error());
    show_skipped();
    if (Status finished = finish_epoch(*validation); !finished) return Ending::failure(finished.error());
    at::Tensor stop = at::full({4}, noted_stop_signal() != 0 ? 1.0 : 0.0, at::kDouble);
    job_.group->all_reduce_sum(stop);
    if (stop_agreed(stop)) return stopped();
  }
  if (state_.early_stopping.exhausted()) {
    display_.say("stopped early: no better validation accuracy for " + std::to_string(options_.patience) + " epochs");
  }
  return Ending::success();
}

Result<bool> Trainer::train_epoch() {
  model_->train();
  const EpochPlan plan = EpochPlan::make(train_sampler_, state_.epoch, batch_size_);
  train_loader_.start(plan.indices, state_.epoch, state_.step);
  display_.begin_epoch(state_.epoch + 1, plan.batches(), state_.sums.count);
  while (state_.step < plan.batches()) {
    job_.group->set_activity("epoch " + std::to_string(state_.epoch + 1) + ", step " + std::to_string(state_.step + 1));
    Result<std::optional<data::Batch>> batch = train_loader_.next();
    if (!batch) return batch.error();
    const int64_t counted = plan.counted_in_batch(state_.step, (*batch)->indices);
    const at::Tensor sums = train_step(std::move(**batch), counted);
    state_.sums += to_sums(sums);
    ++state_.step;
    display_.step_done(state_.step, state_.sums);
    if (stop_agreed(sums)) return false;
    if (options_.save_every > 0 && state_.step % options_.save_every == 0 && state_.step < plan.batches()) {
      if (Status saved = save_within_epoch(); !saved) return saved.error();
    }
  }
  return true;
}

// Forward, backward (which averages the gradients over the ranks), optimizer. The step's sums travel while the backward
// pass computes, and with them the wish of any rank to stop: all ranks see it in the same step.
at::Tensor Trainer::train_step(data::Batch batch, int64_t counted) {
  const BatchTensors tensors = to_tensors(std::move(batch), options_.channels_last, job_.device.device);
  network_->zero_grad();
  at::Tensor logits;
  const at::Tensor loss = loss_of(tensors, logits);
  at::Tensor sums = batch_sums(logits, tensors.targets, counted);
  sums.mutable_data_ptr<double>()[kStopEntry] = noted_stop_signal() != 0 ? 1.0 : 0.0;
  const ddp::Wait sums_of_all_ranks = job_.group->start_all_reduce_sum(sums);
  scaler_.scale(loss).backward();
  sums_of_all_ranks();
  optimizer_.set_lr(schedule_.lr());
  scaler_.step(optimizer_, optimizer_.parameters());
  scaler_.update();
  return sums;
}

at::Tensor Trainer::loss_of(const BatchTensors& batch, at::Tensor& logits) {
  const ddp::AutocastGuard autocast(job_.device.device.type(), arithmetic_.autocast.value_or(at::kBFloat16),
                                    arithmetic_.autocast.has_value());
  if (batch.targets.numel() > 0) {
    logits = network_->forward(batch.pixels);
    return at::cross_entropy_loss(logits, batch.targets);
  }
  // Every picture of the batch was broken and skipped. The other ranks wait for this one's gradients: give zeros, and
  // leave BatchNorm's statistics alone.
  model_->eval();
  const int64_t size = options_.data.size();
  logits = network_->forward(at::zeros({1, 3, size, size}, batch.pixels.options()));
  model_->train();
  return logits.sum() * 0.0;
}

Status Trainer::finish_epoch(const SampleSums& validation) {
  EpochMetrics metrics;
  metrics.epoch = state_.epoch + 1;
  metrics.lr = schedule_.lr();
  metrics.train_loss = state_.sums.mean_loss();
  metrics.train_accuracy = state_.sums.accuracy();
  metrics.val_loss = validation.mean_loss();
  metrics.val_accuracy = validation.accuracy();
  state_.history.push_back(metrics);
  const bool best = state_.early_stopping.improved_by(metrics.val_accuracy);
  schedule_.step(metrics.val_loss);
  ++state_.epoch;
  state_.step = 0;
  state_.sums = {};
  display_.epoch_done(metrics, best);
  // last_model.pt comes last: after a kill between the files the epoch is repeated, and writes all of them again.
  if (best) {
    if (Status saved = save_best(); !saved) return saved.error();
  }
  if (Status written = write_metrics(); !written) return written.error();
  return save(kLastModel, true);
}

Status Trainer::save_within_epoch() {
  network_->broadcast_buffers();
  return save(kLastModel, true);
}

Status Trainer::save_best() {
  checkpoint::WriteOptions options;
  options.previous_path = join_path(output_directory_, kPreviousBest);
  return save(kBestModel, false, options);
}

// A checkpoint of rank 0's weights is everybody's only as long as all ranks hold the same.
Status Trainer::check_replicas() {
  const std::vector<int> differing = ddp::ranks_that_differ(optimizer_.parameters(), *job_.group);
  if (differing.empty()) return ok_status();
  std::string ranks;
  for (const int rank : differing) ranks += (ranks.empty() ? "" : ", ") + std::to_string(rank);
  return Error{ErrorKind::kInternal, "the weights of rank " + ranks +
                                         " are no longer those of rank 0 (broken memory? another build of the "
                                         "libraries?); the last checkpoint is from before that"};
}

// All ranks take part, rank 0 writes.
Status Trainer::save(const char* name, bool launch, const checkpoint::WriteOptions& options) {
  job_.group->set_activity(std::string("saving ") + name);
  if (Status same = check_replicas(); !same) return same;
  const std::vector<at::Tensor> random_states = job_.group->all_gather(random_state());
  if (job_.group->rank() != 0) {
    return ok_status();
  }
  return checkpoint::write_atomically(join_path(output_directory_, name),
                                      checkpoint_value(parts(), identity(), random_states, launch), options);
}

Status Trainer::write_metrics() {
  if (job_.group->rank() != 0) {
    return ok_status();
  }
  const std::string csv = metrics_csv(state_.history);
  checkpoint::AtomicFile file(join_path(output_directory_, kMetricsFile));
  if (Status opened = file.open(); !opened) return opened;
  const auto* const bytes = reinterpret_cast<const uint8_t*>(csv.data());
  if (Status written = file.write({bytes, csv.size()}); !written) return written;
  return file.commit();
}

Ending Trainer::stopped() {
  job_.group->barrier();  // rank 0's checkpoint is in place
  const int own = noted_stop_signal();
  const int signal = own != 0 ? own : SIGTERM;
  display_.say("stopped by " + signal_name(signal) + " after " + std::to_string(state_.epoch) + " epochs and " +
               std::to_string(state_.step) + " steps; continue with --resume " + output_directory_);
  Ending ending;
  ending.status = 128 + signal;
  return ending;
}

RunIdentity Trainer::identity() const {
  const auto whole = [](int64_t number) { return checkpoint::Value(number); };
  RunIdentity identity;
  identity.classes = split_.train->classes();
  identity.launch_id = job_.context.launch_id;
  identity.world_size = job_.group->world_size();
  identity.options = {{"image_size", whole(options_.data.size())},
                      {"batch_size", whole(options_.batch_size)},
                      {"lr", options_.lr},
                      {"step_size", whole(options_.step_size)},
                      {"gamma", options_.gamma},
                      {"seed", whole(static_cast<int64_t>(options_.seed))},
                      {"optimizer", options_.optimizer == OptimizerChoice::kAdam ? "adam" : "adamw"},
                      {"weight_decay", adam_options(options_).weight_decay},
                      {"device", job_.device.name()},
                      {"precision", precision_name(arithmetic_)},
                      {"channels_last", options_.channels_last},
                      {"threads", whole(job_.threads)},
                      {"world_size", whole(job_.group->world_size())},
                      {"training_samples", whole(split_.train->size())},
                      {"validation_samples", whole(split_.val->size())}};
  return identity;
}

void Trainer::show_start() {
  int64_t parameters = 0;
  for (const at::Tensor& parameter : optimizer_.parameters()) {
    parameters += parameter.numel();
  }
  const std::string size = std::to_string(options_.data.size());
  const int ranks = job_.group->world_size();
  display_.say("training " + std::to_string(parameters) + " parameters on " + describe_data(options_.data, split_) +
               " at " + size + "x" + size + ", " + std::to_string(split_.train->classes().size()) + " classes, " +
               std::to_string(split_.val->size()) + " to validate");
  display_.say(std::to_string(ranks) + (ranks == 1 ? " rank" : " ranks") + " on " + job_.device.name() + ", " +
               std::to_string(job_.threads) + (job_.threads == 1 ? " thread" : " threads") + " each, " +
               precision_name(arithmetic_) + ", batch " + std::to_string(batch_size_ * ranks) + ", seed " +
               std::to_string(options_.seed) + ", output in " + output_directory_);
  if (state_.epoch > 0 || state_.step > 0) {
    display_.say("continuing after epoch " + std::to_string(state_.epoch) +
                 (state_.step > 0 ? ", step " + std::to_string(state_.step) : ""));
  }
}

// A count that grew is worth a line; each rank knows its own.
void Trainer::show_skipped() {
  const int64_t skipped = train_loader_.skipped() + val_loader_.skipped();
  if (skipped > shown_skipped_) {
    shown_skipped_ = skipped;
    const std::optional<Error>& first =
        train_loader_.first_skipped() ? train_loader_.first_skipped() : val_loader_.first_skipped();
    std::fprintf(stderr, "worker: rank %d has skipped %lld broken pictures so far, first: %s\n", job_.group->rank(),
                 static_cast<long long>(skipped), first ? first->message.c_str() : "");
  }
}

}  // namespace ferrun::train
