#include "worker/checkpoint/signal_guard.h"

#include <ctime>

namespace ferrun::checkpoint {

FileSizeSignalGuard::FileSizeSignalGuard() {
  sigemptyset(&file_size_);
  sigaddset(&file_size_, SIGXFSZ);
  pthread_sigmask(SIG_BLOCK, &file_size_, &previous_);
}

FileSizeSignalGuard::~FileSizeSignalGuard() {
  // The blocked signal waits for this thread: take it away before the old mask lets it through.
  const timespec at_once{};
  if (!sigismember(&previous_, SIGXFSZ)) sigtimedwait(&file_size_, nullptr, &at_once);
  pthread_sigmask(SIG_SETMASK, &previous_, nullptr);
}

}  // namespace ferrun::checkpoint
