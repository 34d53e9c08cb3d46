// One node of a job, alone or among others: runs one worker group per round and tells what becomes of it to whoever
// makes the rounds: the member machine, which keeps in touch with the coordinator, or SoloRounds on one node. It
// decides; the driver in io/ carries out.
//
//   rounds ──StartWorkers──► attempt (group machine) ──all 0──► swept ──AllWorkersSucceeded──► rounds
//          ──StopWorkers───►    │ failure ──evidence──WorkersFailed─────────────────────────►
//          ──KillWorkers───►    └ all ended ──► swept ──WorkersGone─────────────────────────►
//
// Every StartWorkers is an attempt of its own, counted from 0 by this agent alone, so that no log folder is used twice;
// how often the job was restarted stands in the assignment. A round's workers are gone only when the sweep has seen to
// the end of what they left behind. A fact of another attempt is dropped in step(), in one place. Pure; same inputs,
// same outputs. Owned by the driver, on whose thread it is called.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/time.h"
#include "launcher/node/node_events.h"
#include "launcher/node/solo_rounds.h"
#include "launcher/node/stop_order.h"
#include "launcher/report/job_report.h"
#include "launcher/workers/group_machine.h"
#include "rendezvous/member/member_machine.h"

namespace ferrun {

struct NodeConfig {
  MemberConfig member;  // `member.workers` is the size of every group
  bool solo = false;    // a job of one node: of `member` only agent, host, workers, role and restarts count
  StopRules stop;
  std::string launch_id;  // of such a job
  RestartPolicy restart;  // likewise
  Duration min_uptime = std::chrono::seconds(30);
  bool with_template = false;  // whether ranks are forked from a template
  bool torchrun_exit_code = false;
  bool python = false;  // the program is Python's: most of these want the store
  std::string title;    // the program, for the report
  std::string run_id;   // --rdzv-id
};

class NodeMachine {
 public:
  // Asks at once for the preparation of attempt 0, and for the coordinator or the store.
  NodeMachine(NodeConfig config, TimePoint now);

  // Total: every event is answered in every state. After NodeDone every event is ignored and no effect follows. `now`
  // never decreases.
  void step(const NodeEvent& event, TimePoint now);
  // When DeadlineArrived is due: after step() never in the past; none once done.
  std::optional<TimePoint> next_deadline() const;
  std::vector<NodeEffect> take_effects();

  bool done() const { return done_; }
  // Of the running attempt, or of the next one while none runs.
  int attempt() const { return attempt_; }
  // Of a job of several nodes.
  const MemberMachine& member() const { return std::get<MemberMachine>(rounds_); }
  // The group of the running or the last attempt; none before the first one started.
  const GroupMachine* group() const { return group_ ? &*group_ : nullptr; }

 private:
  enum class Attempt {
    kPreparing,  // folders and template
    kReady,
    kUnusable,  // could not be prepared; tried again when a round needs it
    kRunning,
    kSweeping,
  };

  void on(const AttemptReady& event, TimePoint now);
  void on(const AttemptNotReady& event, TimePoint now);
  void on(const AttemptSwept& event, TimePoint now);
  void on(const WorkerFact& event, TimePoint now);
  void on(const EvidenceGathered& event, TimePoint now);
  void on(const TemplateUnusable& event, TimePoint now);
  void on(const SignalArrived& event, TimePoint now);
  void on(const SentinelDied& event, TimePoint now);
  void on(const DeadlineArrived&, TimePoint) {}  // step() begins with what is due
  template <typename Fact>
  void on(const Fact& fact, TimePoint now) {  // about rounds
    step_rounds(fact, now);
  }

  using Rounds = std::variant<MemberMachine, SoloRounds>;
  static Rounds rounds_of(const NodeConfig& config, TimePoint now);
  std::optional<TimePoint> rounds_deadline() const;
  void deliver_deadlines(const NodeEvent& event, TimePoint now);
  void step_rounds(const MemberEvent& event, TimePoint now);
  void take_rounds_effects(TimePoint now);
  void carry_out(const StartWorkers& start, TimePoint now);
  void carry_out(const StopWorkers& stop, TimePoint now);
  void carry_out(const KillWorkers& kill, TimePoint now);
  void carry_out(const RendezvousSay& say, TimePoint now);
  void carry_out(const MemberDone& done, TimePoint now);
  template <typename Effect>
  void carry_out(const Effect& effect, TimePoint) {  // the driver's
    effects_.emplace_back(effect);
  }

  void prepare();
  void begin_attempt(TimePoint now);
  void cannot_begin(TimePoint now);
  // A round whose workers were never started is gone at once.
  bool drop_unbegun(TimePoint now);
  void step_group(const GroupEvent& event, TimePoint now);
  void take_group_effects();
  bool may_start_again() const;
  void note_success(TimePoint now);
  void note_failures();
  void gather_evidence();
  void look_at_failures();
  void judge(const FailedWorker& worker, TimePoint now);
  void conclude_attempt(TimePoint now);
  RoundId round() const { return order_->assignment.round; }
  std::vector<std::string> hints() const;
  void pass_on(int signal, TimePoint now);
  std::vector<StoppedWorker> stopped_workers() const;
  void say(LogLevel level, std::string line) { effects_.emplace_back(Say{level, std::move(line)}); }

  NodeConfig config_;
  Rounds rounds_;
  StopOrder order_to_stop_;
  bool done_ = false;
  bool from_template_ = false;

  int attempt_ = 0;
  Attempt state_ = Attempt::kPreparing;
  std::optional<Error> unusable_;      // why, while kUnusable
  std::optional<StartWorkers> order_;  // the round that is to run, runs, or is being swept
  std::optional<GroupMachine> group_;
  int first_rank_ = 0;            // of the group
  StoreAddress store_;            // of its round
  int nodes_ = 1;                 // of its round
  int world_ = 1;                 // likewise
  bool store_unvisited_ = false;  // by the workers of the last group
  int asked_with_ = 0;            // the last signal that a stop asked with
  bool carrying_out_ = false;
  bool success_told_ = false;
  bool swept_ = false;
  bool killed_ = false;                 // without asking
  std::set<int> looked_at_;             // failed workers that the others wait for to be judged
  std::set<int> examined_;              // failed workers whose evidence was asked for
  std::set<int> awaited_;               // of these, without an answer
  std::vector<LocalFailure> failures_;  // the group's own

  std::vector<NodeEffect> effects_;
};

}  // namespace ferrun
