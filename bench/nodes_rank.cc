// A worker for nodes_bench: writes down when it starts, in a group of how many, and when it is told to stop (as a group
// of none); then it ends.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

namespace {

bool note(const char* group) {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  char line[128];
  const int size =
      std::snprintf(line, sizeof line, "%s %s %d %lld\n", group, std::getenv("RANK"), static_cast<int>(getpid()),
                    static_cast<long long>(std::chrono::nanoseconds(now).count()));
  const int fd = open(std::getenv("NODES_JOURNAL"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  const bool written = fd >= 0 && write(fd, line, static_cast<size_t>(size)) == size;
  close(fd);
  return written;
}

}  // namespace

int main() {
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigprocmask(SIG_BLOCK, &stop, nullptr);
  if (!note(std::getenv("WORLD_SIZE"))) return 1;
  int signal = 0;
  sigwait(&stop, &signal);
  note("0");
  return 128 + signal;
}
