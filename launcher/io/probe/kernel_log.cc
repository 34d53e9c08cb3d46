#include "launcher/io/probe/kernel_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <sstream>

namespace ferrun {
namespace {

constexpr size_t kRecordBytes = 8192;  // no record is longer
constexpr int kMostReads = 10'000;     // a kernel that floods its log must not keep the thread

}  // namespace

KernelLog::KernelLog(const std::filesystem::path& path)
    : file_(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)) {
  if (file_ && lseek(file_.get(), 0, SEEK_END) < 0) file_ = UniqueFd();
}

std::vector<std::string> KernelLog::news() {
  std::vector<std::string> lines;
  if (!file_) return lines;
  std::array<char, kRecordBytes> record{};
  for (int reads = 0; reads < kMostReads; ++reads) {
    const ssize_t size = read(file_.get(), record.data(), record.size());
    if (size < 0 && (errno == EPIPE || errno == EINTR)) continue;  // overwritten: the next one is the oldest there is
    if (size <= 0) break;
    std::istringstream text(std::string(record.data(), static_cast<size_t>(size)));
    for (std::string line; std::getline(text, line);) lines.push_back(line);
  }
  return lines;
}

}  // namespace ferrun
