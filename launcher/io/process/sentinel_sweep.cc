#include "launcher/io/process/sentinel_sweep.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "launcher/io/process/child_search.h"
#include "launcher/io/process/descendants.h"

namespace ferrun {
namespace {

constexpr pid_t kStretch = 1 << 14;

bool contains(const std::vector<pid_t>& pids, pid_t pid) { return std::ranges::find(pids, pid) != pids.end(); }

void reap(pid_t pid) {
  while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

// Nothing is waited for by number: who cannot die yet must not keep the others alive. With somebody spared the kernel
// never says that there is no child left; then all numbers have to pass without one. A process of the job cannot hide
// from that: it is a child already, or below one that is met. Many kernels give low numbers alone, so that the job is
// met first where it began and then from the bottom.
void kill_and_reap_by_asking(std::vector<pid_t> spared, pid_t near) {
  pid_t quiet = 0;  // numbers asked since the last child
  pid_t first = near - near % kStretch;
  for (pid_t next = 0; quiet <= kPidLimit; first = next, next = (next + kStretch) % kPidLimit) {
    quiet += kStretch;
    for (const pid_t child : children_among(first, first + kStretch)) {
      if (contains(spared, child)) continue;
      quiet = 0;
      kill(child, SIGKILL);
    }
    pid_t ended = 0;
    while ((ended = waitpid(-1, nullptr, WNOHANG | __WALL)) > 0) std::erase(spared, ended);
    if (ended < 0) return;
  }
}

void kill_and_reap_listed(const std::vector<pid_t>& spared) {
  for (;;) {
    std::vector<pid_t> children = own_children();
    std::erase_if(children, [&](pid_t child) { return contains(spared, child); });
    // An orphan arrives before its dead parent can be reaped, so an empty list means that none is left.
    if (children.empty()) return;
    for (const pid_t child : children) kill(child, SIGKILL);
    for (const pid_t child : children) reap(child);
  }
}

}  // namespace

std::vector<pid_t> children_from_before() {
  if (!has_children()) return {};
  if (can_list_children()) return own_children();
  return children_among(1, kPidLimit);
}

void kill_and_reap_all_children(const std::vector<pid_t>& spared, pid_t near) {
  if (!has_children()) return;
  if (can_list_children()) kill_and_reap_listed(spared);
  if (!can_list_children() || (spared.empty() && has_children())) kill_and_reap_by_asking(spared, near);
}

}  // namespace ferrun
