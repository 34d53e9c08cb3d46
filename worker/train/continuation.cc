#include "worker/train/continuation.h"

#include <limits>

#include "worker/train/value_fields.h"

namespace ferrun::train {
namespace {

using checkpoint::Value;

class SavedOptions {
 public:
  SavedOptions(const Value* saved, const TrainOptions& asked) : saved_(saved), asked_(asked) {}

  // The integer `key` for the option that the command line calls `name`; nothing when that was given, or is not saved.
  std::optional<int64_t> integer(const char* key, const std::string& name, int64_t lowest, int64_t highest) {
    const Value* const entry = unless_given(key, name);
    if (entry == nullptr) return std::nullopt;
    const int64_t* const value = entry->get<int64_t>();
    if (value != nullptr && *value >= lowest && *value <= highest) return *value;
    return refuse(key, *entry), std::nullopt;
  }
  std::optional<double> number(const char* key, const std::string& name) {
    const Value* const entry = unless_given(key, name);
    if (entry == nullptr) return std::nullopt;
    const Result<double> value = number_field(*saved_, key);
    if (value && *value >= 0.0) return *value;
    return refuse(key, *entry), std::nullopt;
  }
  std::optional<std::string> text(const char* key, const std::string& name) {
    const Value* const entry = unless_given(key, name);
    const std::string* const value = entry == nullptr ? nullptr : entry->get<std::string>();
    return value == nullptr ? std::nullopt : std::optional(*value);
  }
  // Given, and not what the checkpoint's run had.
  bool changed(const char* key, const std::string& name, double now) const {
    if (!asked_.given.contains(name)) return false;
    const Result<double> before = saved_ == nullptr ? Result<double>(Error{}) : number_field(*saved_, key);
    return !before || *before != now;
  }
  const Status& problem() const { return problem_; }

 private:
  const Value* unless_given(const char* key, const std::string& name) const {
    return saved_ == nullptr || asked_.given.contains(name) ? nullptr : saved_->find(key);
  }
  void refuse(const char* key, const Value& value) {
    problem_ = Error{ErrorKind::kUser,
                     std::string("its option ") + key + " is " + value_text(value) + ", which no run can have had"};
  }

  const Value* saved_;
  const TrainOptions& asked_;
  Status problem_ = ok_status();
};

}  // namespace

Result<Continuation> continue_options(const TrainOptions& asked, const Value& checkpoint) {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  Continuation continuation{asked};
  TrainOptions& options = continuation.options;
  SavedOptions saved(checkpoint.find("options"), asked);
  if (const auto size = saved.integer("image_size", "image-size", 1, kMost)) {
    options.data.image_size = static_cast<int>(*size);
  }
  if (const auto size = saved.integer("batch_size", "batch-size", 1, kMost)) options.batch_size = *size;
  if (const auto number = saved.integer("accumulate", "accumulate", 1, kMost)) options.accumulate = *number;
  if (const auto size = saved.integer("step_size", "step-size", 1, kMost)) options.step_size = *size;
  if (const auto seed =
          saved.integer("seed", "seed", std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max())) {
    options.seed = static_cast<uint64_t>(*seed);
  }
  if (const auto lr = saved.number("lr", "lr")) options.lr = *lr;
  if (const auto gamma = saved.number("gamma", "gamma")) options.gamma = *gamma;
  if (const auto decay = saved.number("weight_decay", "weight-decay")) options.weight_decay = *decay;
  if (const auto optimizer = saved.text("optimizer", "optimizer")) {
    options.optimizer = *optimizer == "adamw" ? OptimizerChoice::kAdamW : OptimizerChoice::kAdam;
  }
  if (!saved.problem()) return saved.problem().error();
  continuation.new_schedule = saved.changed("lr", "lr", options.lr) || saved.changed("gamma", "gamma", options.gamma) ||
                              saved.changed("step_size", "step-size", static_cast<double>(options.step_size));
  return continuation;
}

}  // namespace ferrun::train
