#include "worker/model/weights.h"

#include "worker/checkpoint/module_state.h"

namespace ferrun::model {
namespace {

using checkpoint::Value;

// The last layer's weights: [classes, features].
const at::Tensor* last_layer(const Value& weights) {
  for (const char* name : {"classify.linear.weight", "module.classify.linear.weight"}) {
    const Value* value = weights.find(name);
    const at::Tensor* tensor = value == nullptr ? nullptr : value->get<at::Tensor>();
    if (tensor != nullptr && tensor->dim() == 2) return tensor;
  }
  return nullptr;
}

}  // namespace

Result<const Value*> find_weights(const Value& file) {
  for (const char* key : {"model_state_dict", "state_dict", "model"}) {
    const Value* weights = file.find(key);
    if (weights != nullptr && last_layer(*weights) != nullptr) return weights;
  }
  if (last_layer(file) != nullptr) return &file;
  return Error{ErrorKind::kUser,
               "the checkpoint holds no EmotionNet weights (no model_state_dict with classify.linear.weight)"};
}

int64_t count_classes(const Value& weights) {
  const at::Tensor* layer = last_layer(weights);
  return layer == nullptr ? 0 : layer->size(0);
}

Status load_weights(EmotionNet& model, const Value& weights) {
  const int64_t given = count_classes(weights);
  const int64_t wanted = model->classes();
  if (given != 0 && given != wanted) {
    return Error{ErrorKind::kUser, "the checkpoint tells " + std::to_string(given) + " classes apart, the data has " +
                                       std::to_string(wanted)};
  }
  return checkpoint::load_module_state(*model, weights);
}

}  // namespace ferrun::model
