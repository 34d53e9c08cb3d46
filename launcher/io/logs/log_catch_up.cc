#include "launcher/io/logs/log_catch_up.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace ferrun {

void LogFileProgress::advance(size_t bytes) {
  const std::lock_guard lock(mutex_);
  if (failed_) return;  // behind a gap nothing is where it would be
  written_ += bytes;
  moved_.notify_all();
}

void LogFileProgress::fail() {
  const std::lock_guard lock(mutex_);
  failed_ = true;
  moved_.notify_all();
}

std::optional<uint64_t> LogFileProgress::wait_beyond(uint64_t offset) {
  std::unique_lock lock(mutex_);
  moved_.wait(lock, [&] { return failed_ || written_ > offset; });
  if (written_ <= offset) return std::nullopt;
  return written_;
}

LogCatchUp::LogCatchUp(UniqueFd file, Place place, std::shared_ptr<LogFileProgress> progress, LineSplitter splitter,
                       std::string prefix)
    : file_(std::move(file)),
      place_(place),
      progress_(std::move(progress)),
      splitter_(std::move(splitter)),
      prefix_(std::move(prefix)) {}

std::optional<LogSource::Piece> LogCatchUp::next(size_t most) {
  const std::optional<uint64_t> written = progress_->wait_beyond(place_.offset);
  if (!written) return std::nullopt;
  std::string bytes(static_cast<size_t>(std::min<uint64_t>(most, *written - place_.offset)), '\0');
  ssize_t got = 0;
  do {
    got = ::pread(file_.get(), bytes.data(), bytes.size(), place_.file_begin + static_cast<off_t>(place_.offset));
  } while (got < 0 && errno == EINTR);
  if (got <= 0) return std::nullopt;  // somebody has made the file shorter
  bytes.resize(static_cast<size_t>(got));
  place_.offset += bytes.size();
  Piece piece;
  piece.taken.add(bytes);
  splitter_.feed(bytes, [&](std::string_view line) { piece.text.append(prefix_).append(line).append(1, '\n'); });
  return piece;
}

}  // namespace ferrun
