#include "worker/checkpoint/byte_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/io/unique_fd.h"
#include "worker/checkpoint/file_format.h"

namespace ferrun::checkpoint {
namespace {

Error unreadable(const std::string& why) { return {ErrorKind::kUser, why}; }

class FileSource final : public ByteSource {
 public:
  FileSource(UniqueFd descriptor, uint64_t size) : descriptor_(std::move(descriptor)), size_(size) {}

  uint64_t size() const override { return size_; }

  Status read_at(uint64_t offset, std::span<uint8_t> into) const override {
    while (!into.empty()) {
      const ssize_t got = ::pread(descriptor_.get(), into.data(), into.size(), static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return unreadable(std::string("cannot be read: ") + std::strerror(errno));
      if (got == 0) return unreadable("ends before its time: it is truncated or still being written");
      offset += static_cast<uint64_t>(got);
      into = into.subspan(static_cast<size_t>(got));
    }
    return ok_status();
  }

 private:
  UniqueFd descriptor_;
  uint64_t size_;
};

}  // namespace

Status MemorySource::read_at(uint64_t offset, std::span<uint8_t> into) const {
  if (offset > bytes_.size() || into.size() > bytes_.size() - offset) return unreadable("ends before its time");
  std::copy_n(bytes_.data() + offset, into.size(), into.data());
  return ok_status();
}

Status RangeSource::read_at(uint64_t offset, std::span<uint8_t> into) const {
  if (offset > size_ || into.size() > size_ - offset) return unreadable("ends before its time");
  return whole_.read_at(offset_ + offset, into);
}

Result<std::unique_ptr<ByteSource>> open_file_source(const std::string& path) {
  // O_NONBLOCK: a FIFO given by mistake is refused below instead of waiting for its writer.
  UniqueFd descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!descriptor) return unreadable(std::string("cannot be opened: ") + std::strerror(errno));
  struct stat facts {};
  const bool has_facts = ::fstat(descriptor.get(), &facts) == 0;
  if (has_facts && S_ISDIR(facts.st_mode)) return describe_folder(path);
  if (!has_facts || !S_ISREG(facts.st_mode)) return unreadable("is not a regular file");
  return std::unique_ptr<ByteSource>(
      std::make_unique<FileSource>(std::move(descriptor), static_cast<uint64_t>(facts.st_size)));
}

}  // namespace ferrun::checkpoint
