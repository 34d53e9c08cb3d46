// Random jobs of one node: workers that succeed, fail, ignore signals and take their time, signals at any moment, late
// and foreign facts. What must hold in all of them is checked after every step. A failing run names its seed.
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

constexpr auto kGrace = 10s;

// The world around one machine: does what the effects say, some time later, and checks them.
class RandomWorld {
 public:
  explicit RandomWorld(uint64_t seed) : random_(seed), config_(random_config()), machine_(config_, now_) {}

  void run() {
    take_effects();
    for (int step = 0; !finished_; ++step) {
      ASSERT_LT(step, 10000) << "the job does not come to an end";
      disturb();
      next_event();
      check_invariants();
      if (::testing::Test::HasFailure()) return;
    }
    EXPECT_TRUE(alive_.empty()) << "a worker outlived the job";
    machine_.step(SignalArrived{SIGTERM}, now_);
    EXPECT_TRUE(machine_.take_effects().empty());
  }

 private:
  NodeConfig random_config() {
    NodeConfig config;
    config.solo = true;
    config.member.workers = pick(1, 5);
    config.member.max_restarts = pick(0, 3);
    config.stop.failure_grace = config.stop.shutdown_timeout = kGrace;
    config.with_template = chance(30);
    return config;
  }

  struct Process {
    int attempt;
    int local_rank;
    bool obeys;  // ends soon after a signal that asks
  };

  int pick(int least, int most) { return std::uniform_int_distribution(least, most)(random_); }
  bool chance(int percent) { return pick(1, 100) <= percent; }

  void later(NodeEvent event, Duration most) {
    const TimePoint due = now_ + Duration(std::uniform_int_distribution<int64_t>(0, most.count())(random_));
    pending_.emplace(due, std::move(event));
  }

  void disturb() {
    if (chance(2)) later(SignalArrived{chance(50) ? SIGTERM : SIGINT, chance(50), chance(20), chance(20)}, 5s);
    if (chance(2)) later(StatusAsked{7}, 5s);
    if (config_.with_template && chance(2)) later(TemplateUnusable{"lost"}, 5s);
    if (chance(3)) {  // facts of an attempt that is not the current one
      const int other = machine_.attempt() + (chance(50) ? 1 : -1);
      machine_.step(WorkerFact{other, RankEnded{0, ExitStatus::exited(1)}}, now_);
      machine_.step(AttemptSwept{other}, now_);
      EXPECT_TRUE(machine_.take_effects().empty());
    }
    const GroupMachine* group = machine_.group();
    if (group != nullptr && group->workers()[0].state == WorkerRecord::State::kEnded && chance(3)) {
      machine_.step(WorkerFact{machine_.attempt(), SignalMissed{0, SIGTERM}}, now_);
      take_effects();
    }
  }

  void next_event() {
    const std::optional<TimePoint> deadline = machine_.next_deadline();
    if (deadline && (pending_.empty() || *deadline <= pending_.begin()->first)) {
      now_ = std::max(now_, *deadline);
      machine_.step(DeadlineArrived{}, now_);
    } else {
      ASSERT_FALSE(pending_.empty()) << "nothing is left to happen, and the job has not ended";
      now_ = std::max(now_, pending_.begin()->first);
      const NodeEvent event = std::move(pending_.begin()->second);
      pending_.erase(pending_.begin());
      if (is_moot(event)) return;
      told_to_stop_ |= std::holds_alternative<SignalArrived>(event);
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
    return std::erase_if(alive_, [&](const auto& entry) {
             return entry.second.attempt == fact->attempt && entry.second.local_rank == end->local_rank;
           }) == 0;
  }

  void take_effects() {
    for (const NodeEffect& effect : machine_.take_effects()) {
      EXPECT_FALSE(finished_) << "an effect after the end";
      std::visit([this](const auto& what) { carry_out(what); }, effect);
    }
  }

  void carry_out(const PrepareAttempt& prepare) {
    EXPECT_FALSE(told_to_stop_) << "restarted although it was told to stop";
    EXPECT_TRUE(prepare.attempt == prepared_ || prepare.attempt == prepared_ - 1)
        << "attempts are numbered without gaps; one that could not be prepared is tried again";
    prepared_ = prepare.attempt + 1;
    EXPECT_LE(prepare.attempt, config_.member.max_restarts) << "more restarts than allowed";
    EXPECT_TRUE(prepare.attempt == 0 || swept_.contains(prepare.attempt - 1)) << "restarted before the sweep";
    if (chance(5)) return later(AttemptNotReady{prepare.attempt, Error{ErrorKind::kPlatform, "refused"}}, 1s);
    later(AttemptReady{prepare.attempt}, 1s);
  }

  void carry_out(const OpenStore& open) {
    EXPECT_TRUE(alive_.empty()) << "the store is emptied while a worker of the old attempt lives";
    restarts_ = static_cast<int>(open.round.number) - 1;
    EXPECT_LE(restarts_, config_.member.max_restarts) << "more restarts than allowed";
    if (chance(3)) return later(StoreNotOpened{open.round, "in use"}, 1s);
    later(StoreOpened{open.round, {"127.0.0.1"}, 4000}, 1s);
  }
  void carry_out(const CloseStore&) {}
  void carry_out(const BeginAttempt& begin) { EXPECT_EQ(begin.attempt, machine_.attempt()); }
  void carry_out(const ShowStatus& show) { EXPECT_FALSE(show.json.empty()); }

  void carry_out(const GatherEvidence& gather) {
    EvidenceGathered gathered{gather.attempt, {}};
    for (const int local_rank : gather.local_ranks) {
      FailedWorker worker;
      worker.local_rank = local_rank;
      if (chance(30)) worker.evidence.stderr_tail = {"Connection closed by peer"};
      gathered.workers.push_back(std::move(worker));
    }
    later(std::move(gathered), 1s);
  }

  template <typename Effect>
  void carry_out(const Effect&) {
    ADD_FAILURE() << "a job of one node has no coordinator";
  }

  void carry_out(const StartWorker& start) {
    EXPECT_EQ(start.attempt, machine_.attempt());
    if (chance(3)) {
      return later(WorkerFact{start.attempt, RankNotStarted{start.local_rank, Error{ErrorKind::kUser, "no"}}}, 1s);
    }
    if (start.from_template && chance(5)) return later(WorkerFact{start.attempt, RankNotForked{start.local_rank}}, 1s);
    const WorkerFact started{start.attempt, RankStarted{start.local_rank, next_pid_++}};
    if (start.from_template) return later(started, 1s);  // a spawn has its answer at once, a fork later
    note_start(started);
    machine_.step(started, now_);
    take_effects();
  }

  void note_start(const WorkerFact& fact) {
    const RankStarted& started = std::get<RankStarted>(fact.event);
    alive_.emplace(started.pid, Process{fact.attempt, started.local_rank, chance(70)});
    later(WorkerFact{fact.attempt, RankEnded{started.local_rank, end_of_its_own()}}, 40s);
  }

  ExitStatus end_of_its_own() {
    if (chance(50)) return ExitStatus::exited(0);
    return chance(50) ? ExitStatus::exited(pick(1, 255)) : ExitStatus::signaled(SIGSEGV);
  }

  void carry_out(const SignalWorker& send) {
    const auto process = alive_.find(send.pid);
    if (send.signal == SIGCONT || process == alive_.end()) return;
    if (send.signal != SIGKILL && !process->second.obeys) return;
    later(WorkerFact{process->second.attempt, RankEnded{process->second.local_rank, ExitStatus::signaled(send.signal)}},
          send.signal == SIGKILL ? Duration(10ms) : Duration(3s));
  }

  void carry_out(const SweepAttempt& sweep) {
    EXPECT_TRUE(alive_.empty()) << "swept before every worker had ended";
    EXPECT_TRUE(swept_.insert(sweep.attempt).second || sweep.grace == Duration::zero()) << "swept twice";
    later(AttemptSwept{sweep.attempt}, 1s);
  }

  void carry_out(const KillEverything&) { alive_.clear(); }
  void carry_out(const Say& say) { EXPECT_FALSE(say.line.empty()); }

  void carry_out(const NodeDone& done) {
    finished_ = true;
    if (done.end.kind == JobEnd::Kind::kSuccess) {
      for (const WorkerRecord& worker : machine_.group()->workers())
        EXPECT_TRUE(worker.status && worker.status->success());
    }
    if (done.end.kind == JobEnd::Kind::kFailed) {
      EXPECT_EQ(restarts_, config_.member.max_restarts) << "gave up with restarts left";
      const int first = *machine_.group()->first_failure();
      EXPECT_TRUE(machine_.group()->workers()[static_cast<size_t>(first)].sent_signals.empty())
          << "the first failure is one that ferrun caused";
    }
    EXPECT_EQ(done.exit_status == 0, done.end.kind == JobEnd::Kind::kSuccess);
  }

  void check_invariants() {
    const std::optional<TimePoint> deadline = machine_.next_deadline();
    EXPECT_GE(deadline.value_or(now_), now_) << "a deadline in the past";
    EXPECT_FALSE(finished_ && deadline) << "a finished machine waits for something";
    for (const auto& [pid, process] : alive_) EXPECT_EQ(process.attempt, machine_.attempt()) << "pid " << pid;
    if (alive_.empty()) {
      stop_began_.reset();
    } else {
      check_stop(deadline);
    }
  }

  // Every stop reaches every worker and ends within one grace.
  void check_stop(std::optional<TimePoint> deadline) {
    const GroupMachine& group = *machine_.group();
    const bool killing = group.phase() == GroupMachine::Phase::kKilling;
    if (!killing && group.phase() != GroupMachine::Phase::kStopping) {
      stop_began_.reset();
      return;
    }
    if (!stop_began_) stop_began_ = now_;
    EXPECT_TRUE(killing || (deadline && *deadline <= *stop_began_ + kGrace)) << "the grace is not what was asked for";
    for (const WorkerRecord& worker : group.workers()) {
      if (worker.state != WorkerRecord::State::kRunning) continue;
      const bool held_back = deadline && *deadline < *stop_began_ + kGrace;
      ASSERT_TRUE(held_back || !worker.sent_signals.empty())
          << "rank " << worker.local_rank << " was not asked to stop";
      if (held_back) continue;
      EXPECT_EQ(worker.sent_signals.back() == SIGKILL, killing) << "rank " << worker.local_rank;
    }
  }

  std::mt19937_64 random_;
  TimePoint now_{1000s};
  NodeConfig config_;
  NodeMachine machine_;
  std::multimap<TimePoint, NodeEvent> pending_;
  std::map<pid_t, Process> alive_;
  pid_t next_pid_ = 100;
  int prepared_ = 0;
  int restarts_ = 0;
  std::set<int> swept_;
  std::optional<TimePoint> stop_began_;
  bool told_to_stop_ = false;
  bool finished_ = false;
};

TEST(SoloNodeAtRandom, KeepsItsPromises) {
  for (uint64_t seed = 1; seed <= seeds_to_try(20000); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomWorld world(seed);
    world.run();
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace ferrun
