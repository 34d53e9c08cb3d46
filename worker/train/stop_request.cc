#include "worker/train/stop_request.h"

#include <signal.h>

#include <atomic>

namespace ferrun::train {
namespace {

std::atomic<int> noted_signal{0};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may not lock");

void note(int signal) {
  int none = 0;
  noted_signal.compare_exchange_strong(none, signal);
}

}  // namespace

void note_stop_signals() {
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) {
    struct sigaction action = {};
    if (sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN) continue;
    action = {};
    action.sa_handler = note;
    action.sa_flags = SA_RESTART;
    if (signal == SIGINT) {
      action.sa_flags |= static_cast<int>(SA_RESETHAND);
    }
    sigaction(signal, &action, nullptr);
  }
}

int noted_stop_signal() { return noted_signal.load(); }

}  // namespace ferrun::train
