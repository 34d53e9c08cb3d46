// Random lives of one node: rounds that succeed, fail and are stopped, workers that ignore signals, coordinators that
// are silent, go away and come back, signals at any moment. What must hold in all of them is checked after every step.
// A failing run names its seed.
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <deque>
#include <map>
#include <random>
#include <set>

#include "launcher/node/node_machine.h"
#include "tests/seeds.h"

namespace ferrun {
namespace {

using namespace std::chrono_literals;

constexpr Duration kFailureGrace = 1s;
constexpr Duration kShutdown = 4s;
constexpr Duration kLease = 5s;

// The world around one machine: processes, a coordinator that asks for one round after the other, a network.
class RandomNode {
 public:
  explicit RandomNode(uint64_t seed) : random_(seed), rounds_left_(pick(0, 5)), machine_(config(), now_) {
    take_effects();
  }

  void run() {
    for (int step = 0; !done_; ++step) {
      ASSERT_LT(step, 20000) << "the node does not come to an end";
      disturb();
      next_event();
      check();
      if (::testing::Test::HasFailure()) return;
    }
    EXPECT_TRUE(alive_.empty()) << "a worker outlived the agent";
    machine_.step(SignalArrived{SIGTERM}, now_);
    EXPECT_TRUE(machine_.take_effects().empty());
  }

 private:
  struct Process {
    int attempt;
    int local_rank;
    bool obeys;  // ends soon after a signal that asks
    std::set<int> sent;
  };

  NodeConfig config() {
    NodeConfig config;
    config.member.workers = pick(1, 4);
    config.member.coordinator_timeout = 8s;
    config.member.join_timeout = 60s;
    config.stop.failure_grace = kFailureGrace;
    config.stop.shutdown_timeout = kShutdown;
    config.with_template = chance(30);
    workers_ = config.member.workers;
    return config;
  }

  int pick(int least, int most) { return std::uniform_int_distribution(least, most)(random_); }
  bool chance(int percent) { return pick(1, 100) <= percent; }

  void later(NodeEvent event, Duration most) {
    const TimePoint due = now_ + Duration(std::uniform_int_distribution<int64_t>(0, most.count())(random_));
    pending_.emplace(due, std::move(event));
  }
  void say(CoordinatorMessage message) {
    if (connected_) later(CoordinatorSaid{connection_, std::move(message)}, 20ms);
  }

  // --- What happens by itself. ---

  void disturb() {
    if (chance(1) && chance(20)) later(SignalArrived{chance(50) ? SIGTERM : SIGINT}, 5s);
    if (chance(1) && chance(20)) later(SentinelDied{}, 60s);
    if (chance(1)) later(TemplateUnusable{"lost"}, 5s);
    if (chance(1)) later(StatusAsked{3}, 1s);
    if (chance(1)) silent_until_ = now_ + std::chrono::milliseconds(pick(0, 9000));
    if (connected_ && chance(1)) lose(static_cast<LossKind>(pick(0, 2)));
    if (connected_ && started_ && chance(2))
      stop(chance(50) ? StopKind::kMembership : chance(50) ? StopKind::kFailure : StopKind::kLoss);
    if (chance(3)) {  // facts of an attempt that is not the current one
      const int other = machine_.attempt() + (chance(50) ? 1 : -1);
      machine_.step(WorkerFact{other, RankEnded{0, ExitStatus::exited(1)}}, now_);
      machine_.step(AttemptSwept{other}, now_);
      machine_.step(EvidenceGathered{other, {}}, now_);
      take_effects();
    }
  }

  void lose(LossKind kind) {
    connected_ = false;
    later(CoordinatorGone{connection_, kind, "lost"}, 10ms);
  }

  void next_event() {
    const std::optional<TimePoint> deadline = machine_.next_deadline();
    if (deadline && (pending_.empty() || *deadline <= pending_.begin()->first)) {
      now_ = std::max(now_, *deadline);
      machine_.step(DeadlineArrived{}, now_);
    } else {
      ASSERT_FALSE(pending_.empty()) << "nothing is left to happen, and the node has not ended";
      now_ = std::max(now_, pending_.begin()->first);
      const NodeEvent event = std::move(pending_.begin()->second);
      pending_.erase(pending_.begin());
      if (is_moot(event)) return;
      machine_.step(event, now_);
    }
    take_effects();
  }

  // Keeps the table of processes. One ends once: what was planned for it may have been overtaken by a signal.
  bool is_moot(const NodeEvent& event) {
    const auto* fact = std::get_if<WorkerFact>(&event);
    if (fact == nullptr) return false;
    if (std::holds_alternative<RankStarted>(fact->event)) note_start(*fact);
    const auto* end = std::get_if<RankEnded>(&fact->event);
    if (end == nullptr) return false;
    const auto process = std::ranges::find_if(alive_, [&](const auto& entry) {
      return entry.second.attempt == fact->attempt && entry.second.local_rank == end->local_rank;
    });
    if (process == alive_.end()) return true;
    own_failure_[end->local_rank] = !end->status.success() && process->second.sent.empty();
    alive_.erase(process);
    return false;
  }

  // --- Effects. ---

  void take_effects() {
    for (const NodeEffect& effect : machine_.take_effects()) {
      EXPECT_FALSE(done_) << "an effect after the last one";
      std::visit([this](const auto& what) { carry_out(what); }, effect);
    }
  }

  void carry_out(const PrepareAttempt& prepare) {
    EXPECT_TRUE(alive_.empty());
    EXPECT_EQ(prepare.attempt, begun_) << "attempts are numbered without gaps";
    EXPECT_TRUE(begun_ == 0 || swept_.contains(begun_ - 1)) << "prepared before the sweep";
    if (chance(2)) return later(AttemptNotReady{prepare.attempt, Error{ErrorKind::kPlatform, "refused"}}, 1s);
    later(AttemptReady{prepare.attempt}, prepare.with_template ? 2s : 10ms);
  }
  void carry_out(const LeaveJob&) {}
  void carry_out(const BeginAttempt& begin) {
    EXPECT_EQ(begin.attempt, begun_++);
    EXPECT_TRUE(alive_.empty()) << "two groups at once";
    EXPECT_GT(begin.assignment.round, started_round_) << "a round that is not newer";
    EXPECT_TRUE(held_ && *held_ > now_) << "begun without a lease";
    started_round_ = begin.assignment.round;
    own_failure_.clear();
  }
  void carry_out(const StartWorker& start) {
    EXPECT_EQ(start.attempt, begun_ - 1) << "started before its attempt began";
    if (chance(2)) {
      own_failure_[start.local_rank] = true;
      return later(WorkerFact{start.attempt, RankNotStarted{start.local_rank, Error{ErrorKind::kUser, "no"}}}, 1s);
    }
    if (start.from_template && chance(5)) return later(WorkerFact{start.attempt, RankNotForked{start.local_rank}}, 1s);
    const WorkerFact fact{start.attempt, RankStarted{start.local_rank, next_pid_++}};
    if (start.from_template) return later(fact, 1s);
    note_start(fact);
    pending_.emplace(now_, fact);
  }
  void note_start(const WorkerFact& fact) {
    const RankStarted& started = std::get<RankStarted>(fact.event);
    if (!alive_.emplace(started.pid, Process{fact.attempt, started.local_rank, chance(70), {}}).second) return;
    const ExitStatus end = chance(60) ? ExitStatus::exited(0) : ExitStatus::exited(pick(1, 255));
    later(WorkerFact{fact.attempt, RankEnded{started.local_rank, end}}, 40s);
  }
  void carry_out(const SignalWorker& send) {
    const auto process = alive_.find(send.pid);
    if (send.signal == SIGCONT) return;
    if (process == alive_.end()) return later(WorkerFact{send.attempt, SignalMissed{send.local_rank, send.signal}}, 0s);
    process->second.sent.insert(send.signal);
    if (send.signal != SIGKILL && !process->second.obeys) return;
    later(WorkerFact{process->second.attempt, RankEnded{process->second.local_rank, ExitStatus::signaled(send.signal)}},
          send.signal == SIGKILL ? Duration(10ms) : Duration(3s));
  }
  void carry_out(const SweepAttempt& sweep) {
    EXPECT_TRUE(alive_.empty()) << "swept before every worker had ended";
    EXPECT_TRUE(swept_.insert(sweep.attempt).second || sweep.grace == Duration::zero()) << "swept twice";
    later(AttemptSwept{sweep.attempt}, 500ms);
  }
  void carry_out(const GatherEvidence& gather) {
    EvidenceGathered gathered{gather.attempt, {}};
    for (const int rank : gather.local_ranks) {
      FailedWorker worker;
      worker.local_rank = rank;
      gathered.workers.push_back(worker);
    }
    pending_.emplace(now_, std::move(gathered));
  }
  void carry_out(const KillEverything&) { alive_.clear(); }
  void carry_out(const Say& say) { EXPECT_FALSE(say.line.empty()); }

  void carry_out(const Dial&) {
    connected_ = false;
    later(CoordinatorReached{++connection_, "node0"}, chance(80) ? 100ms : 9s);
  }
  void carry_out(const HangUp&) { hung_up_ = true; }
  void carry_out(const OpenStore& open) {
    if (chance(95)) return later(StoreOpened{open.round, {"10.0.0.2"}, 4000}, 10ms);
    later(StoreNotOpened{open.round, "taken"}, 10ms);
  }
  void carry_out(const ReachStore& reach) {
    if (chance(95)) return later(StoreAnswered{reach.round, "10.0.0.2"}, 10ms);
    later(StoreUnreachable{reach.round, "refused"}, 10ms);
  }
  void carry_out(const CloseStore&) {}
  void carry_out(const ShowStatus&) {}
  void carry_out(const HoldLease& hold) { held_ = hold.until; }
  void carry_out(const NodeDone& done) {
    EXPECT_EQ(done.exit_status == 0, done.lines.empty()) << "silent failure, or a loud success";
    done_ = true;
  }

  // --- The coordinator. ---

  void carry_out(const TellCoordinator& told) {
    std::visit([this](const auto& message) { hear(message); }, told.message);
  }
  void hear(const Join& join) {
    connected_ = true;
    const Work work = join.past.work;
    EXPECT_EQ(work == Work::kRunning || work == Work::kStopping, !alive_.empty() || busy());
    started_ = work == Work::kRunning;
    say(Welcome{1, chance(30), kLease, 1s, "launch", work == Work::kRunning && chance(70)});
    if (work == Work::kReaped || work == Work::kNone) next_round();
  }
  // Between Go and the end of the sweep.
  bool busy() const { return machine_.member().lease_end().has_value(); }
  void hear(const Heartbeat& heartbeat) {
    if (now_ >= silent_until_) say(HeartbeatAnswer{heartbeat.number});
  }
  void hear(const Prepared& prepared) {
    EXPECT_TRUE(alive_.empty());
    say(DialStore{prepared.round, {"10.0.0.2"}, 4000});
  }
  void hear(const NotPrepared&) { next_round(); }
  void hear(const StoreReached& reached) {
    started_ = true;
    say(Go{reached.round, "all are there"});
  }
  void hear(const WorkerSucceeded&) {}
  void hear(const NodeFinished& finished) {
    if (chance(50)) return say(Close{JobEnd{}});
    say(Stop{finished.round, StopKind::kFailure, "another node failed"});
  }
  void hear(const NodeFailed& failed) {
    EXPECT_FALSE(failed.failures.empty());
    for (const LocalFailure& failure : failed.failures) {
      if (failed.round != started_round_) continue;  // it could not begin
      EXPECT_TRUE(own_failure_[failure.local_rank]) << "a victim is told as a failure";
    }
    stop(StopKind::kFailure);
  }
  void hear(const StopAcknowledged&) {}
  void hear(const NodeReaped& reaped) {
    EXPECT_TRUE(alive_.empty() || reaped.round < started_round_) << "told to be gone";
    if (!machine_.done()) next_round();
  }
  void hear(const Goodbye&) {}
  void hear(const Closed&) {}
  void hear(const StatusRequest& request) { say(StatusReply{request.id, "{}"}); }

  void stop(StopKind kind) {
    started_ = false;
    say(Stop{machine_.member().round(), kind, "a reason"});
  }
  void next_round() {
    started_ = false;
    if (rounds_left_-- <= 0) return say(Close{JobEnd{JobEnd::Kind::kFailed, 3, {"root cause"}}});
    Assignment assignment;
    assignment.round = {1, machine_.member().round().number + 1};
    assignment.world = assignment.role_world = workers_;
    say(Prepare{assignment, chance(50), {}});
  }

  // --- Invariants. ---

  void check() {
    const std::optional<TimePoint> deadline = machine_.next_deadline();
    EXPECT_GE(deadline.value_or(now_), now_) << "a deadline in the past";
    EXPECT_FALSE(done_ && deadline) << "a node that is done waits for something";
    for (auto& [pid, process] : alive_) {
      EXPECT_EQ(process.attempt, begun_ - 1) << "pid " << pid;
      const bool covered = held_ && *held_ > now_;
      EXPECT_TRUE(covered || process.sent.contains(SIGKILL)) << "pid " << pid << " outlives the lease";
    }
    if (!done_ && machine_.group() != nullptr) check_stop();
  }

  // Every stop reaches every worker, and ends within the longest grace.
  void check_stop() {
    const GroupMachine& group = *machine_.group();
    const bool killing = group.phase() == GroupMachine::Phase::kKilling;
    if (!killing && group.phase() != GroupMachine::Phase::kStopping) {
      stop_began_.reset();
      return;
    }
    if (!stop_began_) stop_began_ = now_;
    EXPECT_TRUE(killing || *group.next_deadline() <= *stop_began_ + kShutdown);
    for (const WorkerRecord& worker : group.workers()) {
      if (worker.state != WorkerRecord::State::kRunning) continue;
      const bool held_back = !killing && *group.next_deadline() <= now_ + 50ms;  // for the other copy of a signal
      if (held_back) continue;
      ASSERT_FALSE(worker.sent_signals.empty()) << "rank " << worker.local_rank << " was not asked to stop";
      EXPECT_EQ(worker.sent_signals.back() == SIGKILL, killing) << "rank " << worker.local_rank;
    }
  }

  std::mt19937_64 random_;
  int workers_ = 1;
  int rounds_left_ = 0;
  TimePoint now_{1000s};
  NodeMachine machine_;
  std::multimap<TimePoint, NodeEvent> pending_;
  std::map<pid_t, Process> alive_;
  std::map<int, bool> own_failure_;  // by local rank, of the last attempt
  pid_t next_pid_ = 100;
  int begun_ = 0;
  std::set<int> swept_;
  RoundId started_round_;
  std::optional<TimePoint> held_;
  std::optional<TimePoint> stop_began_;
  ConnectionId connection_ = 0;
  bool connected_ = false;
  bool started_ = false;
  bool hung_up_ = false;
  TimePoint silent_until_;
  bool done_ = false;
};

TEST(NodeMachineAtRandom, KeepsItsPromises) {
  for (uint64_t seed = 1; seed <= seeds_to_try(10000); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomNode node(seed);
    node.run();
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace ferrun
