#include "worker/report/run_record.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "worker/checkpoint/archive_reader.h"
#include "worker/report/output_file.h"

namespace ferrun::report {
namespace {

using checkpoint::StoredTree;

std::string name_of(const std::string& directory) {
  std::error_code failed;
  std::filesystem::path path = std::filesystem::absolute(directory, failed).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  return path.has_filename() ? path.filename().string() : directory;
}

bool exists(const std::string& path) {
  std::error_code failed;
  return std::filesystem::exists(path, failed);
}

// Nothing for what is no scalar.
std::optional<std::string> scalar_text(const StoredTree& value) {
  if (const auto* text = value.get<std::string>()) return *text;
  if (const auto* flag = value.get<bool>()) return *flag ? "yes" : "no";
  if (const auto* whole = value.get<int64_t>()) return std::to_string(*whole);
  if (const auto* number = value.get<double>()) {
    char words[32];
    std::snprintf(words, sizeof words, "%.6g", *number);
    return words;
  }
  return std::nullopt;
}

// The trainer's early stopping, which chose the best epoch.
void read_choice(const StoredTree& checkpoint, RunRecord& record) {
  const StoredTree* const stopping = checkpoint.find("early_stopping");
  if (stopping == nullptr) return;
  const StoredTree* const monitor = stopping->find("monitor");
  const StoredTree* const epoch = stopping->find("best_epoch");
  if (monitor != nullptr && monitor->get<std::string>() != nullptr) record.monitor = *monitor->get<std::string>();
  if (epoch != nullptr && epoch->get<int64_t>() != nullptr) record.best_epoch = *epoch->get<int64_t>();
}

Status read_checkpoint(const std::string& path, RunRecord& record) {
  const Result<std::unique_ptr<checkpoint::ByteSource>> source = checkpoint::open_file_source(path);
  if (!source) return source.error();
  const Result<checkpoint::Archive> archive = checkpoint::open_archive(**source);
  if (!archive) return archive.error();
  read_choice(archive->tree, record);
  const StoredTree* const options = archive->tree.find("options");
  const auto* const dict = options == nullptr ? nullptr : options->get<StoredTree::Dict>();
  if (dict == nullptr) return Error{ErrorKind::kUser, "it has no options"};
  for (const auto& [key, value] : *dict) {
    const std::optional<std::string> name = scalar_text(key);
    const std::optional<std::string> text = scalar_text(value);
    if (name && text) record.configuration.emplace_back(*name, *text);
  }
  return ok_status();
}

void look_for_checkpoint(RunRecord& record) {
  for (const char* name : {"best_model.pt", "last_model.pt"}) {
    const std::string path = record.directory + "/" + name;
    if (!exists(path)) continue;
    if (Status read = read_checkpoint(path, record); !read) {
      record.missing.push_back(std::string("The configuration: ") + name + " cannot be read (" + read.error().message +
                               ").");
      return;
    }
    record.configuration_source = name;
    return;
  }
  record.missing.emplace_back("The configuration: there is neither best_model.pt nor last_model.pt.");
}

}  // namespace

Result<RunRecord> read_run(const std::string& directory) {
  RunRecord record;
  record.directory = directory;
  record.name = name_of(directory);
  std::error_code failed;
  if (!std::filesystem::is_directory(directory, failed)) {
    return usage_error(directory + " is no directory: name the --output-dir of a run");
  }
  const std::string metrics = directory + "/metrics.csv";
  const std::string test = directory + "/test.json";
  if (!exists(metrics) && !exists(test)) {
    return usage_error(directory + " holds neither metrics.csv nor test.json: name the --output-dir of a run");
  }
  if (exists(metrics)) {
    const Result<std::string> text = read_file(metrics);
    if (!text) return text.error();
    Result<std::vector<EpochMetrics>> epochs = parse_metrics_csv(*text, metrics);
    if (!epochs) return epochs.error();
    record.epochs = std::move(*epochs);
    if (record.epochs.empty()) record.missing.emplace_back("The curves: no epoch is finished yet.");
  } else {
    record.missing.emplace_back("The curves and the table of epochs: there is no metrics.csv.");
  }
  if (exists(test)) {
    const Result<std::string> text = read_file(test);
    if (!text) return text.error();
    Result<TestResult> result = parse_test_json(*text, test);
    if (!result) return result.error();
    record.test = std::move(*result);
    if (record.test->predictions.empty()) {
      record.missing.emplace_back("Sample predictions: test.json has none.");
    }
  } else {
    record.missing.emplace_back(
        "The confusion matrix, the metrics of each class and sample predictions: there is no test.json.");
  }
  look_for_checkpoint(record);
  if (std::ranges::find(record.epochs, record.best_epoch, &EpochMetrics::epoch) == record.epochs.end()) {
    record.best_epoch = best_epoch(record.epochs, record.monitor);
  }
  return record;
}

}  // namespace ferrun::report
