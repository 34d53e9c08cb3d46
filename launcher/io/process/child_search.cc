#include "launcher/io/process/child_search.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace ferrun {
namespace {

bool is_child(pid_t pid) {
  if (getpgid(pid) < 0 && errno == ESRCH) return false;  // nobody's number: this question is the quicker one
  siginfo_t ignored = {};
  return waitid(P_PID, static_cast<id_t>(pid), &ignored, WEXITED | WNOHANG | WNOWAIT) == 0;
}

// Numbers are given in a circle: the one that a new process gets is the newest.
pid_t newest_pid() {
  const pid_t probe = fork();
  if (probe == 0) _exit(0);
  if (probe < 0) return kPidLimit - 1;
  while (waitpid(probe, nullptr, 0) < 0 && errno == EINTR) {
  }
  return probe;
}

}  // namespace

bool has_children() {
  siginfo_t ignored = {};
  return waitid(P_ALL, 0, &ignored, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD;
}

std::vector<pid_t> children_among(pid_t first, pid_t end) {
  std::vector<pid_t> found;
  for (pid_t pid = std::max(first, 1); pid < end; ++pid) {
    if (is_child(pid)) found.push_back(pid);
  }
  return found;
}

std::vector<pid_t> children_by_asking() {
  const pid_t self = getpid();
  const pid_t newest = newest_pid();
  std::vector<pid_t> found = children_among(self + 1, newest > self ? newest + 1 : kPidLimit);
  if (newest <= self) {
    const std::vector<pid_t> wrapped = children_among(1, newest + 1);
    found.insert(found.end(), wrapped.begin(), wrapped.end());
  }
  return found.empty() ? children_among(1, kPidLimit) : found;
}

}  // namespace ferrun
