// The timers that workers start and stop around what must not take too long, by the protocol of torch's
// FileTimerClient: each request is a line of JSON,
//
//   {"version": 1, "pid": 4711, "scope_id": "step", "expiration_time": 1796000000.5, "signal": 9}
//
// where a time below 0 stops the timer of that pid and scope, and any other one starts it anew. Pure. Times are seconds
// since 1970. Thread rule: none, a value.
#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/result.h"

namespace ferrun {

class WorkerTimers {
 public:
  struct Overrun {
    pid_t pid = 0;
    std::string scope;
    int signal = 0;    // that the worker wants to be ended by; 0: none
    double since = 0;  // seconds for which the timer has been over
  };

  // One request, without its newline. Fails with kUser for what is none.
  Status take(std::string_view line);
  // When the first timer runs out.
  std::optional<double> next() const;
  // The processes that have a timer which has run out, each once: of several timers with the first one that has a
  // signal. All timers of such a process are dropped.
  std::vector<Overrun> take_overruns(double now);
  // It has ended.
  void forget(pid_t pid);

 private:
  struct Timer {
    double expires = 0;
    int signal = 0;
  };
  std::map<std::pair<pid_t, std::string>, Timer> timers_;  // by pid and scope
};

// The worker that leads the session of a process with a timer.
struct TimedWorker {
  pid_t pid = 0;
  int rank = 0;
};

// What becomes of a process whose timer has run out.
struct OverrunVerdict {
  enum class Action { kNone, kLookAgain, kSignalGroup, kSignalProcess };
  Action action = Action::kNone;
  std::string line;      // to be shown; empty: nothing
  std::string evidence;  // for the report of the worker's end, where it is signalled
};

// `owner`: nothing when no worker leads the process's session, which then is nobody's that ferrun may end; unless a
// worker is being started, whose news may come after its first timer. A worker itself is signalled with its group.
OverrunVerdict judge_overrun(const WorkerTimers::Overrun& overrun, std::optional<TimedWorker> owner, bool starting);

}  // namespace ferrun
