#include "launcher/io/probe/host_facts.h"

#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <system_error>

#include "launcher/io/probe/device_probe.h"
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

std::array<uint64_t, 4> kernel_random() {
  std::array<uint64_t, 4> numbers{};
  while (getrandom(numbers.data(), sizeof numbers, 0) < 0) {
  }
  return numbers;
}

FileQueries::Kind kind_of(const fs::path& path) {
  std::error_code error;
  switch (fs::status(path, error).type()) {
    case fs::file_type::not_found:
    case fs::file_type::none: return FileQueries::Kind::kMissing;
    case fs::file_type::regular: return FileQueries::Kind::kFile;
    case fs::file_type::directory: return FileQueries::Kind::kDirectory;
    default: return FileQueries::Kind::kOther;
  }
}

Result<std::string> beginning_of(const fs::path& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return Error{ErrorKind::kUser, std::strerror(errno)};
  std::array<char, 4096> bytes{};
  const ssize_t length = read(fd, bytes.data(), bytes.size());
  const int error = errno;
  close(fd);
  if (length < 0) return Error{ErrorKind::kUser, std::strerror(error)};
  return std::string(bytes.data(), static_cast<size_t>(length));
}

}  // namespace

HostFacts read_host_facts() {
  HostFacts facts;
  facts.environment = Environment::from_block(environ);
  facts.hostname = host_name();
  facts.ferrun_folder = own_folder();
  facts.start_stamp = utc_stamp();
  facts.random = kernel_random();
  facts.open_files = soft_open_files();
  facts.files.kind = kind_of;
  facts.files.executable = [](const fs::path& path) { return access(path.c_str(), X_OK) == 0; };
  facts.files.beginning = beginning_of;
  facts.files.has_fork_point = [](const fs::path& path) { return has_fork_point(path.string()); };
  facts.usable_cores = usable_cores;
  facts.gpu_uuids = [] { return nvidia_device_uuids("/"); };
  return facts;
}

}  // namespace ferrun
