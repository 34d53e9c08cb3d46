// The world around one node machine, at random: its workers take their time, end, fail and ignore signals, and facts
// come late. What must hold for every node is checked after every step.
//
// `World` derives from RandomWorld<World>. It carries out the effects that are not here, with overloads of carry_out
// beside `using RandomWorld::carry_out`, and may have its own disturb(), check(), note_event() and note_end().
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <utility>

#include "launcher/node/node_machine.h"

namespace ferrun {

using namespace std::chrono_literals;

template <typename World>
class RandomWorld {
 public:
  void run() {
    take_effects();
    for (int step = 0; !done_; ++step) {
      ASSERT_LT(step, 20000) << "it does not come to an end";
      self().disturb();
      next_event();
      check_all();
      if (::testing::Test::HasFailure()) return;
    }
    EXPECT_TRUE(alive_.empty()) << "a worker outlived the agent";
    machine_.step(SignalArrived{SIGTERM}, now_);
    EXPECT_TRUE(machine_.take_effects().empty());
  }

  int pick(int least, int most) { return std::uniform_int_distribution(least, most)(random_); }
  bool chance(int percent) { return pick(1, 100) <= percent; }

 protected:
  struct Process {
    int attempt;
    int local_rank;
    bool obeys;  // ends soon after a signal that asks
    std::set<int> sent;
  };

  // `configure` makes the settings, which may be left to chance.
  template <typename Configure>
  RandomWorld(uint64_t seed, Configure configure) : random_(seed), config_(configure(*this)), machine_(config_, now_) {}

  void later(NodeEvent event, Duration most) {
    const TimePoint due = now_ + Duration(std::uniform_int_distribution<int64_t>(0, most.count())(random_));
    pending_.emplace(due, std::move(event));
  }

  // Facts of an attempt that is not the current one.
  void tell_of_another_attempt() {
    const int other = machine_.attempt() + (chance(50) ? 1 : -1);
    machine_.step(WorkerFact{other, RankEnded{0, ExitStatus::exited(1)}}, now_);
    machine_.step(AttemptSwept{other}, now_);
    machine_.step(EvidenceGathered{other, {}}, now_);
    take_effects();
  }

  void take_effects() {
    for (const NodeEffect& effect : machine_.take_effects()) {
      EXPECT_FALSE(done_) << "an effect after the last one";
      std::visit([this](const auto& what) { self().carry_out(what); }, effect);
    }
  }

  // --- What a World may have otherwise. ---

  void note_event(const NodeEvent&) {}
  // Also of one that could not be started.
  void note_end(const Process&, const ExitStatus&) {}

  // --- Effects. ---

  void carry_out(const StartWorker& start) {
    EXPECT_EQ(start.attempt, machine_.attempt()) << "started before its attempt began";
    if (chance(3)) {
      self().note_end({start.attempt, start.local_rank, false, {}}, ExitStatus::exited(127));
      return later(WorkerFact{start.attempt, RankNotStarted{start.local_rank, Error{ErrorKind::kUser, "no"}}}, 1s);
    }
    if (start.from_template && chance(5)) return later(WorkerFact{start.attempt, RankNotForked{start.local_rank}}, 1s);
    const WorkerFact started{start.attempt, RankStarted{start.local_rank, next_pid_++}};
    if (start.from_template) return later(started, 1s);
    note_start(started);
    if (chance(50)) {
      pending_.emplace(now_, started);
    } else {
      machine_.step(started, now_);
      take_effects();
    }
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
    later(AttemptSwept{sweep.attempt}, 1s);
  }

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

  void carry_out(const KillEverything&) { alive_.clear(); }
  void carry_out(const Say& say) { EXPECT_FALSE(say.line.empty()); }

  // Every stop reaches every worker, and ends within `grace`, the longest.
  void check_stop(Duration grace) {
    const GroupMachine* const group = machine_.group();
    const bool killing = group != nullptr && group->phase() == GroupMachine::Phase::kKilling;
    if (done_ || group == nullptr || (!killing && group->phase() != GroupMachine::Phase::kStopping)) {
      stop_began_.reset();
      return;
    }
    if (!stop_began_) stop_began_ = now_;
    EXPECT_TRUE(killing || *group->next_deadline() <= *stop_began_ + grace) << "the grace is not what was asked for";
    // Signals wait a moment for the other copy of the one that was taken, and longer for last words.
    const bool for_its_copy = *group->next_deadline() < *stop_began_ + grace && *group->next_deadline() <= now_ + 50ms;
    const bool held_back = !killing && (for_its_copy || group->waits_for_words());
    for (const WorkerRecord& worker : group->workers()) {
      if (worker.state != WorkerRecord::State::kRunning || held_back) continue;
      ASSERT_FALSE(worker.sent_signals.empty()) << "rank " << worker.local_rank << " was not asked to stop";
      EXPECT_EQ(worker.sent_signals.back() == SIGKILL, killing) << "rank " << worker.local_rank;
    }
  }

  std::mt19937_64 random_;
  TimePoint now_{1000s};
  NodeConfig config_;
  NodeMachine machine_;
  std::multimap<TimePoint, NodeEvent> pending_;
  std::map<pid_t, Process> alive_;
  std::set<int> swept_;
  bool done_ = false;

 private:
  World& self() { return static_cast<World&>(*this); }

  void next_event() {
    const std::optional<TimePoint> deadline = machine_.next_deadline();
    if (deadline && (pending_.empty() || *deadline <= pending_.begin()->first)) {
      now_ = std::max(now_, *deadline);
      machine_.step(DeadlineArrived{}, now_);
    } else {
      ASSERT_FALSE(pending_.empty()) << "nothing is left to happen, and it has not ended";
      now_ = std::max(now_, pending_.begin()->first);
      const NodeEvent event = std::move(pending_.begin()->second);
      pending_.erase(pending_.begin());
      if (is_moot(event)) return;
      self().note_event(event);
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
    self().note_end(process->second, end->status);
    alive_.erase(process);
    return false;
  }

  void note_start(const WorkerFact& fact) {
    const RankStarted& started = std::get<RankStarted>(fact.event);
    if (!alive_.emplace(started.pid, Process{fact.attempt, started.local_rank, chance(70), {}}).second) return;
    later(WorkerFact{fact.attempt, RankEnded{started.local_rank, end_of_its_own()}}, 40s);
  }

  ExitStatus end_of_its_own() {
    if (chance(55)) return ExitStatus::exited(0);
    return chance(50) ? ExitStatus::exited(pick(1, 255)) : ExitStatus::signaled(SIGSEGV);
  }

  void check_all() {
    const std::optional<TimePoint> deadline = machine_.next_deadline();
    EXPECT_GE(deadline.value_or(now_), now_) << "a deadline in the past";
    EXPECT_FALSE(done_ && deadline) << "one that is done waits for something";
    for (const auto& [pid, process] : alive_) EXPECT_EQ(process.attempt, machine_.attempt()) << "pid " << pid;
    self().check();
  }

  pid_t next_pid_ = 100;
  std::optional<TimePoint> stop_began_;
};

}  // namespace ferrun
