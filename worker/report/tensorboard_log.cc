#include "worker/report/tensorboard_log.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <set>
#include <system_error>

#include "worker/report/output_file.h"

namespace ferrun::report {
namespace {

constexpr const char* kPrefix = "events.out.tfevents.";

double seconds_since_epoch() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// In the order in which TensorBoard reads them.
std::vector<std::string> event_files(const std::string& folder) {
  std::vector<std::string> names = checkpoint::machine_file_system().list(folder, kPrefix);
  std::ranges::sort(names);
  return names;
}

// TensorBoard reads a folder's files in the order of their names: a file that is younger by less than a second, or made
// after the clock was set back, still has to come last.
int64_t next_number(const std::vector<std::string>& names) {
  int64_t number = static_cast<int64_t>(seconds_since_epoch());
  for (const std::string& name : names) {
    int64_t before = 0;
    const char* const digits = name.c_str() + std::strlen(kPrefix);
    if (std::from_chars(digits, name.c_str() + name.size(), before).ec == std::errc()) {
      number = std::max(number, before + 1);
    }
  }
  return number;
}

std::string file_name(int64_t number) {
  char host[256] = "localhost";
  ::gethostname(host, sizeof host - 1);
  char name[360];
  std::snprintf(name, sizeof name, "%s%010lld.%s.%d", kPrefix, static_cast<long long>(number), host, ::getpid());
  return name;
}

std::vector<Scalar> scalars_of(const EpochMetrics& metrics) {
  std::vector<Scalar> scalars{{"loss/train", metrics.train_loss},         {"loss/val", metrics.val_loss},
                              {"accuracy/train", metrics.train_accuracy}, {"accuracy/val", metrics.val_accuracy},
                              {"f1/val", metrics.val_f1.value_or(NAN)},   {"lr", metrics.lr}};
  std::erase_if(scalars, [](const Scalar& scalar) { return !std::isfinite(scalar.value); });
  return scalars;
}

}  // namespace

TensorBoardLog::TensorBoardLog(std::string folder, Warn warn) : folder_(std::move(folder)), warn_(std::move(warn)) {}

void TensorBoardLog::start(const std::vector<EpochMetrics>& finished) {
  std::error_code failed;
  std::filesystem::create_directories(folder_, failed);
  if (failed) return check(Error{ErrorKind::kPlatform, "cannot make the folder " + folder_ + ": " + failed.message()});
  const std::vector<std::string> names = event_files(folder_);
  const int64_t next_epoch = finished.empty() ? 1 : finished.back().epoch + 1;
  std::set<int64_t> shown;
  for (const std::string& name : names) {
    const Result<std::string> file = read_file(folder_ + "/" + name);
    if (!file) continue;  // TensorBoard will not read it either
    for (const int64_t step : scalar_steps(*file)) shown.insert(step);
  }
  Result<EventWriter> writer =
      EventWriter::create(folder_ + "/" + file_name(next_number(names)), seconds_since_epoch());
  if (!writer) return check(writer.error());
  writer_.emplace(std::move(*writer));
  // From the first epoch that the earlier files lack, so that those of the new file rise.
  int64_t first = next_epoch;
  for (const EpochMetrics& metrics : finished) {
    if (!shown.contains(metrics.epoch)) first = std::min(first, metrics.epoch);
  }
  if (!names.empty()) check(writer_->add(start_event(seconds_since_epoch(), first)));
  for (const EpochMetrics& metrics : finished) {
    if (metrics.epoch >= first) add_epoch(metrics);
  }
}

void TensorBoardLog::add_epoch(const EpochMetrics& metrics) {
  if (writer_) check(writer_->add(scalars_event(seconds_since_epoch(), metrics.epoch, scalars_of(metrics))));
}

void TensorBoardLog::add_picture(const std::string& tag, int64_t epoch, const Result<std::vector<uint8_t>>& png) {
  if (!writer_) return;
  if (!png) return check(png.error());
  const Result<PictureSize> size = png_size(*png);
  if (!size) return check(size.error());
  check(writer_->add(picture_event(seconds_since_epoch(), epoch, tag, *png, *size)));
}

void TensorBoardLog::check(const Status& written) {
  if (written) return;
  writer_.reset();
  warn_("TensorBoard's files end here, training goes on: " + written.error().message);
}

}  // namespace ferrun::report
