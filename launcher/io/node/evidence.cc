#include "launcher/io/node/evidence.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <system_error>

#include "common/io/small_file.h"
#include "common/io/unique_fd.h"
#include "common/io/write_all.h"
#include "common/json_beginning.h"

namespace ferrun {
namespace {

namespace fs = std::filesystem;

constexpr size_t kLongestErrorFile = 4 << 20;

// What cannot be written, why, and which option or variable names it.
struct Destination {
  const char* what;
  const char* named_by;
};
constexpr Destination kParentErrorFile{"the error file of ferrun's own parent", "TORCHELASTIC_ERROR_FILE"};
constexpr Destination kTerminationLog{"the termination message", "--termination-log"};

Error cannot_write(const Destination& to, const fs::path& path, const std::string& reason) {
  return Error{ErrorKind::kPlatform, "cannot write " + std::string(to.what) + ", " + path.string() + ": " + reason +
                                         " (" + to.named_by + ")"};
}

std::string reason_of(int error) { return std::generic_category().message(error); }

// Whole or not at all: whoever waits for the file never reads half of it.
bool replace_file(const fs::path& path, const std::string& bytes, mode_t mode) {
  const std::string beside = path.string() + ".ferrun-" + std::to_string(::getpid());
  const UniqueFd file(::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode));
  if (!file) return false;
  if (write_all(file.get(), bytes) && ::rename(beside.c_str(), path.c_str()) == 0) return true;
  ::unlink(beside.c_str());
  return false;
}

// For a link, or a folder where nothing can be made.
Status write_in_place(const Destination& to, const fs::path& path, const std::string& bytes) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, 0666));
  if (!file && errno == ENXIO) return cannot_write(to, path, "it is a FIFO or a socket");
  if (!file) return cannot_write(to, path, reason_of(errno));
  struct stat what {};
  if (::fstat(file.get(), &what) != 0) return cannot_write(to, path, reason_of(errno));
  if (!S_ISREG(what.st_mode)) return cannot_write(to, path, "it is not a regular file");
  if (::ftruncate(file.get(), 0) != 0 || !write_all(file.get(), bytes)) {
    return cannot_write(to, path, reason_of(errno));
  }
  return ok_status();
}

}  // namespace

ErrorFile read_error_file(const fs::path& path) {
  if (path.empty()) return {};
  const SmallFile file = read_small_file(path, kLongestErrorFile);
  ErrorFile error;
  switch (file.state) {
    case SmallFile::State::kAbsent: return error;
    case SmallFile::State::kRead: error = parse_error_file(file.bytes); break;
    case SmallFile::State::kTooLarge:
      error = parse_error_beginning(file.bytes);
      if (!error.problem.empty()) error.problem = file.problem + ", and " + error.problem;
      break;
    case SmallFile::State::kNotAFile:
    case SmallFile::State::kUnreadable: error.state = ErrorFile::State::kUnreadable; error.problem = file.problem;
  }
  if (error.state == ErrorFile::State::kUnreadable) error.problem = path.string() + ": " + error.problem;
  return error;
}

Status tell_parent(const fs::path& parent_file, const fs::path& error_file, const std::string& description,
                   int status) {
  const SmallFile file = read_small_file(error_file, kLongestErrorFile);
  std::optional<std::string> told;
  if (file.state == SmallFile::State::kRead) told = file.bytes;
  if (file.state == SmallFile::State::kTooLarge) told = completed_json(file.bytes);
  const std::string bytes = error_file_for_parent(told, description, status);
  struct stat what {};
  const bool is_there = ::lstat(parent_file.c_str(), &what) == 0;
  const bool is_replaceable = !is_there || S_ISREG(what.st_mode);
  if (is_replaceable && replace_file(parent_file, bytes, is_there ? what.st_mode & 0777 : 0666)) return ok_status();
  return write_in_place(kParentErrorFile, parent_file, bytes);
}

Status leave_message(const fs::path& path, const std::string& message) {
  return write_in_place(kTerminationLog, path, message);
}

}  // namespace ferrun
