#include "worker/report/epoch_metrics.h"

#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>
#include <system_error>

#include "common/text.h"

namespace ferrun::report {
namespace {

constexpr double kNoValue = std::numeric_limits<double>::quiet_NaN();

std::vector<std::string_view> cells_of(std::string_view line) {
  std::vector<std::string_view> cells;
  for (size_t begin = 0; begin <= line.size();) {
    const size_t end = std::min(line.find(',', begin), line.size());
    cells.push_back(strip(line.substr(begin, end - begin)));
    begin = end + 1;
  }
  return cells;
}

template <typename Number>
bool reads_as(std::string_view cell, Number& number) {
  const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), number);
  return error == std::errc() && end == cell.data() + cell.size();
}

// Where the number of a column goes; nullptr for a column that is not known.
double* place_of(std::string_view column, EpochMetrics& metrics, double& f1) {
  const std::pair<std::string_view, double*> places[] = {{"lr", &metrics.lr},
                                                         {"train_loss", &metrics.train_loss},
                                                         {"train_accuracy", &metrics.train_accuracy},
                                                         {"val_loss", &metrics.val_loss},
                                                         {"val_accuracy", &metrics.val_accuracy},
                                                         {"val_f1", &f1}};
  for (const auto& [name, place] : places) {
    if (name == column) return place;
  }
  return nullptr;
}

// Empty on success, else what is wrong.
std::string read_row(const std::vector<std::string_view>& columns, const std::vector<std::string_view>& cells,
                     EpochMetrics& metrics) {
  if (cells.size() > columns.size()) return "has more cells than the header";
  metrics = {0, kNoValue, kNoValue, kNoValue, kNoValue, kNoValue};
  double f1 = kNoValue;
  for (size_t i = 0; i < cells.size(); ++i) {
    if (columns[i] == "epoch") {
      if (!reads_as(cells[i], metrics.epoch) || metrics.epoch < 0) {
        return "'" + std::string(cells[i]) + "' is no number of an epoch";
      }
    } else if (double* const place = place_of(columns[i], metrics, f1); place != nullptr && !cells[i].empty()) {
      if (!reads_as(cells[i], *place)) return "'" + std::string(cells[i]) + "' is not a number";
    }
  }
  if (std::isfinite(f1)) metrics.val_f1 = f1;
  return "";
}

}  // namespace

std::string metrics_csv(const std::vector<EpochMetrics>& epochs) {
  std::string csv = "epoch,lr,train_loss,train_accuracy,val_loss,val_accuracy,val_f1\n";
  for (const EpochMetrics& epoch : epochs) {
    char row[192];
    std::snprintf(row, sizeof row, "%lld,%.6g,%.6f,%.6f,%.6f,%.6f,", static_cast<long long>(epoch.epoch), epoch.lr,
                  epoch.train_loss, epoch.train_accuracy, epoch.val_loss, epoch.val_accuracy);
    csv += row;
    if (epoch.val_f1) {
      std::snprintf(row, sizeof row, "%.6f", *epoch.val_f1);
      csv += row;
    }
    csv += '\n';
  }
  return csv;
}

Result<std::vector<EpochMetrics>> parse_metrics_csv(std::string_view text, const std::string& name) {
  std::vector<EpochMetrics> epochs;
  std::vector<std::string_view> columns;
  int64_t number = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = strip(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    if (line.empty()) continue;
    const std::string where = name + ", line " + std::to_string(number);
    if (columns.empty()) {
      columns = cells_of(line);
      if (columns.front() != "epoch") {
        return Error{ErrorKind::kUser,
                     where + ": it does not begin with 'epoch': this is no metrics.csv of the worker"};
      }
      continue;
    }
    EpochMetrics metrics;
    if (const std::string wrong = read_row(columns, cells_of(line), metrics); !wrong.empty()) {
      return Error{ErrorKind::kUser, where + ": " + wrong};
    }
    epochs.push_back(metrics);
  }
  if (columns.empty()) return Error{ErrorKind::kUser, name + " is empty"};
  return epochs;
}

std::optional<int64_t> best_epoch(const std::vector<EpochMetrics>& epochs, std::string_view monitor) {
  const auto goodness = [monitor](const EpochMetrics& epoch) {
    if (monitor == "val_loss") return -epoch.val_loss;
    return monitor == "val_f1" ? epoch.val_f1.value_or(kNoValue) : epoch.val_accuracy;
  };
  const EpochMetrics* best = nullptr;
  for (const EpochMetrics& epoch : epochs) {
    if (std::isfinite(goodness(epoch)) && (best == nullptr || goodness(epoch) > goodness(*best))) best = &epoch;
  }
  return best == nullptr ? std::nullopt : std::optional(best->epoch);
}

}  // namespace ferrun::report
