#include "worker/train/class_names.h"

#include <cstdint>
#include <nlohmann/json.hpp>

#include "worker/train/value_fields.h"

namespace ferrun::train {
namespace {

using checkpoint::Value;
using Names = std::vector<std::string>;

// The names in `classes`: a list or tuple, or class_to_idx (name → number). Nothing for anything else that Python's
// trainers keep under that name, such as the number of classes. Failure: a list in which not all are names.
Result<Names> listed_names(const Value& classes) {
  const checkpoint::List* list = classes.get<checkpoint::List>();
  if (const auto* tuple = classes.get<checkpoint::Tuple>()) list = &tuple->items;
  Names names;
  if (const auto* dict = classes.get<checkpoint::Dict>()) {
    names.resize(dict->size());
    for (const auto& [key, value] : *dict) {
      const auto* name = key.get<std::string>();
      const auto* index = value.get<int64_t>();
      if (name == nullptr || index == nullptr || *index < 0 || *index >= static_cast<int64_t>(names.size()) ||
          !names[static_cast<size_t>(*index)].empty()) {
        return Error{ErrorKind::kUser, "has class numbers that do not count from 0"};
      }
      names[static_cast<size_t>(*index)] = *name;
    }
  }
  for (size_t i = 0; list != nullptr && i < list->size(); ++i) {
    const auto* name = (*list)[i].get<std::string>();
    if (name == nullptr) return Error{ErrorKind::kUser, "has a class name that is no text"};
    names.push_back(*name);
  }
  return names;
}

// Of safetensors, whose metadata are texts: a JSON array.
Value classes_of_metadata(const Value& metadata) {
  const Result<std::string> text = text_field(metadata, "classes");
  const auto json = nlohmann::json::parse(text ? *text : "", nullptr, /*allow_exceptions=*/false);
  if (!json.is_array()) return {};
  checkpoint::List names;
  for (const auto& name : json) {
    names.emplace_back();
    if (name.is_string()) names.back() = name.get<std::string>();
  }
  return names;
}

}  // namespace

Result<std::vector<std::string>> class_names(const Value& file) {
  const Value* classes = file.find("classes");
  if (classes == nullptr) classes = file.find("class_to_idx");
  if (classes != nullptr) return listed_names(*classes);
  const Value* const metadata = file.find("metadata");
  return listed_names(metadata != nullptr ? classes_of_metadata(*metadata) : Value());
}

}  // namespace ferrun::train
