// How predictions are shown: as text, JSON or CSV, one picture after the other. Free of LibTorch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "worker/train/options.h"

namespace ferrun::train {

struct Prediction {
  std::string file;
  std::vector<double> probabilities;  // by class
};

// Makes the pieces of one output: begin(), each prediction, end(). Without `top_k` (0) all classes come in their order,
// with it the `top_k` most probable ones, best first.
//   text  FILE  CLASS P  CLASS P …
//   JSON  an array of {"file": FILE, "probabilities": {CLASS: P, …}}; file names that are no UTF-8 are made so
//   CSV   a header and lines as RFC 4180 has them, but ended by \n: file,CLASS,… or with top_k file,class_1,
//         probability_1,…
class PredictionOutput {
 public:
  PredictionOutput(PredictFormat format, std::vector<std::string> classes, int64_t top_k);

  std::string begin() const;
  std::string prediction(const Prediction& prediction);
  std::string end() const;

 private:
  struct Share {
    size_t label;
    double probability;
  };
  std::vector<Share> shares(const Prediction& prediction) const;
  std::string text_line(const Prediction& prediction) const;
  std::string json_element(const Prediction& prediction) const;
  std::string csv_line(const Prediction& prediction) const;

  PredictFormat format_;
  std::vector<std::string> classes_;
  size_t top_k_;
  bool is_first_ = true;
};

}  // namespace ferrun::train
