#include "tests/sim/processes.h"

#include <algorithm>
#include <csignal>

namespace ferrun::sim {

using namespace std::chrono_literals;

ExitStatus status_of(Fate fate) {
  switch (fate) {
    case Fate::kSuccess: return ExitStatus::exited(0);
    case Fate::kExit: return ExitStatus::exited(3);
    case Fate::kSegfault: return ExitStatus::signaled(SIGSEGV);
    case Fate::kOutOfMemory: return ExitStatus::signaled(SIGKILL);
    case Fate::kLostPeer: return ExitStatus::exited(1);
    case Fate::kAbort: return ExitStatus::signaled(SIGABRT);
    case Fate::kTerminated: return ExitStatus::signaled(SIGTERM);
    case Fate::kKilled: return ExitStatus::signaled(SIGKILL);
  }
  return ExitStatus::exited(1);
}

void Processes::begin(RoundId round, int first_rank) {
  round_ = round;
  first_rank_ = first_rank;
  ++attempt_;
  workers_.clear();
  killing_ = false;
}

Processes::Worker& Processes::start(int local_rank, int pid) {
  Worker& worker = workers_.emplace_back();
  worker.pid = pid;
  worker.local_rank = local_rank;
  worker.rank = first_rank_ + local_rank;
  worker.obeys = !random_.chance(habits_.percent_deaf);
  ++alive_;
  return worker;
}

bool Processes::signal(TrueTime now, int pid, int number) {
  for (const Worker& worker : workers_) {
    if (worker.pid != pid || !worker.alive) continue;
    if (number == SIGKILL) {
      kill(now, worker);
    } else if (number != SIGCONT && worker.obeys) {
      plan_end(now + random_.between(1ms, habits_.slowest_stop), worker, Fate::kTerminated);
    }
    return true;
  }
  return false;
}

void Processes::kill(TrueTime now, const Worker& worker) {
  plan_end(now + random_.between(100us, habits_.slowest_death), worker, Fate::kKilled);
}

void Processes::plan_end(TrueTime at, const Worker& worker, Fate fate) {
  const auto which = static_cast<uint64_t>(&worker - workers_.data());
  queue_.push(at, Happening::kProcessEnds, agent_, tag(which, static_cast<uint64_t>(fate)));
}

void Processes::kill_all(TrueTime now) {
  killing_ = true;
  for (const Worker& worker : workers_) {
    if (worker.alive) kill(now, worker);
  }
  for (int i = 0; i < strays_; ++i) {
    queue_.push(now + random_.between(100us, habits_.slowest_death), Happening::kProcessEnds, agent_, stray());
  }
}

void Processes::orphan(TrueTime now) {
  if (habits_.slowest_cleanup == Duration{}) return kill_all(now);
  queue_.push(now + random_.between(0ms, habits_.slowest_cleanup), Happening::kLeaseOver, agent_, ++leases_);
}

TrueTime Processes::sweep(TrueTime now, uint64_t sweep) {
  kill_all(now);
  const bool slow = habits_.percent_slow_sweeps > 0 && random_.chance(habits_.percent_slow_sweeps);
  const Duration stall = slow ? random_.between(Duration{}, habits_.slowest_sweep) : Duration{};
  const TrueTime over = now + habits_.slowest_death + 100us + stall;
  queue_.push(over, Happening::kSwept, agent_, sweep);
  return over;
}

void Processes::hold_lease(std::optional<TrueTime> until, TrueTime now) {
  ++leases_;
  if (!until) return;
  queue_.push(std::max(now, *until) + random_.between(0ms, habits_.slowest_lease_kill), Happening::kLeaseOver, agent_,
              leases_);
}

void Processes::lease_over(TrueTime now, uint64_t generation) {
  if (generation == leases_) kill_all(now);
}

const Processes::Worker* Processes::end(uint64_t tag, TrueTime now) {
  if (tag >> 24 != attempt_) return nullptr;
  Worker& worker = workers_[tag >> 8 & 0xffff];
  if (!worker.alive) return nullptr;
  worker.alive = false;
  worker.fate = static_cast<Fate>(tag & 0xff);
  --alive_;
  if (random_.chance(habits_.percent_strays)) {
    ++strays_;
    ++alive_;
    if (killing_)
      queue_.push(now + random_.between(100us, habits_.slowest_death), Happening::kProcessEnds, agent_, stray());
  }
  return &worker;
}

bool Processes::end_stray(uint64_t tag) {
  if (tag >> 24 != attempt_ || strays_ == 0) return false;
  --strays_;
  --alive_;
  return true;
}

void Processes::vanish() {
  for (Worker& worker : workers_) worker.alive = false;
  alive_ = strays_ = 0;
}

}  // namespace ferrun::sim
