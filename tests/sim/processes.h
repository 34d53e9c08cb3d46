// The processes of one node: its workers, what these leave behind, and the sentinel that kills them all when the agent
// is gone, or stands still while its lease ends. What happens to a worker and what the agent notices of it are two
// events: a stalled agent notices late.
//
// Owned by an Agent.
#pragma once

#include <optional>
#include <vector>

#include "common/exit_status.h"
#include "rendezvous/job/ids.h"
#include "tests/sim/event_queue.h"
#include "tests/sim/random.h"

namespace ferrun::sim {

// How a worker's life ends.
enum class Fate : uint8_t { kSuccess, kExit, kSegfault, kOutOfMemory, kLostPeer, kAbort, kTerminated, kKilled };
ExitStatus status_of(Fate fate);
// By itself, and not well.
inline bool is_failure(Fate fate) {
  return fate != Fate::kSuccess && fate != Fate::kTerminated && fate != Fate::kKilled;
}

// How the workers of a job behave.
struct WorkerHabits {
  Duration failure_grace = std::chrono::seconds(1);
  Duration shutdown_timeout = std::chrono::seconds(3);
  int percent_deaf = 10;    // that ignore SIGTERM
  int percent_strays = 10;  // that leave a child behind, which only a sweep ends
  int per_mille_unstartable = 0;
  Duration slowest_cleanup{};   // from the death of the agent to its sentinel's SIGKILL
  int percent_slow_sweeps = 0;  // that are over long after the last process is gone
  Duration slowest_sweep{};
  Duration slowest_stop = std::chrono::milliseconds(300);      // of those that obey SIGTERM
  Duration slowest_death = std::chrono::milliseconds(30);      // by SIGKILL
  Duration slowest_lease_kill = std::chrono::milliseconds(5);  // from the end of the lease to SIGKILL
};

class Processes {
 public:
  struct Worker {
    int pid = 0;
    int local_rank = 0;
    int rank = 0;
    bool obeys = true;
    bool alive = true;
    Fate fate = Fate::kKilled;  // once dead
  };

  Processes(uint32_t agent, const WorkerHabits& habits, EventQueue& queue, Random& random)
      : agent_(agent), habits_(habits), queue_(queue), random_(random) {}

  // A new attempt; no process of the one before is left.
  void begin(RoundId round, int first_rank);
  Worker& start(int local_rank, int pid);
  // False: it has ended already.
  bool signal(TrueTime now, int pid, int number);
  // Kills whatever is left of the attempt. kSwept follows with this tag, once nothing is; not before the time returned.
  TrueTime sweep(TrueTime now, uint64_t tag);
  void kill_all(TrueTime now);
  // The agent has died: its sentinel kills them.
  void orphan(TrueTime now);

  // No process after `until`: from then on the sentinel kills.
  void hold_lease(std::optional<TrueTime> until, TrueTime now);
  void lease_over(TrueTime now, uint64_t generation);

  // A worker is going to end by itself, unless something ends it before; kProcessEnds follows.
  void plan_end(TrueTime at, const Worker& worker, Fate fate);
  // The worker that ends now; none when it had ended before.
  const Worker* end(uint64_t tag, TrueTime now);
  // A stray that ends now: false when there is none.
  bool end_stray(uint64_t tag);
  // The host has lost its power.
  void vanish();

  RoundId round() const { return round_; }
  // Of the newest attempt.
  const std::vector<Worker>& workers() const { return workers_; }
  const Worker& worker(uint64_t tag) const { return workers_[tag >> 8 & 0xffff]; }
  // Workers and strays.
  int alive() const { return alive_; }
  int alive_workers() const { return alive_ - strays_; }
  // Whether it is about the newest attempt.
  bool current(uint64_t tag) const { return tag >> 24 == attempt_; }
  static bool is_stray(uint64_t tag) { return (tag & 0xff) == kStray; }

 private:
  static constexpr uint64_t kStray = 0xff;
  uint64_t tag(uint64_t which, uint64_t fate) const { return uint64_t{attempt_} << 24 | which << 8 | fate; }
  uint64_t stray() const { return tag(0, kStray); }
  void kill(TrueTime now, const Worker& worker);

  uint32_t agent_;
  const WorkerHabits& habits_;
  EventQueue& queue_;
  Random& random_;
  RoundId round_;
  int first_rank_ = 0;
  uint32_t attempt_ = 0;
  std::vector<Worker> workers_;
  int alive_ = 0;
  int strays_ = 0;
  uint64_t leases_ = 0;
  bool killing_ = false;  // whatever is left
};

}  // namespace ferrun::sim
