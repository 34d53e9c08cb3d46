// Why a program cannot be executed. execve(2) says it with a number that means several things (ENOENT: the program or
// its interpreter; EACCES: a directory or a permission), so the file is looked at afterwards.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>

#include "common/io/unique_fd.h"
#include "launcher/io/process/spawn.h"

namespace ferrun {
namespace {

constexpr std::string_view kElfMagic = "\177ELF";

std::string first_bytes(const std::string& path) {
  std::array<char, 256> bytes;  // as many as the kernel looks at
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return {};
  const ssize_t n = read(file.get(), bytes.data(), bytes.size());
  return n > 0 ? std::string(bytes.data(), static_cast<size_t>(n)) : std::string();
}

// The interpreter of a "#!" line as the kernel reads it: blanks skipped, up to the next blank or the line's end.
std::optional<std::string> interpreter_of(const std::string& head) {
  if (!head.starts_with("#!")) return std::nullopt;
  const size_t line_end = std::min(head.find('\n'), head.size());
  const size_t begin = std::min(head.find_first_not_of(" \t", 2), line_end);
  const size_t end = std::min(head.find_first_of(" \t", begin), line_end);
  return head.substr(begin, end - begin);
}

std::string explain_missing_interpreter(const std::string& path) {
  const std::optional<std::string> interpreter = interpreter_of(first_bytes(path));
  if (!interpreter) return path + ": the dynamic loader that this program needs is missing (built for another system?)";
  if (interpreter->ends_with('\r')) {
    return path + ": its \"#!\" line ends with a carriage return; convert the file with: sed -i 's/\\r$//' " + path;
  }
  return path + ": the interpreter \"" + *interpreter + "\" of its \"#!\" line does not exist";
}

std::string explain_denied(const std::string& path, mode_t mode) {
  if (S_ISDIR(mode)) return path + " is a directory, not a program";
  if (!S_ISREG(mode)) return path + " is not a regular file, so it cannot be executed";
  if (access(path.c_str(), X_OK) != 0 && (mode & (S_IXUSR | S_IXGRP | S_IXOTH)) == 0) {
    return path + " is not executable; try: chmod +x " + path;
  }
  if (const auto interpreter = interpreter_of(first_bytes(path));
      interpreter && access(interpreter->c_str(), X_OK) != 0) {
    return path + ": the interpreter \"" + *interpreter + "\" of its \"#!\" line cannot be executed";
  }
  return "no permission to execute " + path + " (file mode, or a file system mounted with noexec)";
}

std::string explain(const std::string& path, int error) {
  struct stat file = {};
  if (stat(path.c_str(), &file) != 0) {
    if (errno == ENOENT) return "program not found: " + path;
    return "cannot execute " + path + ": " + std::strerror(errno);
  }
  switch (error) {
    case ENOENT:
    case ENOTDIR: return explain_missing_interpreter(path);
    case EACCES: return explain_denied(path, file.st_mode);
    case ENOEXEC:
      if (first_bytes(path).starts_with(kElfMagic)) return path + " is built for another kind of machine";
      return path + " is neither a program nor a script with a \"#!\" line; add one, such as #!/bin/sh";
    case E2BIG:
      return "cannot execute " + path + ": its arguments and environment are larger than the system allows (ARG_MAX)";
    default: return "cannot execute " + path + ": " + std::strerror(error);
  }
}

}  // namespace

Error explain_exec_failure(const std::string& path, int error) {
  const bool machine_is_short = error == ENOMEM || error == EAGAIN || error == ENFILE || error == EMFILE;
  return {machine_is_short ? ErrorKind::kPlatform : ErrorKind::kUser, explain(path, error)};
}

}  // namespace ferrun
