#include "worker/train/value_fields.h"

#include <cstdio>

namespace ferrun::train {
namespace {

using checkpoint::Value;

Error bad_field(const std::string& key, const char* wanted) {
  return Error{ErrorKind::kUser, "its entry '" + key + "' is missing or not " + wanted};
}

}  // namespace

Result<int64_t> integer_field(const Value& dict, const std::string& key) {
  const Value* const entry = dict.find(key);
  const int64_t* const value = entry == nullptr ? nullptr : entry->get<int64_t>();
  if (value == nullptr) {
    return bad_field(key, "an integer");
  }
  return *value;
}

Result<double> number_field(const Value& dict, const std::string& key) {
  const Value* const entry = dict.find(key);
  if (entry != nullptr) {
    if (const double* const value = entry->get<double>()) {
      return *value;
    }
    if (const int64_t* const value = entry->get<int64_t>()) {
      return static_cast<double>(*value);
    }
  }
  return bad_field(key, "a number");
}

Result<std::string> text_field(const Value& dict, const std::string& key) {
  const Value* const entry = dict.find(key);
  const std::string* const value = entry == nullptr ? nullptr : entry->get<std::string>();
  if (value == nullptr) {
    return bad_field(key, "a text");
  }
  return *value;
}

Result<std::vector<std::string>> texts_field(const Value& dict, const std::string& key) {
  const Value* const entry = dict.find(key);
  const checkpoint::List* const list = entry == nullptr ? nullptr : entry->get<checkpoint::List>();
  if (list == nullptr) {
    return bad_field(key, "a list");
  }
  std::vector<std::string> texts;
  for (const Value& item : *list) {
    const std::string* const text = item.get<std::string>();
    if (text == nullptr) {
      return bad_field(key, "a list of texts");
    }
    texts.push_back(*text);
  }
  return texts;
}

std::optional<std::vector<double>> numbers_field(const Value& dict, const std::string& key) {
  const Value* const entry = dict.find(key);
  const checkpoint::List* const list = entry == nullptr ? nullptr : entry->get<checkpoint::List>();
  if (list == nullptr) return std::nullopt;
  std::vector<double> numbers;
  for (const Value& item : *list) {
    const double* const number = item.get<double>();
    if (number == nullptr) return std::nullopt;
    numbers.push_back(*number);
  }
  return numbers;
}

std::string value_text(const Value& value) {
  if (const std::string* const text = value.get<std::string>()) {
    return *text;
  }
  if (const bool* const flag = value.get<bool>()) {
    return *flag ? "on" : "off";
  }
  if (const int64_t* const number = value.get<int64_t>()) {
    return std::to_string(*number);
  }
  if (const double* const number = value.get<double>()) {
    char text[32];
    std::snprintf(text, sizeof text, "%g", *number);
    return text;
  }
  if (const checkpoint::List* const list = value.get<checkpoint::List>(); list != nullptr && !list->empty()) {
    std::string text;
    for (const Value& item : *list) text += (text.empty() ? "" : ",") + value_text(item);
    return text;
  }
  return value.is_none() ? "nothing" : "something else";
}

std::optional<bool> exif_orientation_of(const checkpoint::Value& checkpoint) {
  const checkpoint::Value* const options = checkpoint.find("options");
  const checkpoint::Value* const entry = options == nullptr ? nullptr : options->find("exif_orientation");
  const bool* const turned = entry == nullptr ? nullptr : entry->get<bool>();
  return turned == nullptr ? std::nullopt : std::optional(*turned);
}

}  // namespace ferrun::train
