#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "common/io/write_all.h"
#include "ferrun/client.h"
#include "worker/client/json_string.h"

namespace ferrun::client {
namespace {

// Readers see the old file or the whole new one: ferrun may read it while this process is being killed.
bool replace_file(const std::string& path, const std::string& text) {
  const std::string draft = path + ".draft-" + std::to_string(getpid());
  const int fd = open(draft.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return false;
  const bool written = write_all(fd, text);
  if (close(fd) == 0 && written && std::rename(draft.c_str(), path.c_str()) == 0) return true;
  unlink(draft.c_str());
  return false;
}

// For ferrun alone; other readers pass it by.
const char* cause_member(Cause cause) {
  switch (cause) {
    case Cause::kUnsaid: return "";
    case Cause::kOwn: return ", \"ferrun\": {\"kind\": \"own\"}";
    case Cause::kLostPeer: return ", \"ferrun\": {\"kind\": \"lost_peer\"}";
  }
  return "";
}

}  // namespace

// The simple form that torchelastic's reader accepts. Without the time, 0 would be read, and would always look like the
// first failure of the job.
bool report_error(const std::string& message, Cause cause) noexcept try {
  const char* path = std::getenv("TORCHELASTIC_ERROR_FILE");
  if (path == nullptr || *path == '\0') return false;
  return replace_file(path, "{\"message\": " + json_string(message) +
                                ", \"timestamp\": " + std::to_string(std::time(nullptr)) + cause_member(cause) + "}\n");
} catch (...) {
  return false;  // out of memory: the process is about to end anyway
}

}  // namespace ferrun::client
