// A whole job on one node: attempts, restarts, signals, the end. It decides; the driver in io/ carries out.
//
//   kPreparing ──ready──► kRunning ──group ended──► kSweeping ──swept──► kPreparing (next attempt), or kFinished
//       │ failed, signal                                                     ▲
//       └────────────────────────────────────────────────────────────────────┘ (kFinished)
//
// The order that makes a restart safe: every process of the old attempt is gone (its group has ended, then the sweep
// has killed and reaped what its workers left behind), its output is drained, and only then the store is emptied and
// the next attempt started. A fact that belongs to another attempt is dropped in step(), in one place. Pure; same
// inputs, same outputs. Owned by the driver.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/time.h"
#include "launcher/node/agent_events.h"
#include "launcher/workers/group_machine.h"

namespace ferrun {

struct AgentConfig {
  int workers = 1;
  int max_restarts = 0;
  Duration shutdown_timeout{};
  // Whether ranks are forked from a template.
  bool with_template = false;
};

class AgentMachine {
 public:
  enum class Phase { kPreparing, kRunning, kSweeping, kFinished };

  // Asks at once for the preparation of attempt 0.
  explicit AgentMachine(AgentConfig config);

  // Total. After Finish every event is ignored and no effect follows.
  void step(const AgentEvent& event, TimePoint now);
  std::optional<TimePoint> next_deadline() const;
  std::vector<AgentEffect> take_effects();

  Phase phase() const { return phase_; }
  int attempt() const { return attempt_; }
  // The group of the running or the last attempt; none before the first one started.
  const GroupMachine* group() const { return group_ ? &*group_ : nullptr; }

 private:
  void on(const AttemptReady& event, TimePoint now);
  void on(const AttemptNotReady& event, TimePoint now);
  void on(const AttemptSwept& event, TimePoint now);
  void on(const WorkerFact& event, TimePoint now);
  void on(const TemplateUnusable& event, TimePoint now);
  void on(const SignalArrived& event, TimePoint now);
  void on(const SentinelDied& event, TimePoint now);
  void on(const DeadlineArrived& event, TimePoint now);

  void prepare();
  void step_group(const GroupEvent& event, TimePoint now);
  Ending ending_of_group() const;
  bool may_restart() const;
  const WorkerRecord& first_failure() const;
  void finish(Ending ending);
  void say(LogLevel level, std::string line) { effects_.emplace_back(Say{level, std::move(line)}); }

  AgentConfig config_;
  Phase phase_ = Phase::kPreparing;
  int attempt_ = 0;
  bool from_template_ = false;
  std::optional<int> stop_signal_;  // the first one that told ferrun to stop
  std::optional<GroupMachine> group_;
  std::vector<AgentEffect> effects_;
};

}  // namespace ferrun
