#include "launcher/io/probe/host_facts.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <system_error>

#include "common/io/unique_fd.h"
#include "launcher/io/probe/cpu_topology.h"
#include "launcher/io/probe/device_probe.h"
#include "launcher/io/probe/munge.h"
#include "launcher/io/probe/node_memory.h"
#include "launcher/io/probe/open_files.h"
#include "launcher/io/probe/usable_cores.h"
#include "launcher/io/process/process_launcher.h"

extern char** environ;

namespace ferrun {
namespace {

namespace fs = std::filesystem;

std::string host_name() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return "localhost";
  return name.data();
}

fs::path own_folder() {
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  return error ? fs::path() : self.parent_path();
}

// The one wall-clock time that ferrun uses: to name the launch.
std::string utc_stamp() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y%m%dT%H%M%S", &parts);
  return text.data();
}

fs::path current_folder() {
  std::error_code error;
  return fs::current_path(error);
}

std::array<uint64_t, 6> kernel_random() {
  std::array<uint64_t, 6> numbers{};
  while (getrandom(numbers.data(), sizeof numbers, 0) < 0) {
  }
  return numbers;
}

FileQueries::Kind kind_of(const fs::path& path) {
  std::error_code error;
  const fs::file_type type = fs::status(path, error).type();
  if (error == std::errc::permission_denied || error == std::errc::too_many_symbolic_link_levels) {
    return FileQueries::Kind::kUnreachable;
  }
  switch (type) {
    case fs::file_type::not_found:
    case fs::file_type::none: return FileQueries::Kind::kMissing;
    case fs::file_type::regular: return FileQueries::Kind::kFile;
    case fs::file_type::directory: return FileQueries::Kind::kDirectory;
    default: return FileQueries::Kind::kOther;
  }
}

Result<std::string> beginning_of(const fs::path& path) {
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return Error{ErrorKind::kUser, std::strerror(errno)};
  // A pipe gives what it has so far: the rest is waited for.
  std::array<char, 4096> bytes{};
  size_t length = 0;
  ssize_t more = 1;
  while (more > 0 && length < bytes.size()) {
    more = read(file.get(), bytes.data() + length, bytes.size() - length);
    if (more < 0 && errno == EINTR)
      more = 1;
    else if (more > 0)
      length += static_cast<size_t>(more);
  }
  if (more < 0) return Error{ErrorKind::kUser, std::strerror(errno)};
  return std::string(bytes.data(), length);
}

std::optional<fs::path> link_target(const fs::path& path) {
  std::error_code error;
  const fs::path target = fs::read_symlink(path, error);
  return error ? std::nullopt : std::optional(target);
}

bool writable_folder(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error) && access(path.c_str(), W_OK | X_OK) == 0;
}

// To its end: a pipe gives what its writer has written so far.
Result<FileQueries::Secret> secret_in(const fs::path& path) {
  constexpr size_t kMostBytes = 64 << 10;
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return Error{ErrorKind::kUser, std::strerror(errno)};
  struct stat facts {};
  FileQueries::Secret secret;
  if (fstat(file.get(), &facts) == 0) secret.others_may_read = (facts.st_mode & (S_IRGRP | S_IROTH)) != 0;
  std::array<char, 4096> bytes{};
  ssize_t length = 0;
  int error = 0;
  do {
    length = read(file.get(), bytes.data(), bytes.size());
    error = length < 0 ? errno : 0;
    if (length > 0) secret.text.append(bytes.data(), static_cast<size_t>(length));
  } while ((length > 0 && secret.text.size() <= kMostBytes) || error == EINTR);
  if (error != 0) return Error{ErrorKind::kUser, std::strerror(error)};
  if (secret.text.size() > kMostBytes) return Error{ErrorKind::kUser, "it has more than 65536 bytes"};
  return secret;
}

}  // namespace

HostFacts read_host_facts() {
  HostFacts facts;
  facts.environment = Environment::from_block(environ);
  facts.hostname = host_name();
  facts.called_as = program_invocation_name;
  facts.current_folder = current_folder();
  facts.ferrun_folder = own_folder();
  facts.start_stamp = utc_stamp();
  facts.random = kernel_random();
  facts.open_files = soft_open_files();
  facts.files.kind = kind_of;
  facts.files.executable = [](const fs::path& path) { return access(path.c_str(), X_OK) == 0; };
  facts.files.beginning = beginning_of;
  facts.files.link_target = link_target;
  facts.files.writable_folder = writable_folder;
  facts.files.secret = secret_in;
  facts.files.has_fork_point = [](const fs::path& path) { return has_fork_point(path.string()); };
  facts.token_wrapping = munge_wrapping(facts.environment.get_or(kMungeSocketVariable, ""));
  facts.usable_cores = usable_cores;
  facts.nvidia_gpus = [] { return nvidia_gpus("/"); };
  facts.amd_gpus = [] { return amd_gpus("/"); };
  facts.other_accelerators = [] { return accelerator_nodes("/"); };
  facts.cpus = [] { return read_cpu_topology("/", allowed_cpus()); };
  facts.node_memory = [] { return read_node_memory("/"); };
  return facts;
}

}  // namespace ferrun
