#include "worker/train/loaded_model.h"

#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "worker/checkpoint/reader.h"
#include "worker/data/recipe.h"
#include "worker/model/weights.h"
#include "worker/train/class_names.h"
#include "worker/train/value_fields.h"

namespace ferrun::train {
namespace {

using checkpoint::Value;

// Keys of an export.
constexpr const char* kTransforms = "transforms";
constexpr const char* kExifOrientation = "exif_orientation";

constexpr int64_t kMostClasses = 100000;
constexpr int64_t kLargestImage = 16384;

Error unusable_model(const std::string& path, const std::string& why) {
  return Error{ErrorKind::kUser, "checkpoint " + path + " " + why};
}

using Names = std::vector<std::string>;

Result<Names> read_classes(const Value& file, int64_t outputs) {
  Result<Names> names = class_names(file);
  if (!names || names->empty()) return names;
  if (static_cast<int64_t>(names->size()) != outputs) {
    return Error{ErrorKind::kUser, "names " + std::to_string(names->size()) + " classes, but its last layer has " +
                                       std::to_string(outputs)};
  }
  if (std::set<std::string>(names->begin(), names->end()).size() != names->size()) {
    return Error{ErrorKind::kUser, "names a class twice"};
  }
  return names;
}

// What the worker's checkpoints and exports say of the pictures' size; nothing when they do not.
Result<std::optional<int>> read_image_size(const Value& file) {
  const Value* const options = file.find("options");
  const Value* size = options == nullptr ? nullptr : options->find("image_size");
  // Python's trainers keep it beside the weights; what is no whole number there is no size to them either.
  if (const Value* const beside = file.find("image_size"); size == nullptr && beside != nullptr) {
    if (beside->get<int64_t>() != nullptr) size = beside;
  }
  Value parsed;
  if (const Value* const metadata = file.find("metadata"); size == nullptr && metadata != nullptr) {
    const Result<std::string> text = text_field(*metadata, "image_size");
    const auto json = nlohmann::json::parse(text ? *text : "", nullptr, /*allow_exceptions=*/false);
    if (json.is_number_integer()) {
      parsed = json.get<int64_t>();
      size = &parsed;
    }
  }
  if (size == nullptr) return std::optional<int>();
  const int64_t* const number = size->get<int64_t>();
  if (number == nullptr) return Error{ErrorKind::kUser, "has an image_size that is no whole number"};
  std::string wrong = model::check_image_size(*number);
  if (*number > kLargestImage) wrong = std::to_string(*number) + " is larger than " + std::to_string(kLargestImage);
  if (!wrong.empty()) return Error{ErrorKind::kUser, "has an impossible image_size: " + wrong};
  return std::optional<int>(static_cast<int>(*number));
}

// What exports say of how pictures are prepared: texts beside the tensors.
Status read_metadata(const Value& metadata, LoadedModel& loaded) {
  if (const Result<std::string> text = text_field(metadata, kExifOrientation)) {
    if (*text == "true" || *text == "false") loaded.exif_orientation = *text == "true";
  }
  const Result<std::string> text = text_field(metadata, kTransforms);
  if (!text || !text->starts_with('[')) return ok_status();  // another program's word for something else
  Result<data::Transform> transform = data::parse_transform(*text, "its transforms");
  if (!transform) return transform.error();
  if (loaded.image_size && *loaded.image_size != transform->size()) {
    return Error{ErrorKind::kUser, "says that its pictures have " + std::to_string(*loaded.image_size) +
                                       " pixels a side, but its transforms give " + std::to_string(transform->size())};
  }
  loaded.image_size = transform->size();
  if (*transform != data::Transform::validation(transform->size())) loaded.transform = std::move(*transform);
  return ok_status();
}

// What the worker's checkpoints and exports say of their run.
Status read_run(const Value& file, LoadedModel& loaded) {
  const Value* const options = file.find("options");
  if (options == nullptr) {
    const Value* const metadata = file.find("metadata");
    return metadata == nullptr ? ok_status() : read_metadata(*metadata, loaded);
  }
  loaded.data = saved_data(file);
  if (const Result<int64_t> seed = integer_field(*options, "seed")) loaded.seed = static_cast<uint64_t>(*seed);
  loaded.exif_orientation = exif_orientation_of(file);
  if (const Result<std::string> text = text_field(*options, "transforms")) {
    const Result<data::Recipe> recipe = data::parse_recipe(*text, "its transforms");
    if (!recipe) return recipe.error();
    loaded.transform = recipe->validation;
  }
  return ok_status();
}

// Of ExponentialMovingAverage's state: it is more than the weights that the run began with.
bool has_updates(const Value& average) {
  const Value* const count = average.find("n_averaged");
  const auto* const tensor = count == nullptr ? nullptr : count->get<at::Tensor>();
  return tensor != nullptr && tensor->numel() == 1 && tensor->is_cpu() && tensor->item<double>() > 0;
}

}  // namespace

Result<data::Transform> LoadedModel::transform_for(const std::string& path, std::optional<int> asked,
                                                   int fallback) const {
  if (transform && asked && *asked != transform->size()) {
    return usage_error("--image-size " + std::to_string(*asked) + ": the transforms of checkpoint " + path +
                       " give pictures of " + std::to_string(transform->size()) + "; leave --image-size out");
  }
  const int size = asked.value_or(image_size.value_or(fallback));
  if (const std::string bad = model::check_image_size(size); !bad.empty()) return usage_error("--image-size " + bad);
  return transform ? *transform : data::Transform::validation(size);
}

std::map<std::string, std::string> LoadedModel::facts() const {
  std::map<std::string, std::string> facts;
  if (!classes.empty()) {
    facts["classes"] = nlohmann::json(classes).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  }
  if (exif_orientation) facts[kExifOrientation] = *exif_orientation ? "true" : "false";
  if (!image_size) return facts;
  facts["image_size"] = std::to_string(*image_size);
  facts[kTransforms] = data::transform_text(transform ? *transform : data::Transform::validation(*image_size));
  return facts;
}

Result<LoadedModel> load_model(const std::string& path) {
  const Result<Value> file = checkpoint::read(path);
  if (!file) return file.error();
  // A run with --ema validates the average of its weights, and its best model is one.
  const Value* const average = file->find("ema_state_dict");
  const Result<const Value*> weights =
      model::find_weights(average != nullptr && has_updates(*average) ? *average : *file);
  if (!weights) return unusable_model(path, weights.error().message);
  LoadedModel loaded;
  loaded.outputs = model::count_classes(**weights);
  // Before a model of that size is made: an expanded tensor can be larger than its file.
  if (loaded.outputs < 1 || loaded.outputs > kMostClasses) {
    return unusable_model(path, loaded.outputs == 0
                                    ? "is not a checkpoint of this classifier (it has no "
                                      "classify.linear.weight)"
                                    : "has an impossible number of classes: " + std::to_string(loaded.outputs));
  }
  Result<Names> classes = read_classes(*file, loaded.outputs);
  if (!classes) return unusable_model(path, classes.error().message);
  loaded.classes = std::move(*classes);
  const Result<std::optional<int>> size = read_image_size(*file);
  if (!size) return unusable_model(path, size.error().message);
  loaded.image_size = *size;
  if (Status read = read_run(*file, loaded); !read) return unusable_model(path, read.error().message);
  loaded.model = model::EmotionNet(loaded.outputs);
  if (Status filled = model::load_weights(loaded.model, **weights); !filled) {
    return Error{ErrorKind::kUser, "checkpoint " + path + ": " + filled.error().message};
  }
  loaded.model->eval();
  return loaded;
}

}  // namespace ferrun::train
