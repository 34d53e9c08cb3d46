// The one decider of a job: who is in it, in which round, with which rank, when a round starts and ends, and how the
// job ends.
//
//   kGathering ──enough nodes──► kPreparing ──all prepared, store reached, state saved──► kRunning
//       ▲            (a failed prepare burns its number)      │ failure, loss, scale        │
//       └────────────────────────── kStopping ◄───────────────┴─────────────────────────────┘
//   any ──► kClosing ──all have acknowledged, or close_timeout──► kClosed
//
// Pure: same events at the same times, same effects. Owned by a driver: in the agent that binds an address of the
// endpoint, or in `ferrun coordinator`. Every member talks to it through a connection, the hosting agent too.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/time.h"
#include "rendezvous/coordinator/coordinator_config.h"
#include "rendezvous/coordinator/coordinator_events.h"
#include "rendezvous/job/job_status.h"

namespace ferrun {

class CoordinatorMachine {
 public:
  enum class Phase { kGathering, kPreparing, kRunning, kStopping, kClosing, kClosed };

  // `saved` is what an earlier coordinator of the same job left; none for a new job.
  CoordinatorMachine(CoordinatorConfig config, std::optional<CoordinatorState> saved, TimePoint now);
  ~CoordinatorMachine();
  CoordinatorMachine(CoordinatorMachine&&) noexcept;
  CoordinatorMachine& operator=(CoordinatorMachine&&) noexcept;

  // Total: every event is answered in every phase. `now` never decreases.
  void step(const CoordinatorEvent& event, TimePoint now);
  // After step() it never lies in the past; none once closed.
  std::optional<TimePoint> next_deadline() const;
  std::vector<CoordinatorEffect> take_effects();

  Phase phase() const;
  bool job_is_over() const;    // once closed: false where another coordinator may go on with the job
  RoundId round() const;       // the newest one; none before the first
  std::string reason() const;  // why it is in this state, or what it waits for: one sentence
  JobStatus status(TimePoint now) const;
  std::string status_json(TimePoint now) const;  // what StatusReply carries

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ferrun
