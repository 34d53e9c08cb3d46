#include "launcher/io/logs/log_files.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace ferrun {
namespace {

namespace fs = std::filesystem;

Error describe(const std::string& what, const fs::path& path, int code) {
  const std::string reason = std::generic_category().message(code);
  if (code == EMFILE || code == ENFILE) {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    return {ErrorKind::kPlatform, what + " " + path.string() + ": " + reason + " (limit " +
                                      std::to_string(limit.rlim_cur) +
                                      "): raise it with `ulimit -n`, or redirect and tee fewer streams"};
  }
  const ErrorKind kind = code == ENOSPC || code == EIO ? ErrorKind::kPlatform : ErrorKind::kUser;
  return {kind, what + " " + path.string() + ": " + reason + "; choose another place with --log-dir"};
}

Status make_directory(const fs::path& directory, unsigned mode) {
  std::error_code code;
  fs::create_directories(directory.parent_path(), code);
  if (!code && ::mkdir(directory.c_str(), mode) != 0 && errno != EEXIST) code.assign(errno, std::generic_category());
  // A file of that name is reported by some versions and passed over by others.
  if (!code && !fs::is_directory(directory, code)) code = std::make_error_code(std::errc::not_a_directory);
  if (code) return describe("cannot make the log directory", directory, code.value());
  return ok_status();
}

}  // namespace

Result<UniqueFd> open_log_file(const fs::path& path, unsigned directory_mode) {
  if (Status made = make_directory(path.parent_path(), directory_mode); !made) return made.error();
  return open_log_file_in_place(path);
}

Result<UniqueFd> open_log_file_in_place(const fs::path& path) {
  constexpr int kFlags = O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY;
  UniqueFd file(::open(path.c_str(), O_RDWR | kFlags, 0666));
  if (!file && errno == EACCES) file.reset(::open(path.c_str(), O_WRONLY | kFlags, 0666));  // one that is there
  if (!file) return describe("cannot open the log file", path, errno);
  return file;
}

}  // namespace ferrun
