#include "worker/train/continuation.h"

#include <limits>
#include <tuple>

#include "worker/train/source_data.h"
#include "worker/train/state_options.h"
#include "worker/train/value_fields.h"

namespace ferrun::train {
namespace {

using checkpoint::Value;

// A damaged entry is none.
Value saved_options(const Value& checkpoint) {
  const Value* const told = checkpoint.find("options");
  return told != nullptr && told->get<checkpoint::Dict>() != nullptr ? *told : Value(options_of_states(checkpoint));
}

Value saved_length(const Value& checkpoint) {
  const Value* const told = checkpoint.find("length");
  return told == nullptr ? Value() : *told;
}

class SavedOptions {
 public:
  SavedOptions(Value saved, const TrainOptions& asked) : saved_(std::move(saved)), asked_(asked) {}

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
    if (entry == nullptr || entry->is_none()) return std::nullopt;
    const Result<double> value = number_field(saved_, key);
    if (value && *value >= 0.0) return *value;
    return refuse(key, *entry), std::nullopt;
  }
  std::optional<std::string> text(const char* key, const std::string& name) {
    const Value* const entry = unless_given(key, name);
    const std::string* const value = entry == nullptr ? nullptr : entry->get<std::string>();
    return value == nullptr ? std::nullopt : std::optional(*value);
  }
  std::optional<bool> flag(const char* key, const std::string& name) const {
    const Value* const entry = unless_given(key, name);
    const bool* const value = entry == nullptr ? nullptr : entry->get<bool>();
    return value == nullptr ? std::nullopt : std::optional(*value);
  }
  // Given, but nobody can say whether it is what the checkpoint's run had.
  bool untold(const char* key, const std::string& name) const {
    const Value* const before = saved_.find(key);
    return asked_.given.contains(name) && before != nullptr && before->is_none();
  }
  // Given, and not what the checkpoint's run had.
  bool changed(const char* key, const std::string& name, double now) const {
    if (!asked_.given.contains(name) || untold(key, name)) return false;
    const Result<double> before = number_field(saved_, key);
    return !before || *before != now;
  }
  bool changed(const char* key, const std::string& name, const std::string& now) const {
    const Value* const before = saved_.find(key);
    return asked_.given.contains(name) && (before == nullptr || value_text(*before) != now);
  }
  const Status& problem() const { return problem_; }

 private:
  const Value* unless_given(const char* key, const std::string& name) const {
    return asked_.given.contains(name) ? nullptr : saved_.find(key);
  }
  void refuse(const char* key, const Value& value) {
    problem_ = Error{ErrorKind::kUser,
                     std::string("its option ") + key + " is " + value_text(value) + ", which no run can have had"};
  }

  Value saved_;
  const TrainOptions& asked_;
  Status problem_ = ok_status();
};

}  // namespace

const char* name_of(ScheduleChoice schedule) {
  switch (schedule) {
    case ScheduleChoice::kStep: return "step";
    case ScheduleChoice::kCosine: return "cosine";
    case ScheduleChoice::kPlateau: return "plateau";
  }
  return "";
}

const char* name_of(OptimizerChoice optimizer) {
  switch (optimizer) {
    case OptimizerChoice::kAdam: return "adam";
    case OptimizerChoice::kAdamW: return "adamw";
    case OptimizerChoice::kSgd: return "sgd";
  }
  return "";
}

Result<Continuation> continue_options(const TrainOptions& asked, const Value& checkpoint) {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  Continuation continuation;
  continuation.options = asked;
  TrainOptions& options = continuation.options;
  SavedOptions saved(saved_options(checkpoint), asked);
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
  if (const auto epochs = saved.integer("warmup", "warmup", 0, kMost)) options.warmup = *epochs;
  if (const auto epochs = saved.integer("plateau_patience", "plateau-patience", 0, kMost)) {
    options.plateau_patience = *epochs;
  }
  const std::tuple<const char*, const char*, double*> numbers[] = {
      {"lr", "lr", &options.lr},
      {"gamma", "gamma", &options.gamma},
      {"min_lr", "min-lr", &options.min_lr},
      {"min_delta", "min-delta", &options.min_delta},
      {"momentum", "momentum", &options.momentum},
      {"clip_grad", "clip-grad", &options.clip_grad},
      {"ema", "ema", &options.ema},
      {"label_smoothing", "label-smoothing", &options.label_smoothing}};
  for (const auto& [key, name, target] : numbers) *target = saved.number(key, name).value_or(*target);
  if (const auto decay = saved.number("weight_decay", "weight-decay")) options.weight_decay = *decay;
  if (const auto optimizer = saved.text("optimizer", "optimizer")) {
    options.optimizer = *optimizer == "sgd"     ? OptimizerChoice::kSgd
                        : *optimizer == "adamw" ? OptimizerChoice::kAdamW
                                                : OptimizerChoice::kAdam;
  }
  if (const auto schedule = saved.text("scheduler", "scheduler")) {
    options.schedule = *schedule == "cosine"    ? ScheduleChoice::kCosine
                       : *schedule == "plateau" ? ScheduleChoice::kPlateau
                                                : ScheduleChoice::kStep;
  }
  if (const auto monitor = saved.text("monitor", "monitor")) {
    for (const Monitor each : {Monitor::kAccuracy, Monitor::kLoss, Monitor::kF1}) {
      if (*monitor == name_of(each)) options.monitor = each;
    }
  }
  if (const auto nesterov = saved.flag("nesterov", "nesterov")) options.nesterov = *nesterov;
  if (const auto weights = saved.text("class_weights", "class-weights")) {
    options.class_weights = *weights == "balanced" ? ClassWeights::kBalanced : ClassWeights::kNone;
  }
  if (const auto recipe = saved.text("transforms", "transforms")) {
    const Result<data::Recipe> parsed = data::parse_recipe(*recipe, "its transforms");
    if (!parsed) return Error{ErrorKind::kUser, parsed.error().message};
    if (options.data.size() != parsed->size()) {
      return Error{ErrorKind::kUser, "its transforms give pictures of " + std::to_string(parsed->size()) +
                                         ", not of --image-size " + std::to_string(options.data.size()) +
                                         ": leave --image-size out, or name other --transforms"};
    }
    options.data.transforms = *parsed;
  }
  const SavedData pictures = saved_data(checkpoint);
  options.data = with_saved_data(std::move(options.data), pictures);
  const bool same_folder =
      !options.data.directory.empty() && absolute_directory(options.data.directory) == pictures.directory;
  if (same_folder && options.data.split.empty()) options.data.split = pictures.split;
  if (const auto precision = saved.text("precision", "amp")) {
    options.amp = *precision == "bf16"   ? AmpChoice::kBFloat16
                  : *precision == "fp16" ? AmpChoice::kFloat16
                                         : AmpChoice::kOff;
  }
  if (!asked.given.contains("no-channels-last")) {
    options.channels_last = saved.flag("channels_last", "channels-last").value_or(options.channels_last);
  }
  if (!asked.data.exif_orientation) options.data.exif_orientation = exif_orientation_of(checkpoint);
  const bool cosine = options.schedule == ScheduleChoice::kCosine;
  const bool plateau = options.schedule == ScheduleChoice::kPlateau;
  if (cosine) options.epochs = saved.integer("cosine_epochs", "epochs", 1, kMost).value_or(options.epochs);
  // How long the run is to be stands beside its options: its numbers do not depend on it.
  SavedOptions length(saved_length(checkpoint), asked);
  if (const auto epochs = length.integer("epochs", "epochs", 1, kMost)) options.epochs = *epochs;
  if (const auto epochs = length.integer("patience", "patience", 0, kMost)) options.patience = *epochs;
  for (const SavedOptions& each : {saved, length}) {
    if (!each.problem()) return each.problem().error();
  }
  continuation.new_schedule =
      saved.changed("lr", "lr", options.lr) || saved.changed("gamma", "gamma", options.gamma) ||
      ((cosine || plateau) && saved.changed("min_lr", "min-lr", options.min_lr)) ||
      saved.changed("step_size", "step-size", static_cast<double>(options.step_size)) ||
      saved.changed("warmup", "warmup", static_cast<double>(options.warmup)) ||
      (cosine && saved.changed("cosine_epochs", "epochs", static_cast<double>(options.epochs))) ||
      (plateau &&
       saved.changed("plateau_patience", "plateau-patience", static_cast<double>(options.plateau_patience))) ||
      // Its best so far, and whether more is better, are of the metric that it watched.
      (plateau && saved.changed("monitor", "monitor", std::string(name_of(options.monitor)))) ||
      saved.changed("scheduler", "scheduler", std::string(name_of(options.schedule)));
  if (asked.given.contains("weight-decay")) {
    continuation.hyperparameters.emplace_back("weight_decay", *options.weight_decay);
  }
  if (options.optimizer == OptimizerChoice::kSgd && asked.given.contains("momentum")) {
    continuation.hyperparameters.emplace_back("momentum", options.momentum);
  }
  if (options.optimizer == OptimizerChoice::kSgd && asked.given.contains("nesterov")) {
    continuation.hyperparameters.emplace_back("nesterov", options.nesterov);
  }
  if (!continuation.new_schedule && saved.untold("lr", "lr")) {
    continuation.notes.emplace_back("--lr is left out: the checkpoint's schedule goes on at its own rate");
  }
  return continuation;
}

}  // namespace ferrun::train
