// One attempt of a worker group, from the first start to the last end: who is to be started, signalled and killed, and
// why.
//
//   kStarting ──all answered──► kRunning ──all exited 0──► kEnded
//       │ a failure, a stop           │ a failure, a stop
//       └────────────► kStopping ◄────┘
//                         │ grace over, or told to kill
//                         ▼
//                      kKilling ──all ended──► kEnded       (kStopping ends the same way when all ended in time)
//
// A worker that only lost its connection to another rank often ends before that one does, which may still be printing
// its traceback. So after such a failure the others may end by themselves for a while, until one of them has explained
// it, before they are asked to; that time is part of the grace.
//
// Pure: it starts and signals nothing itself, and reads no clock. The driver carries out the effects in their order and
// brings back what happened. Owned by the AgentMachine, which drops events of other attempts.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "common/exit_status.h"
#include "common/result.h"
#include "common/time.h"
#include "launcher/workers/group_events.h"
#include "rendezvous/job/failure.h"

namespace ferrun {

// What became of one worker: facts for the report.
struct WorkerRecord {
  enum class State {
    kWaiting,   // its turn to start has not come, and does not when the group is stopped before
    kStarting,  // the start is under way
    kRunning,
    kEnded,          // `status` says how
    kFailedToStart,  // `start_error` says why
  };
  int local_rank = 0;
  State state = State::kWaiting;
  pid_t pid = 0;
  TimePoint started_at{};
  TimePoint ended_at{};              // when ferrun noticed
  std::optional<ExitStatus> status;  // once ended
  std::optional<Error> start_error;  // why it never ran
  std::vector<int> sent_signals;     // by ferrun, and before the end; in order
  bool failed() const { return start_error || (status && !status->success()); }
};

class GroupMachine {
 public:
  enum class Phase { kStarting, kRunning, kStopping, kKilling, kEnded };

  // How long at most the others wait for a failure in question to be judged. Neither this nor kLastWords takes more
  // than half of the grace, so that they have the other half when they are asked.
  static constexpr Duration kJudgement = std::chrono::milliseconds(250);

  // Asks at once for the start of the first worker. The others follow one by one, in the order of their ranks, so that
  // nothing more is started once a start has failed. `grace` is what a failure leaves the others, and any stop that
  // names no other. `first_rank` is the global rank of local rank 0, for messages.
  GroupMachine(int workers, Duration grace, int first_rank = 0);

  // Total: every event is answered in every phase. A fact about a worker that is not in the state for it is ignored.
  void step(const GroupEvent& event, TimePoint now);
  // When GraceOver is due; only while kStopping.
  std::optional<TimePoint> next_deadline() const;
  std::vector<GroupEffect> take_effects();

  Phase phase() const { return phase_; }
  bool ended() const { return phase_ == Phase::kEnded; }
  // Workers run that may end by themselves, or until a failure in question is judged, before they are asked.
  bool waits_for_words() const { return phase_ == Phase::kStopping && ask_at_ && hold_ == Hold::kForWords; }
  // After the end: whether every worker exited with 0 and nothing asked them to stop.
  bool succeeded() const { return ended() && !stop_asked_ && !first_failure_; }
  // The worker whose failure was noticed first; none when no worker failed before the group was stopped.
  std::optional<int> first_failure() const { return first_failure_; }
  const std::vector<WorkerRecord>& workers() const { return workers_; }

 private:
  void on(const RankStarted& event, TimePoint now);
  void on(const RankNotStarted& event, TimePoint now);
  void on(const RankNotForked& event, TimePoint now);
  void on(const RankEnded& event, TimePoint now);
  void on(const FailureJudged& event, TimePoint now);
  void on(const SignalMissed& event, TimePoint now);
  void on(const StopGroup& event, TimePoint now);
  void on(const AskedAlready& event, TimePoint now);
  void on(const PassSignal& event, TimePoint now);
  void on(const KillGroup& event, TimePoint now);
  void on(const GraceOver& event, TimePoint now);

  WorkerRecord& worker(int local_rank) { return workers_[static_cast<size_t>(local_rank)]; }
  bool stopping() const { return phase_ == Phase::kStopping || phase_ == Phase::kKilling; }
  void note_failure(int local_rank, bool in_question, TimePoint now);
  void begin_stop(int signal, Duration grace, TimePoint now);
  // Why the workers of a group that is being stopped have not been asked yet.
  enum class Hold {
    kForOrder,  // whoever ordered it may have asked them too
    kForWords,
  };
  void ask_after(Duration hold, Hold why, TimePoint now);
  void ask_if_due(TimePoint now);
  Duration within_grace(Duration hold) const;
  void begin_kill();
  void signal_running(int signal);
  void send(WorkerRecord& worker, int signal);
  void ask_for_next_start();
  void settle();

  std::string rank_text(int local_rank) const { return "rank " + std::to_string(first_rank_ + local_rank); }

  Duration grace_;
  Duration stop_grace_{};  // of the stop under way
  int first_rank_ = 0;
  Phase phase_ = Phase::kStarting;
  std::vector<WorkerRecord> workers_;
  std::optional<TimePoint> deadline_;
  std::optional<TimePoint> ask_at_;  // the workers, who are being stopped
  Hold hold_ = Hold::kForOrder;      // until then
  TimePoint stop_began_;
  std::optional<int> first_failure_;
  bool stop_asked_ = false;  // from outside, not by a failure
  int stop_signal_ = 0;
  std::vector<GroupEffect> effects_;
};

}  // namespace ferrun
