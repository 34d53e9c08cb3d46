#include "tests/launcher/logs/log_rig.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <sstream>

#include "common/io/clock.h"
#include "launcher/io/logs/log_files.h"

namespace ferrun::testing {

Console::Console() {
  int ends[2];
  EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  reading_ = ends[0];
  writing_ = ends[1];
}

Console::~Console() {
  finish();
  close_reader();
}

void Console::start(size_t bytes_at_once) {
  reader_ = std::thread([this, bytes_at_once] {
    std::string buffer(bytes_at_once, '\0');
    for (ssize_t got = 0; (got = ::read(reading_, buffer.data(), buffer.size())) > 0;) {
      const std::lock_guard lock(mutex_);
      text_.append(buffer, 0, static_cast<size_t>(got));
    }
  });
}

void Console::close_reader() {
  if (reading_ >= 0) ::close(reading_);
  reading_ = -1;
}

bool Console::has_shown(const std::string& text) const {
  const std::lock_guard lock(mutex_);
  return text_.find(text) != std::string::npos;
}

std::string Console::finish() {
  if (writing_ >= 0) ::close(writing_);
  writing_ = -1;
  if (reader_.joinable()) reader_.join();
  return text_;
}

LogRig::LogRig(const std::function<void(LogRouter::Options&)>& adjust) {
  LogRouter::Options options;
  options.console_out = out.writing_end();
  options.console_err = err.writing_end();
  if (adjust) adjust(options);
  router.emplace(io, options);
}

int LogRig::tee(int rank, Stream stream, bool with_file, int attempt) {
  StreamPlan plan;
  plan.tee = true;
  plan.prefix = "[" + std::to_string(rank) + "]:";
  if (with_file) plan.file = file_path(rank, stream, attempt);
  return open(rank, stream, plan, attempt);
}

int LogRig::open(int rank, Stream stream, const StreamPlan& plan, int attempt) {
  Result<UniqueFd> file = plan.file ? open_log_file(*plan.file) : UniqueFd();
  EXPECT_TRUE(file) << file.error().message;
  Result<UniqueFd> fd = router->open(attempt, rank, stream, plan, file ? std::move(*file) : UniqueFd());
  EXPECT_TRUE(fd) << fd.error().message;
  return fd ? fd->release() : -1;
}

std::string LogRig::file_path(int rank, Stream stream, int attempt) const {
  const std::string name = stream == Stream::kStdout ? "stdout.log" : "stderr.log";
  return directory.path() / ("attempt_" + std::to_string(attempt)) / std::to_string(rank) / name;
}

bool LogRig::drain(Duration patience, int attempt) {
  bool drained = false;
  const TimePoint deadline = monotonic_now() + patience;
  router->drain(attempt, deadline, [&] { drained = true; });
  EXPECT_TRUE(run_until([&] { return drained; }));
  return monotonic_now() < deadline;
}

bool LogRig::run_until(const std::function<bool()>& condition) {
  io.restart();
  const TimePoint limit = monotonic_now() + kHangLimit;
  while (!condition()) {
    if (monotonic_now() > limit) return false;
    io.run_one_for(std::chrono::milliseconds(2));
    if (io.stopped()) io.restart();
  }
  return true;
}

void LogRig::end_well() {
  EXPECT_TRUE(drain());
  router->close(kHangLimit);
}

Duration write_all(int fd, std::string_view bytes) {
  const TimePoint begin = monotonic_now();
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd, bytes.data(), bytes.size());
    if (count < 0) {
      ADD_FAILURE() << "write failed, errno " << errno;
      break;
    }
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  return monotonic_now() - begin;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

}  // namespace ferrun::testing
