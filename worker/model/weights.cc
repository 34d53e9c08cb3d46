#include "worker/model/weights.h"

#include <algorithm>

#include "worker/checkpoint/reader.h"

namespace ferrun::model {
namespace {

using checkpoint::Dict;
using checkpoint::Opaque;
using checkpoint::Value;

constexpr const char* kLastLayer = "classify.linear.weight";
// Where trainers keep a model's weights, the most telling names first.
constexpr const char* kWeightKeys[] = {"model_state_dict", "state_dict", "model_state", "model", "net",      "network",
                                       "weights",          "params",     "module",      "ema",   "ema_model"};
constexpr int kMaxNesting = 3;

bool is_ours(const std::string& name) { return name.starts_with("backbone.") || name.starts_with("classify."); }

// The last layer's weights: [classes, features].
const at::Tensor* last_layer(const Value& weights) {
  const Dict* dict = weights.get<Dict>();
  if (dict == nullptr) return nullptr;
  for (const auto& [key, value] : *dict) {
    const auto* name = key.get<std::string>();
    const auto* tensor = value.get<at::Tensor>();
    if (name != nullptr && tensor != nullptr && tensor->dim() == 2 && name->ends_with(kLastLayer) &&
        checkpoint::unwrapped_name(*name, is_ours) == kLastLayer) {
      return tensor;
    }
  }
  return nullptr;
}

bool holds_weights(const Value& value) {
  const Dict* dict = value.get<Dict>();
  return dict != nullptr && std::any_of(dict->begin(), dict->end(), [](const auto& entry) {
           const auto* name = entry.first.template get<std::string>();
           return name != nullptr && entry.second.template get<at::Tensor>() != nullptr &&
                  is_ours(checkpoint::unwrapped_name(*name, is_ours));
         });
}

const Value* search(const Value& value, int depth) {
  if (holds_weights(value)) return &value;
  const Dict* dict = value.get<Dict>();
  if (dict == nullptr || depth == kMaxNesting) return nullptr;
  for (const char* key : kWeightKeys) {
    const Value* entry = value.find(key);
    if (const Value* found = entry == nullptr ? nullptr : search(*entry, depth + 1)) return found;
  }
  for (const auto& entry : *dict) {
    if (const Value* found = search(entry.second, depth + 1)) return found;
  }
  return nullptr;
}

Error whole_model(const Opaque& object, const std::string& entry) {
  return {ErrorKind::kUser, "holds a whole pickled model (an object of the class " + object.qualified_name +
                                "), whose weights only its own program can take out: in Python, torch.save(torch.load("
                                "FILE, weights_only=False)" +
                                (entry.empty() ? "" : "[\"" + entry + "\"]") + ".state_dict(), \"weights.pt\")"};
}

std::vector<std::string> entry_names(const Value& file) {
  std::vector<std::string> names;
  if (const Dict* dict = file.get<Dict>()) {
    for (const auto& entry : *dict) {
      if (const auto* name = entry.first.get<std::string>()) names.push_back(*name);
    }
  }
  return names;
}

Error at_path(const std::string& path, const std::string& what) {
  return {ErrorKind::kUser, "checkpoint " + path + what};
}

Error wrong_classes(int64_t given, int64_t wanted) {
  return {ErrorKind::kUser,
          "the checkpoint tells " + std::to_string(given) + " classes apart, the data has " + std::to_string(wanted)};
}

}  // namespace

Result<const Value*> find_weights(const Value& file) {
  if (const Value* found = search(file, 0)) return found;
  if (const auto* object = file.get<Opaque>()) return whole_model(*object, "");
  for (const char* key : kWeightKeys) {
    const Value* entry = file.find(key);
    const auto* object = entry == nullptr ? nullptr : entry->get<Opaque>();
    if (object != nullptr) return whole_model(*object, key);
  }
  const std::vector<std::string> names = entry_names(file);
  return Error{ErrorKind::kUser, "holds no EmotionNet weights (no classify.linear.weight)" +
                                     (names.empty() ? "" : "; it has " + checkpoint::shortened(names))};
}

int64_t count_classes(const Value& weights) {
  const at::Tensor* layer = last_layer(weights);
  return layer == nullptr ? 0 : layer->size(0);
}

Status load_weights(EmotionNet& model, const Value& weights) {
  const int64_t given = count_classes(weights);
  if (given != 0 && given != model->classes()) return wrong_classes(given, model->classes());
  return checkpoint::load_module_state(*model, weights);
}

Result<WeightsReport> begin_with(EmotionNet& model, const checkpoint::Value& file, const std::string& path,
                                 bool strict) {
  const auto weights = find_weights(file);
  if (!weights) return at_path(path, " " + weights.error().message);
  const int64_t given = count_classes(**weights);
  if (given != 0 && given != model->classes()) {
    return at_path(path, ": " + wrong_classes(given, model->classes()).message);
  }
  auto loaded = checkpoint::load_state_dict(*model, **weights, {.strict = strict});
  if (!loaded) {
    return at_path(path, ": " + loaded.error().message +
                             (strict ? " (with --no-strict what fits is loaded, unless a shape differs)" : ""));
  }
  return loaded;
}

}  // namespace ferrun::model
