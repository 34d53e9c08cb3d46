// How well a classifier does, class by class, from its confusion matrix. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/result.h"

namespace ferrun::report {

// Counts of samples: rows are the true classes, columns the predicted ones, both in the order of `classes`.
struct ConfusionMatrix {
  std::vector<std::string> classes;
  std::vector<int64_t> counts;  // classes × classes, row by row

  // Failure (kInternal): not as many counts as classes squared, no class, or a negative count.
  static Result<ConfusionMatrix> make(std::vector<std::string> classes, std::vector<int64_t> counts);

  size_t size() const { return classes.size(); }
  int64_t at(size_t truth, size_t prediction) const { return counts[truth * size() + prediction]; }
  int64_t row_sum(size_t truth) const;
  int64_t column_sum(size_t prediction) const;
  int64_t total() const;
  bool operator==(const ConfusionMatrix&) const = default;
};

// Of one class, as shares of 1; where the denominator is zero the value is 0.
struct ClassScores {
  std::string name;
  double precision = 0.0;  // true positives / predicted as the class
  double recall = 0.0;     // true positives / of the class
  double f1 = 0.0;         // 2 true positives / (predicted + of the class)
  int64_t support = 0;     // samples of the class
};

// With the conventions of scikit-learn's precision_recall_fscore_support and f1_score, zero_division=0
// (https://scikit-learn.org/stable/modules/model_evaluation.html#precision-recall-f-measure-metrics). Macro averages
// are unweighted means over the classes that occur among the true or the predicted ones; weighted ones are means by
// support.
struct ClassMetrics {
  int64_t samples = 0;
  double accuracy = 0.0;
  double macro_precision = 0.0;
  double macro_recall = 0.0;
  double macro_f1 = 0.0;
  double weighted_precision = 0.0;
  double weighted_recall = 0.0;
  double weighted_f1 = 0.0;
  std::vector<ClassScores> classes;

  static ClassMetrics of(const ConfusionMatrix& confusion);
};

// For a terminal: a header, a line for each class, the averages; three decimals, columns aligned also for names in
// scripts with wide characters. Ends with a newline. What a terminal may not be given is left out of names.
std::string metrics_table(const ClassMetrics& metrics);

}  // namespace ferrun::report
