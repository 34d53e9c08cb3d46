// How a process ended, decoded from the raw wait status (wait(2)), and ferrun's own exit statuses.
#pragma once

#include <string>
#include <string_view>

namespace ferrun {

// ferrun's exit statuses (besides 0, a worker's own code and 128 + signal).
inline constexpr int kExitUsage = 2;
inline constexpr int kExitInternal = 70;    // EX_SOFTWARE of sysexits.h
inline constexpr int kExitRendezvous = 75;  // EX_TEMPFAIL: trying again may help

class ExitStatus {
 public:
  static ExitStatus exited(int code) { return ExitStatus(Way::kExited, code, false); }
  static ExitStatus signaled(int signal, bool core_dumped = false) {
    return ExitStatus(Way::kSignaled, signal, core_dumped);
  }
  // `status` as waitpid(2) gives it for a process that ended (not one that stopped or continued).
  static ExitStatus from_wait_status(int status);

  bool success() const { return way_ == Way::kExited && number_ == 0; }
  bool is_signal() const { return way_ == Way::kSignaled; }
  int code() const { return is_signal() ? 0 : number_; }    // the exit code; 0 when ended by a signal
  int signal() const { return is_signal() ? number_ : 0; }  // the signal; 0 when it exited
  bool core_dumped() const { return core_dumped_; }
  int shell_code() const { return is_signal() ? 128 + number_ : number_; }  // as a shell reports it
  int torchrun_code() const { return is_signal() ? -number_ : number_; }    // as torchrun's report shows it

  // "exited with code 3", "killed by SIGSEGV (segmentation fault), core dumped".
  std::string describe() const;
  bool operator==(const ExitStatus&) const = default;

 private:
  enum class Way { kExited, kSignaled };
  ExitStatus(Way way, int number, bool core_dumped) : way_(way), number_(number), core_dumped_(core_dumped) {}
  Way way_;
  int number_;
  bool core_dumped_;
};

// "SIGTERM" for 15; real-time signals as "SIGRTMIN+n"; "signal 99" for a number that is none.
std::string signal_name(int signal);
// 15 for "SIGTERM" or "TERM"; 0 for a name that is none.
int signal_number(std::string_view name);

}  // namespace ferrun
