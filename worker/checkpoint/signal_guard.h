// Turns the signal that kills a process at its file-size limit into an ordinary write error.
#pragma once

#include <csignal>

namespace ferrun::checkpoint {

// While it lives, a write of this thread beyond RLIMIT_FSIZE fails with EFBIG instead of ending the process by SIGXFSZ.
class FileSizeSignalGuard {
 public:
  FileSizeSignalGuard();
  ~FileSizeSignalGuard();
  FileSizeSignalGuard(const FileSizeSignalGuard&) = delete;
  FileSizeSignalGuard& operator=(const FileSizeSignalGuard&) = delete;

 private:
  sigset_t file_size_;
  sigset_t previous_;
};

}  // namespace ferrun::checkpoint
