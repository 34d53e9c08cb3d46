#include "launcher/io/process/descendants.h"

#include <dirent.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "common/io/small_file.h"
#include "common/io/unique_fd.h"
#include "launcher/io/process/child_search.h"

namespace ferrun {
namespace {

using Directory = std::unique_ptr<DIR, int (*)(DIR*)>;

Directory open_directory(const std::string& path) { return {opendir(path.c_str()), closedir}; }

// The entries of a /proc folder that are numbers: pids, or thread ids.
std::vector<pid_t> numeric_entries(const std::string& folder) {
  std::vector<pid_t> ids;
  const Directory directory = open_directory(folder);
  if (!directory) return ids;
  while (const dirent* entry = readdir(directory.get())) {
    char* end = nullptr;
    const long id = std::strtol(entry->d_name, &end, 10);
    if (end != entry->d_name && *end == '\0') ids.push_back(static_cast<pid_t>(id));
  }
  return ids;
}

struct ProcessLine {
  char state = 0;  // 'Z' for a zombie
  pid_t parent = 0;
};

// The third and the fourth field of the process's stat file. The second one, the command in parentheses, may itself
// hold blanks and parentheses.
std::optional<ProcessLine> process_line(pid_t pid) {
  const std::string stat = read_small_file("/proc/" + std::to_string(pid) + "/stat").bytes;
  const size_t command_end = stat.rfind(')');
  if (command_end == std::string::npos || command_end + 4 > stat.size()) return std::nullopt;
  return ProcessLine{stat[command_end + 2],
                     static_cast<pid_t>(std::strtol(stat.c_str() + command_end + 4, nullptr, 10))};
}

// For kernels without CONFIG_PROC_CHILDREN.
std::vector<pid_t> children_by_scan(pid_t parent) {
  std::vector<pid_t> children;
  for (const pid_t pid : numeric_entries("/proc")) {
    const std::optional<ProcessLine> line = process_line(pid);
    if (line && line->parent == parent) children.push_back(pid);
  }
  return children;
}

std::string threads_folder(pid_t pid) { return "/proc/" + std::to_string(pid) + "/task"; }

std::vector<pid_t> children_of(pid_t parent) {
  const std::string tasks = threads_folder(parent);
  std::vector<pid_t> children;
  for (const pid_t thread : numeric_entries(tasks)) {
    const std::string task = tasks + "/" + std::to_string(thread);
    const SmallFile list = read_small_file(task + "/children");
    if (list.state == SmallFile::State::kAbsent && access(task.c_str(), F_OK) == 0) return children_by_scan(parent);
    const char* at = list.bytes.c_str();  // empty where the thread has ended meanwhile
    char* end = nullptr;
    for (long pid = std::strtol(at, &end, 10); end != at; pid = std::strtol(at, &end, 10)) {
      children.push_back(static_cast<pid_t>(pid));
      at = end;
    }
  }
  return children;
}

bool lives_below(pid_t parent, pid_t child) {
  const std::optional<ProcessLine> line = process_line(child);
  return line && line->parent == parent && line->state != 'Z' && line->state != 'X';
}

// Living children of another process.
class HeldChildren {
 public:
  explicit HeldChildren(pid_t parent) : parent_(parent) {
    for (const pid_t child : children_of(parent)) hold(child);
  }

  bool empty() const { return held_.empty(); }

  void kill() const {
    for (const Held& held : held_) {
      if (held.pidfd && syscall(SYS_pidfd_send_signal, held.pidfd.get(), SIGKILL, nullptr, 0) == 0) continue;
      if (lives_below(parent_, held.pid)) ::kill(held.pid, SIGKILL);
    }
  }

  // Until every one of them has ended: its orphans have a new parent by then.
  void await_ends(std::chrono::steady_clock::time_point deadline) const {
    for (const Held& held : held_) {
      pollfd ended = {held.pidfd.get(), POLLIN, 0};  // a negative one is passed over, and the time alone counts
      while (lives_below(parent_, held.pid)) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        if (left.count() <= 0) return;
        poll(&ended, 1, held.pidfd ? static_cast<int>(left.count()) : 1);
      }
    }
  }

 private:
  struct Held {
    pid_t pid;
    UniqueFd pidfd;  // none: denied
  };

  // A pid that was recycled since it was listed has another parent; what the pidfd holds cannot be recycled any more.
  void hold(pid_t child) {
    UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, child, 0)));
    if (!pidfd && errno == ESRCH) return;
    if (lives_below(parent_, child)) held_.push_back({child, std::move(pidfd)});
  }

  pid_t parent_;
  std::vector<Held> held_;
};

}  // namespace

// A child may come between two looks; then the list is made once more.
std::vector<pid_t> own_children() {
  while (has_children()) {
    std::vector<pid_t> listed = children_of(getpid());
    if (!listed.empty()) return listed;
    if (!can_list_children()) return children_by_asking();
  }
  return {};
}

bool can_list_children() {
  std::array<char, 16> self{};
  const ssize_t length = readlink("/proc/self", self.data(), self.size());
  const bool of_this_namespace =
      length > 0 && std::string(self.data(), static_cast<size_t>(length)) == std::to_string(getpid());
  return of_this_namespace && !numeric_entries("/proc/self/task").empty();
}

std::string name_of(pid_t pid) {
  std::string name = read_small_file("/proc/" + std::to_string(pid) + "/comm").bytes;
  while (!name.empty() && name.back() == '\n') name.pop_back();
  return name;
}

// The kernel reads the arguments from the memory of the process, which one in uninterruptible sleep may have locked.
std::string command_line_of(pid_t pid) {
  const std::optional<ProcessLine> line = process_line(pid);
  if (!line || line->state == 'D') return {};
  return read_small_file("/proc/" + std::to_string(pid) + "/cmdline").bytes;
}

bool is_ancestor(pid_t pid) {
  for (pid_t at = getppid(); at > 0;) {
    if (at == pid) return true;
    const std::optional<ProcessLine> line = process_line(at);
    if (!line) return false;
    at = line->parent;
  }
  return false;
}

void signal_tree(pid_t root, int signal) {
  kill(root, signal);
  for (const pid_t child : children_of(root)) signal_tree(child, signal);
}

bool kill_children_of(pid_t parent, const std::function<bool()>& wanted) {
  // Every process has a thread at least.
  if (!can_list_children() || numeric_entries(threads_folder(parent)).empty()) return false;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(50);
  do {
    const HeldChildren children(parent);
    if (children.empty() || !wanted()) return true;
    children.kill();
    children.await_ends(deadline);
  } while (std::chrono::steady_clock::now() < deadline);
  return true;
}

}  // namespace ferrun
