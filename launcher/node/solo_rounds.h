// The rounds of a job of one node: what the member machine is for a job of several, without a coordinator and without a
// socket. Each round has an empty store of its own; a failure spends a restart, unless a rule of --on-exit says
// otherwise; the end is the job's.
//
//   kOpening ──store──► kRunning ──all 0──────────────► kDone (success)
//      ▲                   │ failure, stop
//      ├──restart──────  kStopping ──none left, stop──► kDone
//      └── kHeldBack ◄─────┘ restart after --restart-delay
//
// It takes the member machine's events and asks with its effects, so that whoever runs workers for the one runs them
// for the other. Pure: same events at the same times, same effects. Owned by the node machine.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/time.h"
#include "rendezvous/coordinator/job_root_cause.h"
#include "rendezvous/job/restart_policy.h"
#include "rendezvous/member/member_events.h"

namespace ferrun {

struct SoloConfig {
  AgentId agent;
  std::string host;
  int workers = 1;
  std::string role = "default";
  int max_restarts = 0;
  std::string launch_id;
  RestartPolicy restart;
  Duration min_uptime = std::chrono::seconds(30);  // a round that has run for so long ends a row of failures
};

class SoloRounds {
 public:
  // Asks at once for the store of the first round.
  SoloRounds(SoloConfig config, TimePoint now);

  // Total: what does not concern a job of one node, or belongs to another round, is passed over.
  void step(const MemberEvent& event, TimePoint now);
  // MemberDeadline is due then.
  std::optional<TimePoint> next_deadline() const { return held_until_; }
  std::vector<MemberEffect> take_effects() { return std::exchange(effects_, {}); }
  bool done() const { return phase_ == Phase::kDone; }
  int restarts_left() const { return config_.max_restarts - restarts_; }

 private:
  enum class Phase { kOpening, kRunning, kStopping, kHeldBack, kDone };

  void on(const StoreOpened& event);
  void on(const StoreNotOpened& event);
  void on(const AllWorkersSucceeded& event);
  void on(const WorkersFailed& event);
  void on(const WorkersGone& event);
  void on(const LeaveAsked& event);
  void on(const CannotTakePart& event);
  void on(const StatusAsked& event);
  void on(const MemberDeadline& event);
  template <typename Event>
  void on(const Event&) {}  // of a coordinator

  void open(const std::string& reason);
  void restart(const FailureSighting& cause);
  void finish(JobEnd end);
  JobEnd failed() const;
  JobEnd stopped() const;
  std::string what_happens() const;
  bool is_current(const RoundId& round) const { return round == round_; }
  RoundId next_round() const { return {1, round_.number + 1}; }

  SoloConfig config_;
  TimePoint now_;
  Phase phase_ = Phase::kOpening;
  RoundId round_{1, 0};
  TimePoint began_;
  int restarts_ = 0;
  RestartDelays delays_;
  std::optional<TimePoint> held_until_;  // while kHeldBack
  std::string reason_;                   // why the round began
  TimePoint changed_at_;
  std::vector<FailureSighting> failures_;  // of the round
  std::string start_error_;                // why its program never ran
  int stop_signal_ = 0;
  std::vector<MemberEffect> effects_;
};

}  // namespace ferrun
