#include "launcher/io/node/node_claim.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <string>
#include <system_error>
#include <utility>

#include "rendezvous/job/ids.h"

namespace ferrun {

namespace fs = std::filesystem;

namespace {

constexpr const char* kPrefix = "node-";
// Nobody waits so long for a lost coordinator, and so nobody asks any more.
constexpr time_t kLongAgo = 24 * 60 * 60;

fs::path path_of(const fs::path& folder, AgentId agent) { return folder / (kPrefix + to_string(agent)); }

bool try_lock(int fd, int how) {
  while (::flock(fd, how | LOCK_NB) != 0) {
    if (errno != EINTR) return false;
  }
  return true;
}

// Open, regular and this user's; the folder is nobody else's.
UniqueFd open_claim(const fs::path& path) {
  return UniqueFd(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
}

bool is_forgotten(const fs::path& path) {
  const UniqueFd file = open_claim(path);
  struct stat found {};
  if (!file || ::fstat(file.get(), &found) != 0 || !S_ISREG(found.st_mode)) return false;
  return ::time(nullptr) - found.st_mtime > kLongAgo && try_lock(file.get(), LOCK_EX);
}

}  // namespace

Result<NodeClaim> NodeClaim::take(const fs::path& folder, AgentId agent) {
  fs::path path = path_of(folder, agent);
  UniqueFd lock(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (lock && try_lock(lock.get(), LOCK_EX)) return NodeClaim(std::move(path), std::move(lock));
  const std::string why = std::strerror(errno);
  if (lock) ::unlink(path.c_str());
  return Error{ErrorKind::kPlatform, "cannot make or lock " + path.string() + ": " + why +
                                         "; if this agent is killed, the next launch waits for its lease to end"};
}

void NodeClaim::remove() {
  ::unlink(path_.c_str());
  lock_.reset();
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(path_.parent_path(), error)) {
    if (!entry.path().filename().string().starts_with(kPrefix) || !is_forgotten(entry.path())) continue;
    ::unlink(entry.path().c_str());
  }
}

Remains remains_of(const fs::path& folder, AgentId agent) {
  const UniqueFd file = open_claim(path_of(folder, agent));
  if (!file || !try_lock(file.get(), LOCK_SH)) return Remains::kUnknown;
  char word = 0;
  return ::pread(file.get(), &word, 1, 0) == 1 ? Remains::kNone : Remains::kDying;
}

}  // namespace ferrun
