#include "worker/train/training_state.h"

#include <algorithm>
#include <cmath>

#include "worker/train/value_fields.h"

namespace ferrun::train {
namespace {

using checkpoint::Dict;
using checkpoint::List;
using checkpoint::Value;

Value metrics_value(const EpochMetrics& metrics) {
  Dict dict{{"epoch", metrics.epoch},           {"lr", metrics.lr},
            {"train_loss", metrics.train_loss}, {"train_accuracy", metrics.train_accuracy},
            {"val_loss", metrics.val_loss},     {"val_accuracy", metrics.val_accuracy}};
  if (metrics.val_f1) dict.emplace_back("val_f1", *metrics.val_f1);
  return dict;
}

Status read_metrics(const Value& value, EpochMetrics& metrics) {
  const Result<int64_t> epoch = integer_field(value, "epoch");
  if (!epoch) return epoch.error();
  metrics.epoch = *epoch;
  const std::pair<const char*, double*> numbers[] = {{"lr", &metrics.lr},
                                                     {"train_loss", &metrics.train_loss},
                                                     {"train_accuracy", &metrics.train_accuracy},
                                                     {"val_loss", &metrics.val_loss},
                                                     {"val_accuracy", &metrics.val_accuracy}};
  for (const auto& [key, target] : numbers) {
    const Result<double> number = number_field(value, key);
    if (!number) return number.error();
    *target = *number;
  }
  if (value.find("val_f1") == nullptr) return ok_status();  // of an older version
  const Result<double> f1 = number_field(value, "val_f1");
  if (!f1) return f1.error();
  metrics.val_f1 = *f1;
  return ok_status();
}

// Checkpoints that count steps alone were written when every rank's batch was the batch size over the world size.
Result<int64_t> samples_done(const Value& checkpoint, int64_t step) {
  constexpr int64_t kMost = int64_t{1} << 40;
  if (checkpoint.find("samples_done") != nullptr) return integer_field(checkpoint, "samples_done");
  const Value* const options = checkpoint.find("options");
  if (step == 0 || options == nullptr) return int64_t{0};
  const Result<int64_t> batch_size = integer_field(*options, "batch_size");
  if (!batch_size) return batch_size.error();
  const Result<int64_t> world_size = integer_field(checkpoint, "world_size");
  if (!world_size) return world_size.error();
  if (*world_size < 1 || *batch_size < 1 || *batch_size > kMost || step < 0 || step > kMost / *batch_size) {
    return Error{ErrorKind::kUser, "its position in the epoch cannot be told"};
  }
  return step * (*batch_size / *world_size) * *world_size;
}

Status read_position(const Value& checkpoint, TrainingState& state) {
  const Value* const sampler = checkpoint.find("sampler");
  const Value* const sums = checkpoint.find("partial_sums");
  if (sampler == nullptr || sums == nullptr) {
    return Error{ErrorKind::kUser, "it lacks the sampler's position"};
  }
  const Result<int64_t> step = integer_field(*sampler, "step");
  if (!step) return step.error();
  state.step = *step;
  const Result<int64_t> samples = samples_done(checkpoint, *step);
  if (!samples) return samples.error();
  state.samples = *samples;
  if (state.step < 0 || state.samples < 0) return Error{ErrorKind::kUser, "its position in the epoch is negative"};
  const std::pair<const char*, double*> numbers[] = {
      {"loss", &state.sums.loss}, {"correct", &state.sums.correct}, {"count", &state.sums.count}};
  for (const auto& [key, target] : numbers) {
    const Result<double> number = number_field(*sums, key);
    if (!number) return number.error();
    *target = *number;
  }
  return ok_status();
}

// The best epoch is the one whose model was kept, which the history alone cannot tell: another value may have been
// watched then, or the best model was lost and the next one counted.
void restore_best(const Value& saved, TrainingState& state) {
  const Result<int64_t> epoch = integer_field(saved, "best_epoch");
  const Result<int64_t> without = integer_field(saved, "epochs_without_improvement");
  if (!epoch || !without || *without < 0) return;
  const auto kept = std::ranges::find(state.history, *epoch, &EpochMetrics::epoch);
  if (kept == state.history.end()) return;
  EarlyStopping& stopping = state.early_stopping;
  const double value = monitored(stopping.monitor, *kept);
  stopping.best_epoch = *epoch;
  stopping.epochs_without_improvement = *without;
  stopping.best.reset();
  if (saved.find("best") != nullptr && std::isfinite(value)) stopping.best = value;
}

}  // namespace

std::string place(const TrainingState& state) {
  return "epoch " + std::to_string(state.epoch + 1) + ", step " + std::to_string(state.step);
}

double monitored(Monitor monitor, const EpochMetrics& metrics) {
  switch (monitor) {
    case Monitor::kAccuracy: return metrics.val_accuracy;
    case Monitor::kLoss: return metrics.val_loss;
    case Monitor::kF1: return metrics.val_f1.value_or(std::nan(""));
  }
  return std::nan("");
}

void add_state(Dict& dict, const TrainingState& state) {
  List history;
  for (const EpochMetrics& metrics : state.history) {
    history.emplace_back(metrics_value(metrics));
  }
  dict.emplace_back("epoch", state.epoch);
  dict.emplace_back("loss", state.history.empty() ? 0.0 : state.history.back().train_loss);
  const EarlyStopping& stopping = state.early_stopping;
  Dict early_stopping{{"monitor", name_of(stopping.monitor)},
                      {"best_epoch", stopping.best_epoch},
                      {"epochs_without_improvement", stopping.epochs_without_improvement}};
  if (stopping.best) early_stopping.emplace_back("best", *stopping.best);
  dict.emplace_back("early_stopping", std::move(early_stopping));
  dict.emplace_back("sampler", Dict{{"epoch", state.epoch}, {"step", state.step}});
  dict.emplace_back("samples_done", state.samples);
  dict.emplace_back("partial_sums",
                    Dict{{"loss", state.sums.loss}, {"correct", state.sums.correct}, {"count", state.sums.count}});
  dict.emplace_back("history", std::move(history));
}

Status read_state(const Value& checkpoint, TrainingState& state) {
  const Result<int64_t> epoch = integer_field(checkpoint, "epoch");
  if (!epoch) return epoch.error();
  if (*epoch < 0) return Error{ErrorKind::kUser, "its epoch is negative"};
  state.epoch = *epoch;
  if (checkpoint.find("sampler") == nullptr) {
    return ok_status();
  }
  if (Status position = read_position(checkpoint, state); !position) return position.error();
  const Value* const entry = checkpoint.find("history");
  const List* const history = entry == nullptr ? nullptr : entry->get<List>();
  if (history == nullptr) return Error{ErrorKind::kUser, "its entry 'history' is missing or not a list"};
  state.history.clear();
  for (const Value& item : *history) {
    EpochMetrics metrics;
    if (Status read = read_metrics(item, metrics); !read) return read.error();
    state.history.push_back(metrics);
    state.early_stopping.improved_by(monitored(state.early_stopping.monitor, metrics), metrics.epoch);
  }
  if (const Value* const saved = checkpoint.find("early_stopping")) restore_best(*saved, state);
  return ok_status();
}

}  // namespace ferrun::train
