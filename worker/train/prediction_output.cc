#include "worker/train/prediction_output.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "common/printable_text.h"

namespace ferrun::train {
namespace {

// A field with quotes where CSV needs them.
std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

std::string printed(const char* format, double number) {
  char text[40];
  std::snprintf(text, sizeof text, format, number);
  return text;
}

}  // namespace

PredictionOutput::PredictionOutput(PredictFormat format, std::vector<std::string> classes, int64_t top_k)
    : format_(format), classes_(std::move(classes)) {
  top_k_ = top_k > 0 ? std::min(static_cast<size_t>(top_k), classes_.size()) : 0;
}

std::string PredictionOutput::begin() const {
  if (format_ == PredictFormat::kJson) return "[";
  if (format_ == PredictFormat::kText) return "";
  std::string line = "file";
  for (size_t i = 1; i <= top_k_; ++i) line += ",class_" + std::to_string(i) + ",probability_" + std::to_string(i);
  if (top_k_ == 0) {
    for (const std::string& name : classes_) line += "," + csv_field(name);
  }
  return line + "\n";
}

std::string PredictionOutput::prediction(const Prediction& prediction) {
  if (format_ == PredictFormat::kText) return text_line(prediction);
  if (format_ == PredictFormat::kCsv) return csv_line(prediction);
  const std::string separator = is_first_ ? "\n" : ",\n";
  is_first_ = false;
  return separator + json_element(prediction);
}

std::string PredictionOutput::end() const {
  if (format_ != PredictFormat::kJson) return "";
  return is_first_ ? "]\n" : "\n]\n";
}

std::vector<PredictionOutput::Share> PredictionOutput::shares(const Prediction& prediction) const {
  std::vector<Share> shares;
  for (size_t i = 0; i < classes_.size(); ++i) shares.push_back({i, prediction.probabilities[i]});
  if (top_k_ == 0) return shares;
  std::stable_sort(shares.begin(), shares.end(),
                   [](const Share& a, const Share& b) { return a.probability > b.probability; });
  shares.resize(top_k_);
  return shares;
}

std::string PredictionOutput::text_line(const Prediction& prediction) const {
  std::string line = one_line(prediction.file);
  for (const Share& share : shares(prediction))
    line += "  " + one_line(classes_[share.label]) + printed(" %.4f", share.probability);
  return line + "\n";
}

std::string PredictionOutput::csv_line(const Prediction& prediction) const {
  std::string line = csv_field(prediction.file);
  for (const Share& share : shares(prediction)) {
    if (top_k_ != 0) line += "," + csv_field(classes_[share.label]);
    line += printed(",%.9g", share.probability);
  }
  return line + "\n";
}

std::string PredictionOutput::json_element(const Prediction& prediction) const {
  nlohmann::ordered_json probabilities = nlohmann::ordered_json::object();
  for (const Share& share : shares(prediction)) probabilities[classes_[share.label]] = share.probability;
  const nlohmann::ordered_json element{{"file", prediction.file}, {"probabilities", std::move(probabilities)}};
  // File names need not be UTF-8, JSON must be. Indented as an element of the array; texts hold no line ends.
  std::string text = "  " + element.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  for (size_t at = 0; (at = text.find('\n', at)) != std::string::npos; at += 3) text.insert(at + 1, 2, ' ');
  return text;
}

}  // namespace ferrun::train
