#include "launcher/io/process/last_words.h"

#include <poll.h>
#include <unistd.h>

namespace ferrun {

void say_without_waiting(std::string_view line) {
  pollfd err = {STDERR_FILENO, POLLOUT, 0};
  if (poll(&err, 1, 0) != 1 || (err.revents & POLLOUT) == 0) return;
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace ferrun
