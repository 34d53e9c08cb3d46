#include "worker/train/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>

namespace ferrun::train {
namespace {

constexpr std::chrono::milliseconds kBarInterval(100);
constexpr std::chrono::seconds kLineInterval(10);

std::string format(const char* pattern, ...) __attribute__((format(printf, 1, 2)));
std::string format(const char* pattern, ...) {
  char text[256];
  va_list arguments;
  va_start(arguments, pattern);
  std::vsnprintf(text, sizeof text, pattern, arguments);
  va_end(arguments);
  return text;
}

std::string place(const StepReport& report) {
  return format("epoch %*lld/%lld", static_cast<int>(std::to_string(report.epochs).size()),
                static_cast<long long>(report.epoch), static_cast<long long>(report.epochs));
}

std::string numbers(const StepReport& report) {
  return format("%lld/%lld  %.0f images/s  loss %.4f  acc %.3f  ETA %s", static_cast<long long>(report.step),
                static_cast<long long>(report.steps), report.images_per_second, report.sums.mean_loss(),
                report.sums.accuracy(), clock_text(report.seconds_left).c_str());
}

int terminal_width() {
  struct winsize size = {};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

std::string clock_text(double seconds) {
  const long long whole = std::max(0LL, static_cast<long long>(seconds + 0.5));
  if (whole >= 3600) {
    return format("%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
  }
  return format("%lld:%02lld", whole / 60, whole % 60);
}

std::string bar_line(const StepReport& report, int width) {
  const std::string left = place(report) + " [";
  const std::string right = "] " + numbers(report);
  const int room = std::clamp(width - 1 - static_cast<int>(left.size() + right.size()), 4, 40);
  const int filled = static_cast<int>(report.step * room / std::max<int64_t>(report.steps, 1));
  std::string bar(static_cast<size_t>(filled), '=');
  if (filled < room) {
    bar += '>';
  }
  bar.resize(static_cast<size_t>(room), ' ');
  return (left + bar + right).substr(0, static_cast<size_t>(std::max(width - 1, 1)));
}

std::string plain_line(const StepReport& report) { return place(report) + "  step " + numbers(report); }

ProgressDisplay::ProgressDisplay(bool on, int64_t epochs)
    : on_(on), terminal_(on && isatty(STDERR_FILENO) == 1), epochs_(epochs) {}

void ProgressDisplay::say(const std::string& line) {
  if (on_) {
    clear_bar();
    std::printf("%s\n", line.c_str());
    std::fflush(stdout);
  }
}

void ProgressDisplay::begin_epoch(int64_t epoch, int64_t steps, double samples_before) {
  epoch_ = epoch;
  steps_ = steps;
  samples_before_ = samples_before;
  first_step_ = -1;
  begun_ = shown_ = Clock::now();
}

double ProgressDisplay::images_per_second(const SampleSums& sums) const {
  const double seconds = std::chrono::duration<double>(Clock::now() - begun_).count();
  return seconds > 0 ? (sums.count - samples_before_) / seconds : 0.0;
}

void ProgressDisplay::step_done(int64_t step, const SampleSums& sums) {
  if (!on_) {
    return;
  }
  if (first_step_ < 0) {
    first_step_ = step - 1;
  }
  training_rate_ = images_per_second(sums);
  const Clock::time_point now = Clock::now();
  if (now - shown_ < (terminal_ ? Clock::duration(kBarInterval) : Clock::duration(kLineInterval))) {
    return;
  }
  shown_ = now;
  const double per_step = std::chrono::duration<double>(now - begun_).count() / static_cast<double>(step - first_step_);
  const StepReport report{
      epoch_, epochs_, step, steps_, sums, training_rate_, per_step * static_cast<double>(steps_ - step)};
  if (terminal_) {
    std::fprintf(stderr, "\r%s\033[K", bar_line(report, terminal_width()).c_str());
    std::fflush(stderr);
  } else {
    say(plain_line(report));
  }
}

void ProgressDisplay::epoch_done(const EpochMetrics& metrics, bool best) {
  const double seconds = std::chrono::duration<double>(Clock::now() - begun_).count();
  StepReport report;
  report.epoch = metrics.epoch;
  report.epochs = epochs_;
  say(place(report) + format("  train loss %.4f acc %.3f  val loss %.4f acc %.3f%s  lr %.3g  %.0f images/s  %.1f s",
                             metrics.train_loss, metrics.train_accuracy, metrics.val_loss, metrics.val_accuracy,
                             best ? " best" : "", metrics.lr, training_rate_, seconds));
}

void ProgressDisplay::clear_bar() {
  if (terminal_) {
    std::fprintf(stderr, "\r\033[K");
    std::fflush(stderr);
  }
}

}  // namespace ferrun::train
