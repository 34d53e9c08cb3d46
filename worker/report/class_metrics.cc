#include "worker/report/class_metrics.h"

#include <algorithm>
#include <cstdio>
#include <numeric>

#include "common/printable_text.h"
#include "worker/report/unicode.h"

namespace ferrun::report {
namespace {

double ratio(int64_t part, int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0.0;
}

std::string padded(const std::string& text, size_t width) {
  return text + std::string(width - std::min(width, display_width(text)), ' ');
}

std::string table_row(const std::string& name, size_t width, double precision, double recall, double f1,
                      int64_t support) {
  char numbers[96];
  std::snprintf(numbers, sizeof numbers, "  %9.3f  %9.3f  %9.3f  %9lld\n", precision, recall, f1,
                static_cast<long long>(support));
  return padded(name, width) + numbers;
}

}  // namespace

Result<ConfusionMatrix> ConfusionMatrix::make(std::vector<std::string> classes, std::vector<int64_t> counts) {
  if (classes.empty() || counts.size() != classes.size() * classes.size()) {
    return Error{ErrorKind::kInternal, "a confusion matrix of " + std::to_string(classes.size()) + " classes with " +
                                           std::to_string(counts.size()) + " counts"};
  }
  if (std::ranges::any_of(counts, [](int64_t count) { return count < 0; })) {
    return Error{ErrorKind::kInternal, "a confusion matrix with a negative count"};
  }
  return ConfusionMatrix{std::move(classes), std::move(counts)};
}

int64_t ConfusionMatrix::row_sum(size_t truth) const {
  int64_t sum = 0;
  for (size_t prediction = 0; prediction < size(); ++prediction) sum += at(truth, prediction);
  return sum;
}

int64_t ConfusionMatrix::column_sum(size_t prediction) const {
  int64_t sum = 0;
  for (size_t truth = 0; truth < size(); ++truth) sum += at(truth, prediction);
  return sum;
}

int64_t ConfusionMatrix::total() const { return std::accumulate(counts.begin(), counts.end(), int64_t{0}); }

ClassMetrics ClassMetrics::of(const ConfusionMatrix& confusion) {
  ClassMetrics metrics;
  metrics.samples = confusion.total();
  int64_t correct = 0;
  int64_t occurring = 0;
  for (size_t i = 0; i < confusion.size(); ++i) {
    const int64_t hits = confusion.at(i, i);
    const int64_t of_class = confusion.row_sum(i);
    const int64_t predicted = confusion.column_sum(i);
    const ClassScores scores{confusion.classes[i], ratio(hits, predicted), ratio(hits, of_class),
                             ratio(2 * hits, predicted + of_class), of_class};
    const double weight = ratio(of_class, metrics.samples);
    metrics.weighted_precision += weight * scores.precision;
    metrics.weighted_recall += weight * scores.recall;
    metrics.weighted_f1 += weight * scores.f1;
    metrics.macro_precision += scores.precision;
    metrics.macro_recall += scores.recall;
    metrics.macro_f1 += scores.f1;
    correct += hits;
    occurring += predicted + of_class > 0 ? 1 : 0;
    metrics.classes.push_back(scores);
  }
  for (double* const mean : {&metrics.macro_precision, &metrics.macro_recall, &metrics.macro_f1}) {
    *mean /= static_cast<double>(std::max<int64_t>(occurring, 1));
  }
  metrics.accuracy = ratio(correct, metrics.samples);
  return metrics;
}

std::string metrics_table(const ClassMetrics& metrics) {
  const std::string macro = "macro average";
  const std::string weighted = "weighted average";
  size_t width = weighted.size();
  std::vector<std::string> names;
  for (const ClassScores& scores : metrics.classes) {
    names.push_back(printable(scores.name));
    width = std::max(width, display_width(names.back()));
  }
  std::string table = std::string(width, ' ') + "  precision     recall         f1    support\n";
  for (size_t i = 0; i < names.size(); ++i) {
    const ClassScores& scores = metrics.classes[i];
    table += table_row(names[i], width, scores.precision, scores.recall, scores.f1, scores.support);
  }
  table +=
      "\n" + table_row(macro, width, metrics.macro_precision, metrics.macro_recall, metrics.macro_f1, metrics.samples);
  table += table_row(weighted, width, metrics.weighted_precision, metrics.weighted_recall, metrics.weighted_f1,
                     metrics.samples);
  char accuracy[96];
  std::snprintf(accuracy, sizeof accuracy, "%33.3f  %9lld\n", metrics.accuracy,
                static_cast<long long>(metrics.samples));
  return table + padded("accuracy", width) + accuracy;
}

}  // namespace ferrun::report
