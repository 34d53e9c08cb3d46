// test.json: how a trained model does on a data set, for programs and for `worker report`.
//
//   {"checkpoint": "runs/a/best_model.pt", "data": "/data/fer", "samples": 7178, "loss": 0.913, "accuracy": 0.668,
//    "macro_precision": …, "macro_recall": …, "macro_f1": …, "weighted_f1": …,
//    "classes": [{"name": "angry", "precision": …, "recall": …, "f1": …, "support": 958}, …],
//    "confusion_matrix": [[621, …], …],            rows: true classes; columns: predicted ones
//    "predictions": [{"file": "val/angry/1.jpg", "truth": "angry", "prediction": "sad", "probability": 0.53,
//                     "thumbnail": "iVBORw0…"}, …]}  a PNG in base64; may be missing, as may all of "predictions"
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "worker/report/class_metrics.h"

namespace ferrun::report {

// One picture and what the model says of it.
struct SamplePrediction {
  std::string file;
  std::string truth;               // a class's name
  std::string prediction;          // the class with the highest probability
  double probability = 0.0;        // of `prediction`
  std::vector<uint8_t> thumbnail;  // a PNG of see thumbnail_png(); empty: none
  bool operator==(const SamplePrediction&) const = default;
};

struct TestResult {
  std::string checkpoint;  // the file that was tested; may be empty
  std::string data;        // what it was tested on, in words or as a path; may be empty
  double loss = 0.0;       // mean cross entropy; NaN where it is not known
  ConfusionMatrix confusion;
  std::vector<SamplePrediction> predictions;  // a few examples, in the order in which they are shown
};

// Names that are no UTF-8 are mended: JSON must be.
std::string test_json(const TestResult& result);

// Reads what test_json writes. Numbers that follow from the confusion matrix are not read, but computed anew. Failure:
// one line with `name`, the file's, and the field at fault.
Result<TestResult> parse_test_json(std::string_view text, const std::string& name);

// Atomically.
Status write_test_json(const std::string& path, const TestResult& result);

}  // namespace ferrun::report
