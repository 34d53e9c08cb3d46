#include "worker/train/training_state.h"

#include "worker/train/value_fields.h"

namespace ferrun::train {
namespace {

using checkpoint::Dict;
using checkpoint::List;
using checkpoint::Value;

Value metrics_value(const EpochMetrics& metrics) {
  return Dict{{"epoch", metrics.epoch},           {"lr", metrics.lr},
              {"train_loss", metrics.train_loss}, {"train_accuracy", metrics.train_accuracy},
              {"val_loss", metrics.val_loss},     {"val_accuracy", metrics.val_accuracy}};
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
  return ok_status();
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
  const std::pair<const char*, double*> numbers[] = {
      {"loss", &state.sums.loss}, {"correct", &state.sums.correct}, {"count", &state.sums.count}};
  for (const auto& [key, target] : numbers) {
    const Result<double> number = number_field(*sums, key);
    if (!number) return number.error();
    *target = *number;
  }
  return ok_status();
}

}  // namespace

void add_state(Dict& dict, const TrainingState& state) {
  List history;
  for (const EpochMetrics& metrics : state.history) {
    history.emplace_back(metrics_value(metrics));
  }
  dict.emplace_back("epoch", state.epoch);
  dict.emplace_back("loss", state.history.empty() ? 0.0 : state.history.back().train_loss);
  dict.emplace_back("best_accuracy", state.early_stopping.best_accuracy);
  dict.emplace_back("patience_left", state.early_stopping.patience_left);
  dict.emplace_back("sampler", Dict{{"epoch", state.epoch}, {"step", state.step}});
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
  const Result<double> best = number_field(checkpoint, "best_accuracy");
  if (!best) return best.error();
  state.early_stopping.best_accuracy = *best;
  const Result<int64_t> patience_left = integer_field(checkpoint, "patience_left");
  if (!patience_left) return patience_left.error();
  state.early_stopping.patience_left = *patience_left;
  const Value* const entry = checkpoint.find("history");
  const List* const history = entry == nullptr ? nullptr : entry->get<List>();
  if (history == nullptr) return Error{ErrorKind::kUser, "its entry 'history' is missing or not a list"};
  state.history.clear();
  for (const Value& item : *history) {
    EpochMetrics metrics;
    if (Status read = read_metrics(item, metrics); !read) return read.error();
    state.history.push_back(metrics);
  }
  return ok_status();
}

}  // namespace ferrun::train
