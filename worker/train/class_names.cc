#include "worker/train/class_names.h"

#include <cstdint>
#include <nlohmann/json.hpp>
#include <utility>

#include "worker/train/value_fields.h"

namespace ferrun::train {
namespace {

using checkpoint::Value;
using Names = std::vector<std::string>;

// What trainers write down of their classes, the most usual first.
constexpr const char* kKeys[] = {"classes", "class_to_idx", "class_names", "idx_to_class"};

// The name and the number of an entry of class_to_idx or idx_to_class.
std::pair<const std::string*, const int64_t*> name_and_number(const Value& key, const Value& value) {
  if (key.get<int64_t>() != nullptr) return {value.get<std::string>(), key.get<int64_t>()};
  return {key.get<std::string>(), value.get<int64_t>()};
}

// The names in `classes`: a list or tuple, class_to_idx (name → number) or idx_to_class (number → name). Nothing for
// anything else that Python's trainers keep under that name, such as the number of classes. Failure: a list in which
// not all are names.
Result<Names> listed_names(const Value& classes) {
  const checkpoint::List* list = classes.get<checkpoint::List>();
  if (const auto* tuple = classes.get<checkpoint::Tuple>()) list = &tuple->items;
  Names names;
  if (const auto* dict = classes.get<checkpoint::Dict>()) {
    names.resize(dict->size());
    for (const auto& [key, value] : *dict) {
      const auto [name, index] = name_and_number(key, value);
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
  for (const char* const key : kKeys) {
    const Value* const classes = file.find(key);
    if (classes == nullptr) continue;
    Result<Names> names = listed_names(*classes);
    if (!names || !names->empty()) return names;
  }
  const Value* const metadata = file.find("metadata");
  return listed_names(metadata != nullptr ? classes_of_metadata(*metadata) : Value());
}

}  // namespace ferrun::train
