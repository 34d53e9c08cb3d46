// What the ranks of a restart measurement write: one line for each event, with the machine's monotonic time, so that
// the times of different processes compare. The file is named by RESTART_EVENTS.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

namespace ferrun::bench {

// Appends "EVENT ATTEMPT RANK NANOSECONDS" in one write, which lines of other ranks cannot split.
inline void record_event(const char* event, int attempt, int rank) {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  char line[128];
  const int size = std::snprintf(line, sizeof line, "%s %d %d %lld\n", event, attempt, rank,
                                 static_cast<long long>(std::chrono::nanoseconds(now).count()));
  const char* path = std::getenv("RESTART_EVENTS");
  const int fd = open(path != nullptr ? path : "/dev/stdout", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0 || write(fd, line, static_cast<size_t>(size)) != size) std::perror("RESTART_EVENTS");
  if (fd >= 0) close(fd);
}

}  // namespace ferrun::bench
