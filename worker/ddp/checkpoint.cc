#include "worker/ddp/checkpoint.h"

#include <optional>

#include "worker/checkpoint/module_state.h"
#include "worker/checkpoint/reader.h"
#include "worker/checkpoint/writer.h"
#include "worker/ddp/state_fields.h"

namespace ferrun::ddp {
namespace {

using checkpoint::Dict;
using checkpoint::Value;

constexpr const char* kModelKey = "model_state_dict";
constexpr const char* kOptimizerKey = "optimizer_state_dict";
constexpr const char* kScheduleKey = "scheduler_state_dict";
constexpr const char* kScalerKey = "scaler_state_dict";
constexpr const char* kSamplerKey = "sampler";

Status load_sampler(const Value& state, SamplerState& sampler) {
  const std::optional<int64_t> epoch = integer(state, "epoch"), samples = integer(state, "samples");
  if (!epoch || !samples || *epoch < 0 || *samples < 0) {
    return Error{ErrorKind::kUser, "it has no epoch and no number of samples"};
  }
  sampler = {*epoch, *samples};
  return ok_status();
}

// Calls load(entry) for a part that is wanted.
template <typename Part, typename Load>
Status load_part(const Value& content, const char* key, Part* part, Load&& load) {
  if (part == nullptr) return ok_status();
  const Value* const entry = content.find(key);
  if (entry == nullptr) return Error{ErrorKind::kUser, std::string("it has no '") + key + "'"};
  const Status loaded = load(*entry);
  if (loaded) return loaded;
  return Error{loaded.error().kind, std::string(key) + ": " + loaded.error().message};
}

}  // namespace

Dict checkpoint_content(const CheckpointParts& parts) {
  Dict content;
  if (parts.module != nullptr) content.emplace_back(kModelKey, checkpoint::module_state(*parts.module));
  if (parts.optimizer != nullptr) {
    const double initial_lr = parts.schedule != nullptr ? parts.schedule->initial_lr() : parts.optimizer->lr();
    content.emplace_back(kOptimizerKey, parts.optimizer->state_dict(initial_lr));
  }
  if (parts.schedule != nullptr) content.emplace_back(kScheduleKey, parts.schedule->state_dict());
  if (parts.scaler != nullptr) content.emplace_back(kScalerKey, parts.scaler->state_dict());
  if (parts.sampler != nullptr) {
    content.emplace_back(kSamplerKey, Dict{{"epoch", parts.sampler->epoch}, {"samples", parts.sampler->samples}});
  }
  return content;
}

Status save_checkpoint(const std::string& path, const CheckpointParts& parts, const Dict& more) {
  Dict content = checkpoint_content(parts);
  content.insert(content.end(), more.begin(), more.end());
  return checkpoint::write_atomically(path, content);
}

Result<LoadedCheckpoint> load_checkpoint(const std::string& path, const CheckpointParts& parts,
                                         const CheckpointLoading& options) {
  Result<Value> read = checkpoint::read(path);
  if (!read) return read.error();
  LoadedCheckpoint loaded;
  loaded.content = std::move(*read);
  const auto refused = [&path](const Error& error) { return Error{error.kind, path + ": " + error.message}; };
  const auto load_module = [&](const Value& state) -> Status {
    const auto difference = checkpoint::load_state_dict(*parts.module, state, options.strict);
    if (!difference) return difference.error();
    loaded.missing = difference->missing;
    loaded.unexpected = difference->unexpected;
    return ok_status();
  };
  const bool module_alone = parts.optimizer == nullptr && parts.schedule == nullptr && parts.scaler == nullptr &&
                            parts.sampler == nullptr && loaded.content.find(kModelKey) == nullptr;
  const Status module = parts.module != nullptr && module_alone
                            ? load_module(loaded.content)
                            : load_part(loaded.content, kModelKey, parts.module, load_module);
  if (!module) return refused(module.error());
  const Status others[] = {load_part(loaded.content, kOptimizerKey, parts.optimizer,
                                     [&](const Value& state) { return parts.optimizer->load_state_dict(state); }),
                           load_part(loaded.content, kScheduleKey, parts.schedule,
                                     [&](const Value& state) { return parts.schedule->load_state_dict(state); }),
                           load_part(loaded.content, kScalerKey, parts.scaler,
                                     [&](const Value& state) { return parts.scaler->load_state_dict(state); }),
                           load_part(loaded.content, kSamplerKey, parts.sampler,
                                     [&](const Value& state) { return load_sampler(state, *parts.sampler); })};
  for (const Status& other : others) {
    if (!other) return refused(other.error());
  }
  if (parts.optimizer != nullptr && parts.schedule != nullptr) parts.optimizer->set_lr(parts.schedule->lr());
  return loaded;
}

}  // namespace ferrun::ddp
