#include "worker/train/loaded_model.h"

#include "worker/checkpoint/module_state.h"
#include "worker/checkpoint/reader.h"
#include "worker/train/value_fields.h"

namespace ferrun::train {
namespace {

using checkpoint::Value;

Error unusable(const std::string& path, const std::string& why) { return Error{ErrorKind::kUser, path + ": " + why}; }

const Value* last_layer(const Value& state) {
  const Value* const plain = state.find("classify.linear.weight");
  return plain != nullptr ? plain : state.find("module.classify.linear.weight");
}

}  // namespace

Result<LoadedModel> load_model(const std::string& path) {
  const Result<Value> checkpoint = checkpoint::read(path);
  if (!checkpoint) {
    return checkpoint.error();
  }
  const Value* const inner = checkpoint->find("model_state_dict");
  const Value& state = inner != nullptr ? *inner : *checkpoint;
  const Value* const layer = last_layer(state);
  const at::Tensor* const weight = layer == nullptr ? nullptr : layer->get<at::Tensor>();
  if (weight == nullptr || weight->dim() != 2 || weight->size(0) < 1) {
    return unusable(path, "is not a checkpoint of this classifier (it has no classify.linear.weight)");
  }
  LoadedModel loaded;
  loaded.outputs = weight->size(0);
  loaded.model = model::EmotionNet(loaded.outputs);
  if (Status filled = checkpoint::load_module_state(*loaded.model, state); !filled) {
    return unusable(path, filled.error().message);
  }
  loaded.model->eval();
  const Result<std::vector<std::string>> classes = texts_field(*checkpoint, "classes");
  if (classes && static_cast<int64_t>(classes->size()) == loaded.outputs) {
    loaded.classes = *classes;
  }
  if (const Value* const options = checkpoint->find("options")) {
    const Result<int64_t> size = integer_field(*options, "image_size");
    if (size && model::check_image_size(*size).empty()) {
      loaded.image_size = static_cast<int>(*size);
    }
  }
  return loaded;
}

}  // namespace ferrun::train
