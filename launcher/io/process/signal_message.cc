#include "launcher/io/process/signal_message.h"

#include <csignal>

namespace ferrun {

bool ignored_now(int signal) {
  struct sigaction action = {};
  return sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

bool is_meant(int signal, int code, bool ignored) {
  if (!ignored) return true;
  const bool from_keyboard_or_kernel = code > 0;
  return (signal == SIGINT || signal == SIGQUIT) && !from_keyboard_or_kernel;
}

}  // namespace ferrun
