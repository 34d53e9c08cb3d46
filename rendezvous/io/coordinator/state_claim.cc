#include "rendezvous/io/coordinator/state_claim.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <utility>

#include "rendezvous/io/coordinator/state_file.h"
#include "rendezvous/wire/handshake.h"

namespace ferrun {
namespace {

std::string lock_path(const StateOwner& owner) { return owner.path + ".lock"; }

// Whether `path` still leads to the open file: whoever had the lock before may have removed it.
bool still_named(int fd, const std::string& path) {
  struct stat opened {};
  struct stat named {};
  return ::fstat(fd, &opened) == 0 && ::stat(path.c_str(), &named) == 0 && opened.st_dev == named.st_dev &&
         opened.st_ino == named.st_ino;
}

std::string noted_job(int fd) {
  std::array<char, kMaxJobIdBytes> bytes{};
  const ssize_t size = ::pread(fd, bytes.data(), bytes.size(), 0);
  return {bytes.data(), static_cast<size_t>(size > 0 ? size : 0)};
}

// A note for others: a disk that is full loses it, and the lock holds.
void note_job(int fd, const std::string& job_id) {
  if (::ftruncate(fd, 0) != 0) return;
  [[maybe_unused]] const ssize_t written = ::pwrite(fd, job_id.data(), job_id.size(), 0);
}

// Since the file was written or touched; none when it is not there.
std::optional<Duration> age_of(const std::string& file) {
  struct stat found {};
  if (::stat(file.c_str(), &found) != 0) return std::nullopt;
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return std::chrono::seconds(now.tv_sec - found.st_mtim.tv_sec);
}

}  // namespace

StateClaim StateClaim::take(StateOwner owner) {
  StateClaim claim(std::move(owner));
  claim.lock();
  if (!claim.held()) return claim;
  claim.verdict_ = judge_state(claim.owner_, load_state(claim.owner_.path), age_of(claim.owner_.path));
  if (claim.verdict_.usable) {
    note_job(claim.lock_.get(), claim.owner_.job_id);
  } else {
    claim.lock_.reset();
  }
  return claim;
}

void StateClaim::lock() {
  const std::string path = lock_path(owner_);
  for (;;) {
    lock_.reset(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!lock_) {
      verdict_ = judge_unlockable_state(owner_, "cannot create " + path + ": " + std::strerror(errno));
      return;
    }
    while (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EINTR) continue;
      const int why = errno;
      verdict_ = why == EWOULDBLOCK ? judge_locked_state(owner_, noted_job(lock_.get()))
                                    : judge_unlockable_state(owner_, "cannot lock " + path + ": " + std::strerror(why));
      return lock_.reset();
    }
    if (still_named(lock_.get(), path)) return;
    lock_.reset();
  }
}

// The lock's file goes last, and while it is held: nobody who finds it meets the state.
void StateClaim::remove() {
  if (!held()) return;
  ::unlink(owner_.path.c_str());
  ::unlink(lock_path(owner_).c_str());
  lock_.reset();
}

}  // namespace ferrun
