#include "worker/train/trainer.h"

#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "ferrun/client.h"
#include "worker/ddp/autocast.h"
#include "worker/ddp/gradient_norm.h"
#include "worker/train/value_fields.h"

namespace ferrun::train {
namespace {

// What a step's sums are sent as, in doubles.
enum Entry { kLoss, kCorrect, kCount, kWeight, kStop, kNotFinite, kNotFiniteRank, kEntries };

// A scale below this makes every gradient vanish; it began at 65536 and was halved at each step that was not finite.
constexpr double kCollapsedScale = 1.0 / 1024;

void multiply_gradients(const std::vector<at::Tensor>& parameters, double factor) {
  std::vector<at::Tensor> gradients;
  for (const at::Tensor& parameter : parameters) {
    if (parameter.grad().defined()) gradients.push_back(parameter.grad());
  }
  if (!gradients.empty()) at::_foreach_mul_(gradients, factor);
}

}  // namespace

Trainer::Trainer(const Parts& parts, const Options& options)
    : parts_(parts),
      options_(options),
      feed_(parts.loader, options.arithmetic.device, options.arithmetic.channels_last),
      ledger_(options.arithmetic.device.device, std::max<int64_t>(1, options.read_every)) {
  if (options.graph_batch > 0) {
    graph_.emplace(
        *options.arithmetic.device.cuda, parts.optimizer.parameters(),
        [this](const BatchTensors& batch, const at::Tensor& weight) { return passes(batch, weight); },
        options.graph_warm_up);
  }
  if (!options.class_weights.defined()) return;
  const at::Tensor weights = options.class_weights.to(at::kCPU, at::kDouble).contiguous();
  class_weights_.assign(weights.const_data_ptr<double>(), weights.const_data_ptr<double>() + weights.numel());
}

Result<bool> Trainer::train_epoch() {
  TrainingState& state = parts_.state;
  parts_.network.module()->train();
  feed_.start(state.epoch, state.samples);
  const int64_t batches = parts_.loader.batches();
  const int64_t steps_left = (batches + options_.accumulate - 1) / options_.accumulate;
  parts_.display.begin_epoch(state.epoch + 1, state.step + steps_left, state.sums.count);
  for (int64_t batch = 0; batch < batches; batch += options_.accumulate) {
    parts_.group.set_activity("epoch " + std::to_string(state.epoch + 1) + ", step " + std::to_string(state.step + 1));
    const int64_t in_step = std::min(options_.accumulate, batches - batch);
    const Result<Step> step = train_step(batch, in_step);
    if (!step) return step.error();
    ++state.step;
    for (int64_t i = 0; i < in_step; ++i) state.samples += parts_.loader.samples_in(batch + i);
    const bool last = batch + in_step >= batches;
    const bool save = options_.save_every > 0 && state.step % options_.save_every == 0 && !last && !step->stop;
    if (step->numbers) {
      if (Status counted = count(*step->numbers); !counted) return counted.error();
    } else if (ledger_.full() || last || save || step->stop) {
      if (Status counted = count_unread(); !counted) return counted.error();
    }
    if (step->stop) return false;
    if (save) {
      parts_.network.broadcast_buffers();
      if (Status saved = parts_.checkpointer.save_last(); !saved) return saved.error();
    }
  }
  if (state.sums.count == 0 && parts_.loader.size() > 0) {
    return Error{ErrorKind::kUser, "nothing was trained on in epoch " + std::to_string(state.epoch + 1) +
                                       ": no picture could be read" + first_reason(parts_.loader)};
  }
  return true;
}

Status Trainer::count(const StepNumbers& numbers) {
  if (Status finite = check_loss(numbers); !finite) return finite;
  if (numbers.spoilt) return not_finite("the gradients are", numbers.step);
  parts_.state.sums += numbers.samples;
  parts_.display.step_done(numbers.step, parts_.state.sums);
  return ok_status();
}

Status Trainer::count_unread() {
  if (ledger_.empty()) return ok_status();
  for (const StepNumbers& numbers : ledger_.read(parts_.group)) {
    if (Status counted = count(numbers); !counted) return counted;
  }
  return ok_status();
}

// Forward and backward for each batch, of which the last averages the gradients over the ranks; then the optimizer.
// What the host knows of the step (and its loss, where each is read) travels while the last backward pass computes, and
// with it the wish of any rank to stop: all ranks see it in the same step.
Result<Trainer::Step> Trainer::train_step(int64_t first_batch, int64_t batches) {
  int64_t planned = 0;  // samples of all ranks, before broken pictures are left out
  for (int64_t i = 0; i < batches; ++i) planned += parts_.loader.samples_in(first_batch + i);
  const int world_size = parts_.group.world_size();
  const int64_t number = parts_.state.step + 1;
  parts_.network.zero_grad();
  at::Tensor sums = at::zeros({kEntries}, at::kDouble);
  double* const entries = sums.mutable_data_ptr<double>();
  ddp::Wait sums_of_all_ranks;
  const auto send_sums = [&] {
    entries[kStop] = client::noted_stop_signal() != 0 ? 1.0 : 0.0;
    sums_of_all_ranks = parts_.group.start_all_reduce_sum(sums);
  };
  for (int64_t i = 0; i < batches; ++i) {
    const Result<BatchFeed::Batch> batch = feed_.next();
    if (!batch) return batch.error();
    const bool last = i + 1 == batches;
    const double own_weight = weight_of(batch->labels);
    const BatchTensors& tensors = batch->tensors;
    // DDP takes the mean over the ranks. This makes of it the mean over the samples, whatever each rank has of them;
    // with class weights a sum that is divided below, by weights that no rank knows alone.
    const double weight = own_weight * world_size / static_cast<double>(planned);
    const auto backward = [&] {
      at::Tensor logits;
      at::Tensor loss = loss_of(tensors, logits);
      if (weight != 1.0) loss = loss * weight;
      const at::Tensor numbers = batch_numbers(logits, tensors.targets);
      if (!reads_each_step()) {
        ledger_.add(numbers, parts_.group.rank());
        entries[kWeight] += own_weight;
      } else {
        const at::Tensor read = numbers.to(at::kCPU);
        const double* const own = read.const_data_ptr<double>();
        if (std::isfinite(own[kLoss])) {
          entries[kLoss] += own[kLoss];
          entries[kCorrect] += own[kCorrect];
          entries[kCount] += own[kCount];
          entries[kWeight] += own_weight;
        } else {
          entries[kNotFinite] = 1.0;
          entries[kNotFiniteRank] = parts_.group.rank();
        }
      }
      if (last) send_sums();
      parts_.scaler.scale(loss).backward();
    };
    const Result<bool> by_graph = batches == 1 ? run_graph(*batch, planned, weight) : Result<bool>(false);
    if (!by_graph) return by_graph.error();
    if (*by_graph) {
      entries[kWeight] += own_weight;
      send_sums();
    } else if (last) {
      backward();
    } else {
      const auto local = parts_.network.no_sync();
      backward();
    }
  }
  sums_of_all_ranks();
  Step step;
  step.stop = entries[kStop] > 0.0;
  if (reads_each_step()) {
    step.numbers = StepNumbers{number, {entries[kLoss], entries[kCorrect], entries[kCount]}};
    step.numbers->not_finite = static_cast<int64_t>(entries[kNotFinite]);
    if (step.numbers->not_finite == 1) step.numbers->first_rank = static_cast<int64_t>(entries[kNotFiniteRank]);
    if (Status finite = check_loss(*step.numbers); !finite) return finite.error();
  }
  const double weight = entries[kWeight];
  if (weight > 0.0 && weight != static_cast<double>(planned) && entries[kNotFinite] == 0.0) {
    multiply_gradients(parts_.optimizer.parameters(), static_cast<double>(planned) / weight);
  }
  if (Status stepped = step_optimizer(); !stepped) return stepped.error();
  if (!reads_each_step()) ledger_.close(number);
  return step;
}

// All ranks take the same way: the step's size is planned, and pictures are left out of it on a single rank alone. What
// changes from step to step (learning rate, class weights' sums, the ledger's row) stays outside, with the optimizer,
// whose fused kernels are few.
Result<bool> Trainer::run_graph(const BatchFeed::Batch& batch, int64_t samples, double weight) {
  if (!graph_ || samples != options_.graph_batch) return false;
  if (parts_.group.alone() && std::ssize(batch.labels) != samples) return false;
  if (!graph_->is_warm()) return false;
  try {
    const bool records = !graph_->recorded();
    const at::Tensor& numbers = graph_->run(batch.tensors, weight);
    if (!records) parts_.network.replayed();  // recording has called all of DDP
    ledger_.add(numbers, parts_.group.rank());
    return true;
  } catch (const c10::Error& error) {
    if (graph_->recorded()) throw;
    const std::string words = error.what_without_backtrace();
    const std::string why = "the step cannot be recorded as a CUDA graph (" + words.substr(0, words.find('\n')) + ")";
    if (!parts_.group.alone()) return Error{ErrorKind::kUser, "--cuda-graph on: " + why + "; use --cuda-graph off"};
    parts_.display.say("note: " + why + ": its operations are started one by one");
    graph_.reset();
    parts_.network.zero_grad();
    return false;
  }
}

at::Tensor Trainer::passes(const BatchTensors& batch, const at::Tensor& weight) {
  at::Tensor logits;
  const at::Tensor loss = loss_of(batch, logits);
  const at::Tensor numbers = batch_numbers(logits, batch.targets);
  parts_.scaler.scale(loss * weight).backward();
  return numbers;
}

Status Trainer::step_optimizer() {
  ddp::Optimizer& optimizer = parts_.optimizer;
  const std::vector<at::Tensor>& parameters = optimizer.parameters();
  optimizer.set_lrs(parts_.schedule.lrs());
  if (parts_.scaler.enabled()) {
    parts_.scaler.unscale(parameters);
    if (options_.clip_grad > 0) ddp::clip_grad_norm(parameters, options_.clip_grad);
    parts_.scaler.step(optimizer);
    parts_.scaler.update();
  } else {
    const at::Tensor norm =
        options_.clip_grad > 0 ? ddp::clip_grad_norm(parameters, options_.clip_grad) : ddp::grad_norm(parameters);
    const at::Tensor spoilt = ddp::not_finite(norm);
    optimizer.step({}, reads_each_step() ? spoilt : ledger_.note_gradients(spoilt));
    if (reads_each_step() && spoilt.item<float>() != 0.0f) {
      return not_finite("the gradients are", parts_.state.step + 1);
    }
  }
  if (parts_.average != nullptr) parts_.average->update();
  return ok_status();
}

double Trainer::weight_of(const std::vector<int64_t>& labels) const {
  if (class_weights_.empty()) return static_cast<double>(labels.size());
  double weight = 0.0;
  for (const int64_t label : labels) weight += class_weights_[static_cast<size_t>(label)];
  return weight;
}

at::Tensor Trainer::loss_of(const BatchTensors& batch, at::Tensor& logits) {
  const Arithmetic& arithmetic = options_.arithmetic;
  const ddp::AutocastGuard autocast(arithmetic.device.device.type(), arithmetic.autocast.value_or(at::kBFloat16),
                                    arithmetic.autocast.has_value());
  if (batch.targets.numel() > 0) {
    // Fewer than BatchNorm can train on are left where the others of the share were broken and skipped: it then takes
    // the statistics that it has, and leaves them alone.
    const bool too_few = batch.targets.numel() < model::least_training_batch(batch.pixels.size(2));
    if (too_few) parts_.network.module()->eval();
    logits = parts_.network.forward(batch.pixels);
    if (too_few) parts_.network.module()->train();
    constexpr int64_t kNoClass = -100;
    return at::cross_entropy_loss(logits, batch.targets, options_.class_weights, at::Reduction::Mean, kNoClass,
                                  options_.label_smoothing);
  }
  // This rank has no share of the batch, or every picture of it was broken and skipped. The others wait for its
  // gradients: give zeros, and leave BatchNorm's statistics alone.
  parts_.network.module()->eval();
  logits =
      parts_.network.forward(at::zeros({1, 3, batch.pixels.size(2), batch.pixels.size(3)}, batch.pixels.options()));
  parts_.network.module()->train();
  return logits.sum() * 0.0;
}

Status Trainer::check_loss(const StepNumbers& numbers) const {
  if (numbers.not_finite == 0) return ok_status();
  if (parts_.scaler.enabled() && parts_.scaler.scale_value() >= kCollapsedScale) return ok_status();
  const std::string whose = numbers.first_rank >= 0 ? "of rank " + std::to_string(numbers.first_rank)
                                                    : "of " + std::to_string(numbers.not_finite) + " ranks";
  return not_finite("the loss " + whose + " is", numbers.step);
}

Error Trainer::not_finite(const std::string& what, int64_t step) const {
  return {
      ErrorKind::kUser,
      what + " not finite in epoch " + std::to_string(parts_.state.epoch + 1) + ", step " + std::to_string(step) +
          ", at learning rate " + value_text(parts_.schedule.lr()) +
          (parts_.scaler.enabled() ? ", and the gradient scaler's scale has collapsed" : "") +
          ": lower --lr, or set --clip-grad; the last checkpoint is from before that, and --resume continues from it"};
}

}  // namespace ferrun::train
