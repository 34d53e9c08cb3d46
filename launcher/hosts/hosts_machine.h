// Decides what a job on hosts of its own does: who is told to stop, when the rest goes on without a host, and how the
// command ends. The hosts' agents run the job among themselves; this only sees them begin and end. Pure.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "common/exit_status.h"
#include "common/result.h"

namespace ferrun {

// What happens.
struct HostAnswered {  // ferrun runs there and has its order
  size_t host = 0;
};
struct HostEnded {  // the connection, or the agent where there is none
  size_t host = 0;
  ExitStatus status = ExitStatus::exited(0);
  std::string words;  // the last thing that was said there; empty: nothing
};
struct StopAsked {
  int signal = 0;
};
using HostsEvent = std::variant<HostAnswered, HostEnded, StopAsked>;

// What is to be done.
struct SignalHost {  // through its agent
  size_t host = 0;
  int signal = 0;
};
struct HangUpOnHost {  // that has not answered: its connection is ended
  size_t host = 0;
};
struct SayOfHosts {
  bool is_error = false;  // else a warning
  std::string line;
};
struct HostsDone {  // the last
  int exit_status = 0;
};
using HostsEffect = std::variant<SignalHost, HangUpOnHost, SayOfHosts, HostsDone>;

class HostsMachine {
 public:
  struct Host {
    std::string name;
    bool by_ssh = true;
  };
  struct Config {
    std::vector<Host> hosts;  // the nodes meet at the first one
    size_t least = 1;         // with so many the job can run
  };

  explicit HostsMachine(Config config);

  void step(const HostsEvent& event);
  std::vector<HostsEffect> take_effects() { return std::exchange(effects_, {}); }

 private:
  enum class Phase { kCalled, kAnswered, kEnded, kNeverCame };

  void on(const HostAnswered& event);
  void on(const HostEnded& event);
  void on(const StopAsked& event);
  void never_came(const HostEnded& event);
  void came_and_ended(const HostEnded& event);
  void stop_all(int signal);
  void finish_if_over();
  size_t count(Phase phase) const;

  const Config config_;
  std::vector<Phase> phases_;
  std::vector<HostsEffect> effects_;
  int stop_signal_ = 0;         // that the user's side sent, first
  bool given_up_ = false;       // too few hosts
  bool succeeded_ = false;      // an agent has
  std::optional<int> failure_;  // of the first agent that failed
  bool done_ = false;
};

}  // namespace ferrun
