#include "worker/report/html_page.h"

#include <algorithm>
#include <cmath>

#include "worker/report/curve_figure.h"
#include "worker/report/curve_svg.h"
#include "worker/report/html_text.h"
#include "worker/report/page_style.h"

namespace ferrun::report {
namespace {

constexpr size_t kFewClasses = 10;  // more of them are set smaller, with upright column names

std::string element(const std::string& tag, const std::string& content) {
  return "<" + tag + ">" + content + "</" + tag.substr(0, tag.find(' ')) + ">";
}

std::string tile(const std::string& value, const std::string& words) {
  return element("div class=\"tile\"", element("b", escaped(value)) + element("span", escaped(words)));
}

const EpochMetrics* find_epoch(const std::vector<EpochMetrics>& epochs, std::optional<int64_t> number) {
  const auto found = std::ranges::find_if(epochs, [&](const EpochMetrics& epoch) { return epoch.epoch == number; });
  return found == epochs.end() ? nullptr : &*found;
}

// The value that chose the epoch first.
std::string best_tiles(const EpochMetrics& best, const std::string& monitor) {
  struct Value {
    std::string monitor, words, text;
  };
  std::vector<Value> values{{"val_accuracy", "val accuracy", percent(best.val_accuracy)}};
  if (best.val_f1) values.push_back({"val_f1", "val macro F1", fixed(*best.val_f1, 3)});
  values.push_back({"val_loss", "val loss", fixed(best.val_loss, 3)});
  std::ranges::stable_partition(values, [&](const Value& value) { return value.monitor == monitor; });
  std::string html = tile(values[0].text, "best " + values[0].words + ", epoch " + std::to_string(best.epoch));
  for (size_t i = 1; i < values.size(); ++i) html += tile(values[i].text, values[i].words + " of that epoch");
  return html;
}

std::string tiles(const RunRecord& record) {
  std::string html;
  if (record.test) {
    const ClassMetrics metrics = ClassMetrics::of(record.test->confusion);
    html += tile(percent(metrics.accuracy), "test accuracy") + tile(fixed(metrics.macro_f1, 3), "test macro F1");
    if (std::isfinite(record.test->loss)) html += tile(fixed(record.test->loss, 3), "test loss");
    html += tile(std::to_string(metrics.samples), "test samples");
  }
  if (const EpochMetrics* best = find_epoch(record.epochs, record.best_epoch))
    html += best_tiles(*best, record.monitor);
  if (!record.epochs.empty()) html += tile(std::to_string(record.epochs.back().epoch), "epochs trained");
  return element("div class=\"tiles\"", html);
}

std::string missing_parts(const RunRecord& record) {
  if (record.missing.empty()) return "";
  std::string list;
  for (const std::string& sentence : record.missing) list += element("li", escaped(sentence));
  return element("div class=\"missing\"", element("p", "This page lacks:") + element("ul", list));
}

std::string epoch_rows(const RunRecord& record) {
  std::string rows;
  for (const EpochMetrics& epoch : record.epochs) {
    char lr[32];
    std::snprintf(lr, sizeof lr, "%.3g", epoch.lr);
    std::string cells = element("td", std::to_string(epoch.epoch)) + element("td", std::isfinite(epoch.lr) ? lr : "–");
    for (const double value :
         {epoch.train_loss, epoch.val_loss, epoch.train_accuracy, epoch.val_accuracy, epoch.val_f1.value_or(NAN)}) {
      cells += element("td", fixed(value, 4));
    }
    rows += element(epoch.epoch == record.best_epoch ? "tr class=\"best-row\"" : "tr", cells);
  }
  return rows;
}

std::string curves_section(const RunRecord& record) {
  if (record.epochs.empty()) return "";
  const CurveFigure figure = curve_figure(record.epochs, record.best_epoch);
  std::string legend = "<span><i class=\"train\"></i>train</span><span><i class=\"val\"></i>val</span>";
  if (figure.best_epoch) {
    legend += "<span><i class=\"best\"></i>best epoch: " + std::to_string(*figure.best_epoch) + " (" +
              escaped(record.monitor) + ")</span>";
  }
  std::string charts;
  for (const CurvePanel* panel : {&figure.accuracy, &figure.loss}) {
    charts += element("div", element("h3", panel->title) + curve_svg(*panel));
  }
  const std::string header =
      "<thead><tr><th>epoch</th><th>lr</th><th>train loss</th><th>val loss</th><th>train accuracy</th>"
      "<th>val accuracy</th><th>val macro F1</th></tr></thead>";
  return element("h2", "Curves") + element("div class=\"legend\"", legend) + element("div class=\"charts\"", charts) +
         element("details",
                 element("summary", "All epochs as numbers") +
                     element("div class=\"scroll\"", element("table", header + element("tbody", epoch_rows(record)))));
}

std::string confusion_cell(const ConfusionMatrix& confusion, size_t truth, size_t prediction) {
  const int64_t count = confusion.at(truth, prediction);
  const int64_t row = confusion.row_sum(truth);
  const double share = row > 0 ? static_cast<double>(count) / static_cast<double>(row) : 0.0;
  const std::string kinds = std::string(share > 0.5  ? "deep"
                                        : count == 0 ? "none"
                                                     : "") +
                            (truth == prediction ? " hit" : "");
  const std::string share_text = row == 0                         ? "–"
                                 : confusion.size() > kFewClasses ? fixed(share * 100, 0) + "%"
                                                                  : percent(share);
  return element("td class=\"" + kinds + "\" style=\"--share:" + fixed(share, 3) + "\"",
                 std::to_string(count) + element("small", share_text));
}

std::string confusion_table(const ConfusionMatrix& confusion) {
  const std::string span = std::to_string(confusion.size());
  std::string names;
  for (const std::string& name : confusion.classes) {
    names += element("th scope=\"col\" class=\"name\"", element("span", escaped(name)));
  }
  const std::string head =
      element("tr", "<th></th>" + element("th class=\"axis\" colspan=\"" + span + "\"", "predicted class")) +
      element("tr", element("th class=\"axis\"", "true class") + names);
  std::string rows;
  for (size_t truth = 0; truth < confusion.size(); ++truth) {
    std::string cells = element("th scope=\"row\"", escaped(confusion.classes[truth]));
    for (size_t prediction = 0; prediction < confusion.size(); ++prediction) {
      cells += confusion_cell(confusion, truth, prediction);
    }
    rows += element("tr", cells);
  }
  const std::string kind = confusion.size() > kFewClasses ? "confusion many" : "confusion";
  return element("div class=\"scroll\"",
                 element("table class=\"" + kind + "\"", element("thead", head) + element("tbody", rows)));
}

std::string score_cells(double precision, double recall, double f1, int64_t support) {
  const std::string bar = "<span class=\"bar\"><i style=\"width:" + fixed(f1 * 100, 1) + "%\"></i></span>";
  return element("td", fixed(precision, 3)) + element("td", fixed(recall, 3)) + element("td", bar + fixed(f1, 3)) +
         element("td", std::to_string(support));
}

std::string class_table(const ClassMetrics& metrics) {
  std::string rows;
  for (const ClassScores& scores : metrics.classes) {
    rows += element("tr", element("th scope=\"row\"", escaped(scores.name)) +
                              score_cells(scores.precision, scores.recall, scores.f1, scores.support));
  }
  rows += element("tr class=\"sum first\"",
                  element("th scope=\"row\"", "macro average") +
                      score_cells(metrics.macro_precision, metrics.macro_recall, metrics.macro_f1, metrics.samples));
  rows += element("tr class=\"sum\"", element("th scope=\"row\"", "weighted average") +
                                          score_cells(metrics.weighted_precision, metrics.weighted_recall,
                                                      metrics.weighted_f1, metrics.samples));
  const std::string header =
      "<thead><tr><th>class</th><th>precision</th><th>recall</th><th>F1</th><th>samples</th></tr></thead>";
  return element("div class=\"scroll\"", element("table class=\"metrics\"", header + element("tbody", rows)));
}

std::string sample_figure(const SamplePrediction& sample) {
  const bool is_right = sample.truth == sample.prediction;
  const std::string picture = sample.thumbnail.empty() ? element("div class=\"blank\"", "no picture")
                                                       : "<img alt=\"" + escaped(sample.file) + "\" src=\"" +
                                                             png_data_uri(sample.thumbnail) + "\">";
  const std::string verdict =
      (is_right ? "✓ " : "✗ ") + escaped(sample.prediction) + ", " + percent(sample.probability);
  return element(
      std::string("figure class=\"") + (is_right ? "right" : "wrong") + "\"",
      picture + element("figcaption", element("b", verdict) + (is_right ? "" : "is " + escaped(sample.truth)) +
                                          element("small", escaped(sample.file))));
}

std::string test_section(const RunRecord& record) {
  if (!record.test) return "";
  const TestResult& test = *record.test;
  std::string source;
  if (!test.checkpoint.empty()) source += escaped(test.checkpoint);
  if (!test.data.empty()) source += (source.empty() ? "" : " on ") + escaped(test.data);
  std::string html = element("h2", "Confusion matrix") + (source.empty() ? "" : element("p class=\"soft\"", source)) +
                     confusion_table(test.confusion) + element("h2", "Metrics of each class") +
                     class_table(ClassMetrics::of(test.confusion));
  if (test.predictions.empty()) return html;
  std::string samples;
  for (const SamplePrediction& sample : test.predictions) samples += sample_figure(sample);
  return html + element("h2", "Sample predictions") + element("div class=\"samples\"", samples);
}

std::string configuration_section(const RunRecord& record) {
  if (record.configuration.empty()) return "";
  std::string rows;
  for (const auto& [name, value] : record.configuration) {
    rows += element("tr", element("td", escaped(name)) + element("td", escaped(value)));
  }
  return element("h2", "Configuration") +
         element("p class=\"soft\"", "The options of the run, from " + escaped(record.configuration_source) + ".") +
         element("table class=\"options\"", element("tbody", rows));
}

}  // namespace

std::string html_page(const RunRecord& record) {
  const std::string title = escaped(record.name);
  const std::string head =
      "<meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
      "img-src data:\">" +
      element("title", title + " – training report") + element("style", kPageStyle);
  const std::string body = element("h1", title) +
                           element("p class=\"soft\"", "Training report of " + escaped(record.directory)) +
                           tiles(record) + missing_parts(record) + curves_section(record) + test_section(record) +
                           configuration_section(record) + element("footer", "Made by worker report.");
  return "<!DOCTYPE html>\n<html lang=\"en\"><head>" + head + "</head>\n<body>" + element("main", body) +
         "</body></html>\n";
}

}  // namespace ferrun::report
