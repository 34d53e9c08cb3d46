#include "worker/report/test_result.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "worker/report/base64.h"
#include "worker/report/output_file.h"
#include "worker/report/unicode.h"

namespace ferrun::report {
namespace {

using Json = nlohmann::ordered_json;

Error wrong_field(const std::string& name, const std::string& field, const std::string& wanted) {
  return {ErrorKind::kUser, name + ": '" + field + "' is not " + wanted};
}

Json classes_json(const ClassMetrics& metrics) {
  Json classes = Json::array();
  for (const ClassScores& scores : metrics.classes) {
    classes.push_back({{"name", scores.name},
                       {"precision", scores.precision},
                       {"recall", scores.recall},
                       {"f1", scores.f1},
                       {"support", scores.support}});
  }
  return classes;
}

Json matrix_json(const ConfusionMatrix& confusion) {
  Json rows = Json::array();
  for (size_t truth = 0; truth < confusion.size(); ++truth) {
    Json row = Json::array();
    for (size_t prediction = 0; prediction < confusion.size(); ++prediction) {
      row.push_back(confusion.at(truth, prediction));
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

Json predictions_json(const std::vector<SamplePrediction>& predictions) {
  Json list = Json::array();
  for (const SamplePrediction& sample : predictions) {
    Json entry{{"file", sample.file},
               {"truth", sample.truth},
               {"prediction", sample.prediction},
               {"probability", sample.probability}};
    if (!sample.thumbnail.empty()) entry["thumbnail"] = base64(sample.thumbnail);
    list.push_back(std::move(entry));
  }
  return list;
}

std::string text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

double number_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : std::numeric_limits<double>::quiet_NaN();
}

Result<ConfusionMatrix> read_confusion(const Json& json, const std::string& name) {
  const auto classes = json.find("classes");
  const auto rows = json.find("confusion_matrix");
  if (classes == json.end() || !classes->is_array() || classes->empty()) {
    return wrong_field(name, "classes", "a list of classes");
  }
  ConfusionMatrix confusion;
  for (const Json& entry : *classes) {
    if (!entry.is_object() || !entry.contains("name") || !entry["name"].is_string()) {
      return wrong_field(name, "classes", "a list of objects with a 'name'");
    }
    confusion.classes.push_back(entry["name"].get<std::string>());
  }
  const size_t size = confusion.size();
  const auto is_row = [&](const Json& row) { return row.is_array() && row.size() == size; };
  if (rows == json.end() || !rows->is_array() || rows->size() != size || !std::ranges::all_of(*rows, is_row)) {
    return wrong_field(name, "confusion_matrix", "a square with a row and a column for each of the classes");
  }
  for (const Json& row : *rows) {
    for (const Json& count : row) {
      if (!count.is_number_unsigned() || count.get<uint64_t>() > (uint64_t{1} << 40)) {
        return wrong_field(name, "confusion_matrix", "made of counts");
      }
      confusion.counts.push_back(count.get<int64_t>());
    }
  }
  return confusion;
}

Result<std::vector<SamplePrediction>> read_predictions(const Json& json, const std::string& name) {
  std::vector<SamplePrediction> predictions;
  const auto list = json.find("predictions");
  if (list == json.end()) return predictions;
  if (!list->is_array()) return wrong_field(name, "predictions", "a list");
  for (const Json& entry : *list) {
    if (!entry.is_object()) return wrong_field(name, "predictions", "a list of objects");
    SamplePrediction sample{text_of(entry, "file"),
                            text_of(entry, "truth"),
                            text_of(entry, "prediction"),
                            number_of(entry, "probability"),
                            {}};
    if (entry.contains("thumbnail")) {
      const std::optional<std::vector<uint8_t>> png = from_base64(text_of(entry, "thumbnail"));
      if (!png) return wrong_field(name, "thumbnail", "a PNG in base64");
      sample.thumbnail = *png;
    }
    predictions.push_back(std::move(sample));
  }
  return predictions;
}

}  // namespace

std::string test_json(const TestResult& result) {
  const ClassMetrics metrics = ClassMetrics::of(result.confusion);
  Json json{{"checkpoint", result.checkpoint},
            {"data", result.data},
            {"samples", metrics.samples},
            {"loss", std::isfinite(result.loss) ? Json(result.loss) : Json()},
            {"accuracy", metrics.accuracy},
            {"macro_precision", metrics.macro_precision},
            {"macro_recall", metrics.macro_recall},
            {"macro_f1", metrics.macro_f1},
            {"weighted_f1", metrics.weighted_f1},
            {"classes", classes_json(metrics)},
            {"confusion_matrix", matrix_json(result.confusion)}};
  if (!result.predictions.empty()) json["predictions"] = predictions_json(result.predictions);
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<TestResult> parse_test_json(std::string_view text, const std::string& name) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return Error{ErrorKind::kUser, name + " is no JSON object"};
  TestResult result;
  result.checkpoint = text_of(json, "checkpoint");
  result.data = text_of(json, "data");
  result.loss = number_of(json, "loss");
  Result<ConfusionMatrix> confusion = read_confusion(json, name);
  if (!confusion) return confusion.error();
  result.confusion = std::move(*confusion);
  Result<std::vector<SamplePrediction>> predictions = read_predictions(json, name);
  if (!predictions) return predictions.error();
  result.predictions = std::move(*predictions);
  return result;
}

Status write_test_json(const std::string& path, const TestResult& result) {
  return write_file(path, test_json(result));
}

}  // namespace ferrun::report
