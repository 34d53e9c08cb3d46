// What follows from a failure: whether the workers are started again, what that costs, and how long the next attempt is
// waited for. One for jobs of one node (launcher/node/solo_rounds.h) and of several (coordinator/stop_inquiry.h). Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/time.h"
#include "rendezvous/job/failure.h"

namespace ferrun {

enum class OnExit {
  kSpend,    // a restart of --max-restarts; the job fails when none is left
  kRestart,  // another attempt that costs nothing
  kStop,     // the job fails, whatever is left
};

// One item of --on-exit.
struct ExitRule {
  int first = 0;  // exit statuses as a shell counts them, 1 to 255: 128 + n is signal n
  int last = 0;
  bool out_of_memory = false;  // in place of a status: the kernel has killed a worker for want of memory
  OnExit then = OnExit::kSpend;
  std::string text;  // as it was given: "SIGSEGV=stop"
  bool operator==(const ExitRule&) const = default;
};

struct RestartPolicy {
  std::vector<ExitRule> on_exit;  // the first that fits counts
  Duration delay{};               // before the next attempt; doubled for each failure in a row
  Duration longest_delay = std::chrono::minutes(5);
  uint64_t seed = 0;  // of the delays' random part
  bool operator==(const RestartPolicy&) const = default;

  // The rule for a root cause; none where no rule is for it. Rules are for workers that ended: a lost node and a
  // program that could not be started have none.
  const ExitRule* rule_for(const LocalFailure& cause) const;
  OnExit after(const LocalFailure& cause) const;
};

// The last line of the report of a job that a rule has ended; job_report() tells by it that restarts were left.
inline constexpr const char* kNoRestartLabel = "No restart: ";
std::string no_restart_line(const ExitRule& rule);

// A program that cannot be executed cannot be executed the next time either; a machine that refused may not refuse
// again.
bool is_final(const LocalFailure& failure);

// The delays of one job. Failures are in a row when no round between them has run for --min-uptime.
class RestartDelays {
 public:
  // What attempts that cost nothing wait for at least: nothing else ends a job that fails at once for ever.
  static constexpr Duration kFreeDelay = std::chrono::milliseconds(100);

  explicit RestartDelays(const RestartPolicy& policy);

  // How long the attempt after a failure waits: at least delay * 2^n, where n failures came before in a row, at most
  // the longest; and up to a quarter more, so that jobs that failed together do not come back together. `lasted`: the
  // round has run for --min-uptime. `is_free`: the attempt costs no restart.
  Duration next(bool lasted, bool is_free);

 private:
  double random();  // 0 to 1

  Duration delay_;
  Duration longest_;
  uint64_t state_;
  int in_a_row_ = 0;
};

}  // namespace ferrun
