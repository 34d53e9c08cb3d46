#include "worker/checkpoint/atomic_file.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "worker/checkpoint/signal_guard.h"

namespace ferrun::checkpoint {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 16;
constexpr int kNameAttempts = 100;
constexpr const char* kTemporaryMark = ".tmp-";

bool equal_files(const std::string& a, const std::string& b) {
  std::error_code error;
  const auto size = std::filesystem::file_size(a, error);
  if (error || std::filesystem::file_size(b, error) != size || error) return false;
  std::ifstream left(a, std::ios::binary);
  std::ifstream right(b, std::ios::binary);
  std::vector<char> of_left(kBufferBytes);
  std::vector<char> of_right(kBufferBytes);
  for (uintmax_t done = 0; done < size; done += kBufferBytes) {
    const auto bytes = static_cast<std::streamsize>(std::min<uintmax_t>(kBufferBytes, size - done));
    if (!left.read(of_left.data(), bytes) || !right.read(of_right.data(), bytes)) return false;
    if (!std::equal(of_left.begin(), of_left.begin() + bytes, of_right.begin())) return false;
  }
  return true;
}

}  // namespace

AtomicFile::AtomicFile(std::string path, FileSystem& files) : path_(std::move(path)), files_(files) {
  // A link stays, and what it points to is replaced.
  std::error_code error;
  if (std::filesystem::is_symlink(path_, error)) {
    if (std::filesystem::path target = std::filesystem::canonical(path_, error); !error) path_ = target.string();
  }
  folder_ = std::filesystem::path(path_).parent_path().string();
  if (folder_.empty()) folder_ = ".";
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) files_.close(descriptor_);
  if (!temporary_.empty()) files_.unlink(temporary_);
}

Status AtomicFile::failed(const std::string& action, ssize_t result) const {
  std::string remedy;
  if (result == -ENOSPC) remedy = ": free space on its disk";
  if (result == -EDQUOT) remedy = ": the disk quota is used up";
  if (result == -EFBIG) remedy = ": the limit for file sizes is reached (ulimit -f)";
  if (result == -ENOENT) remedy = ": its folder does not exist, or another process saves to the same path";
  return Error{ErrorKind::kPlatform, "cannot save " + path_ + ": " + action + " failed (" +
                                         std::strerror(static_cast<int>(-result)) + ")" + remedy};
}

void AtomicFile::remove_leftovers() {
  const std::string prefix = std::filesystem::path(path_).filename().string() + kTemporaryMark;
  for (const std::string& name : files_.list(folder_, prefix)) files_.unlink(folder_ + "/" + name);
}

Status AtomicFile::open() {
  std::error_code error;
  const auto there = std::filesystem::status(path_, error).type();
  using std::filesystem::file_type;
  if (there == file_type::character || there == file_type::block || there == file_type::fifo ||
      there == file_type::socket) {
    return Error{ErrorKind::kUser, "cannot save " + path_ +
                                       ": it is a device, a pipe or a socket, which a file would "
                                       "replace; name a file"};
  }
  remove_leftovers();
  const std::string stem = path_ + kTemporaryMark + std::to_string(::getpid());
  for (int attempt = 0; attempt < kNameAttempts; ++attempt) {
    const std::string name = stem + "-" + std::to_string(attempt);
    descriptor_ = files_.create(name);
    if (descriptor_ == -EEXIST) continue;
    if (descriptor_ < 0) break;
    temporary_ = name;
    return ok_status();
  }
  return failed("creating " + stem, descriptor_);
}

Status AtomicFile::write(std::span<const uint8_t> bytes) {
  if (buffer_.size() + bytes.size() > kBufferBytes) {
    if (auto flushed = flush(); !flushed) return flushed;
  }
  // What would fill the buffer needs none.
  if (bytes.size() >= kBufferBytes) return write_through(bytes);
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  return ok_status();
}

Status AtomicFile::flush() {
  auto written = write_through(buffer_);
  buffer_.clear();
  return written;
}

Status AtomicFile::write_through(std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = files_.write(descriptor_, bytes.data(), bytes.size());
    if (written < 0) return failed("writing " + temporary_, written);
    // A write of nothing for a non-empty buffer would repeat for ever.
    if (written == 0) return failed("writing " + temporary_, -EIO);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return ok_status();
}

Status AtomicFile::commit(const std::optional<std::string>& previous_path) {
  if (auto flushed = flush(); !flushed) return flushed;
  // The order is what makes it safe: the bytes are on the disk before the name points to them.
  if (const int result = files_.sync(descriptor_); result < 0) return failed("syncing " + temporary_, result);
  const int closed = files_.close(descriptor_);
  descriptor_ = -1;
  if (closed < 0) return failed("closing " + temporary_, closed);
  if (previous_path && !equal_files(temporary_, path_)) keep_previous(*previous_path);
  if (const int result = files_.rename(temporary_, path_); result < 0) return failed("renaming " + temporary_, result);
  temporary_.clear();
  if (const int result = files_.sync_folder(folder_); result < 0) return failed("syncing its folder", result);
  return ok_status();
}

void AtomicFile::keep_previous(const std::string& previous_path) {
  // A second name for the old file, put in place by a rename: neither path ever points to something incomplete. A file
  // system without hard links keeps no previous file; that is no reason not to save.
  const std::string second_name = temporary_ + "-previous";
  files_.unlink(second_name);
  if (files_.link(path_, second_name) < 0) return;
  if (files_.rename(second_name, previous_path) < 0) files_.unlink(second_name);
}

Status write_file_atomically(const std::string& path, std::span<const uint8_t> bytes) {
  const FileSizeSignalGuard guard;
  AtomicFile file(path);
  if (Status opened = file.open(); !opened) return opened;
  if (Status written = file.write(bytes); !written) return written;
  return file.commit();
}

}  // namespace ferrun::checkpoint
