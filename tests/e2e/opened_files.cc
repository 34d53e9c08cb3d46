#include "tests/e2e/opened_files.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <cstring>

namespace ferrun::testing {

namespace fs = std::filesystem;

OpenedFiles::OpenedFiles(const fs::path& root) : root_(root), queue_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
  const auto watch = [&](const fs::path& folder) {
    // The kernel merges equal events in a row: the closing stands between two openings of one file.
    const int number = queue_ ? inotify_add_watch(queue_.get(), folder.c_str(), IN_OPEN | IN_CLOSE_NOWRITE) : -1;
    if (number < 0) {
      queue_.reset();
    } else {
      folders_[number] = folder.lexically_relative(root_).string();
    }
  };
  watch(root_);
  for (const auto& entry : fs::recursive_directory_iterator(root_)) {
    if (entry.is_directory()) watch(entry.path());
  }
}

const std::vector<std::string>& OpenedFiles::so_far() {
  alignas(inotify_event) char bytes[64 * 1024];
  ssize_t length = 0;
  while (queue_ && (length = read(queue_.get(), bytes, sizeof bytes)) > 0) {
    for (ssize_t at = 0; at < length;) {
      inotify_event event;
      std::memcpy(&event, bytes + at, sizeof event);
      if ((event.mask & IN_Q_OVERFLOW) != 0) overflown_ = true;
      // A folder that is listed has been opened, too.
      if (event.len > 0 && (event.mask & IN_OPEN) != 0 && (event.mask & IN_ISDIR) == 0) {
        opened_.push_back(folders_[event.wd] + "/" + (bytes + at + sizeof event));
      }
      at += static_cast<ssize_t>(sizeof event + event.len);
    }
  }
  return opened_;
}

}  // namespace ferrun::testing
