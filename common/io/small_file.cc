#include "common/io/small_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/io/unique_fd.h"

namespace ferrun {
namespace {

using State = SmallFile::State;

constexpr size_t kFirstPiece = 4096;

std::string size_words(size_t bytes) {
  return bytes >= (1 << 20) ? std::to_string(bytes >> 20) + " MiB" : std::to_string(bytes) + " bytes";
}

const char* kind_words(mode_t mode) {
  if (S_ISDIR(mode)) return "it is a folder";
  if (S_ISFIFO(mode)) return "it is a FIFO";
  if (S_ISSOCK(mode)) return "it is a socket";
  return "it is a device";
}

SmallFile refused(int error) {
  if (error == ENOENT || error == ENOTDIR) return {};
  if (error == ENXIO) return {State::kNotAFile, "", "it is a socket"};  // which cannot be opened
  return {State::kUnreadable, "", std::strerror(error)};
}

}  // namespace

SmallFile read_small_file(const std::filesystem::path& path, size_t most) {
  // O_NONBLOCK: a FIFO of that name must not hold anyone up; it means nothing for regular files.
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file) return refused(errno);
  struct stat facts {};
  if (::fstat(file.get(), &facts) != 0) return refused(errno);
  if (!S_ISREG(facts.st_mode)) return {State::kNotAFile, "", kind_words(facts.st_mode)};
  std::string bytes(std::min(std::max(kFirstPiece, static_cast<size_t>(facts.st_size) + 1), most + 1), '\0');
  size_t filled = 0;
  for (;;) {
    const ssize_t count = ::read(file.get(), bytes.data() + filled, bytes.size() - filled);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return refused(errno);
    if (count == 0) break;
    filled += static_cast<size_t>(count);
    if (filled > most) {
      bytes.resize(most);
      return {State::kTooLarge, std::move(bytes), "it has more than " + size_words(most)};
    }
    if (filled == bytes.size()) bytes.resize(std::min(2 * bytes.size(), most + 1));
  }
  bytes.resize(filled);
  return {State::kRead, std::move(bytes), ""};
}

Result<std::string> read_whole_file(const std::filesystem::path& path, size_t most) {
  SmallFile file = read_small_file(path, most);
  if (file.state == State::kRead) return std::move(file.bytes);
  const std::string why = file.state == State::kAbsent ? std::strerror(ENOENT) : file.problem;
  return Error{ErrorKind::kUser, path.string() + ": cannot be read: " + why};
}

}  // namespace ferrun
