#include "common/exit_status.h"

#include <array>
#include <csignal>
#include <utility>

namespace ferrun {
namespace {

struct SignalWords {
  int number;
  std::string_view name;
  std::string_view meaning;
};

constexpr std::array kSignals = {
    SignalWords{SIGHUP, "SIGHUP", "hangup"},
    SignalWords{SIGINT, "SIGINT", "interrupt"},
    SignalWords{SIGQUIT, "SIGQUIT", "quit"},
    SignalWords{SIGILL, "SIGILL", "illegal instruction"},
    SignalWords{SIGTRAP, "SIGTRAP", "trace trap"},
    SignalWords{SIGABRT, "SIGABRT", "aborted"},
    SignalWords{SIGBUS, "SIGBUS", "bus error"},
    SignalWords{SIGFPE, "SIGFPE", "arithmetic error"},
    SignalWords{SIGKILL, "SIGKILL", "killed"},
    SignalWords{SIGUSR1, "SIGUSR1", "user signal 1"},
    SignalWords{SIGSEGV, "SIGSEGV", "segmentation fault"},
    SignalWords{SIGUSR2, "SIGUSR2", "user signal 2"},
    SignalWords{SIGPIPE, "SIGPIPE", "broken pipe"},
    SignalWords{SIGALRM, "SIGALRM", "alarm clock"},
    SignalWords{SIGTERM, "SIGTERM", "terminated"},
    SignalWords{SIGSTKFLT, "SIGSTKFLT", "stack fault"},
    SignalWords{SIGCHLD, "SIGCHLD", "child status changed"},
    SignalWords{SIGCONT, "SIGCONT", "continued"},
    SignalWords{SIGSTOP, "SIGSTOP", "stopped"},
    SignalWords{SIGTSTP, "SIGTSTP", "stopped at the terminal"},
    SignalWords{SIGTTIN, "SIGTTIN", "terminal input in the background"},
    SignalWords{SIGTTOU, "SIGTTOU", "terminal output in the background"},
    SignalWords{SIGURG, "SIGURG", "urgent data"},
    SignalWords{SIGXCPU, "SIGXCPU", "CPU time limit exceeded"},
    SignalWords{SIGXFSZ, "SIGXFSZ", "file size limit exceeded"},
    SignalWords{SIGVTALRM, "SIGVTALRM", "virtual alarm"},
    SignalWords{SIGPROF, "SIGPROF", "profiling alarm"},
    SignalWords{SIGWINCH, "SIGWINCH", "window size changed"},
    SignalWords{SIGIO, "SIGIO", "input or output possible"},
    SignalWords{SIGPWR, "SIGPWR", "power failure"},
    SignalWords{SIGSYS, "SIGSYS", "bad system call"},
};

const SignalWords* find_signal(int number) {
  for (const SignalWords& words : kSignals) {
    if (words.number == number) return &words;
  }
  return nullptr;
}

}  // namespace

ExitStatus ExitStatus::from_wait_status(int status) {
  constexpr int kSignal = 0x7f;
  constexpr int kCoreDumped = 0x80;
  if ((status & kSignal) != 0) return signaled(status & kSignal, (status & kCoreDumped) != 0);
  return exited(status >> 8 & 0xff);
}

std::string ExitStatus::describe() const {
  if (!is_signal()) return "exited with code " + std::to_string(number_);
  std::string text = "killed by " + signal_name(number_);
  if (const SignalWords* words = find_signal(number_)) text += " (" + std::string(words->meaning) + ")";
  if (core_dumped_) text += ", core dumped";
  return text;
}

std::string signal_name(int signal) {
  if (const SignalWords* words = find_signal(signal)) return std::string(words->name);
  if (signal >= SIGRTMIN && signal <= SIGRTMAX) {
    return signal == SIGRTMIN ? "SIGRTMIN" : "SIGRTMIN+" + std::to_string(signal - SIGRTMIN);
  }
  return "signal " + std::to_string(signal);
}

int signal_number(std::string_view name) {
  for (const SignalWords& words : kSignals) {
    if (name == words.name || name == words.name.substr(3)) return words.number;
  }
  return 0;
}

}  // namespace ferrun
