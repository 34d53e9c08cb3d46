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
#include "rendezvous/coordinator/coordinator_events.h"
#include "rendezvous/job/job_status.h"

namespace ferrun {

struct CoordinatorConfig {
  int min_nodes = 1;
  int max_nodes = 1;
  int max_restarts = 0;
  bool own_process = false;  // `ferrun coordinator`
  AgentId host_agent;        // the agent that hosts it: preferred for rank 0; none (0) for own_process
  std::string job_id;        // for the saved state
  std::string launch_id;     // of a new launch; that of a job that goes on wins
  std::vector<Term> terms;   // empty values are taken from the first member
  Duration heartbeat_interval = std::chrono::seconds(1);
  Duration silence = std::chrono::seconds(5);     // keep-alive: interval × attempts
  Duration lease = std::chrono::seconds(5);       // = silence when hosted, coordinator_timeout for own_process
  Duration stop_bound = std::chrono::seconds(1);  // from the end of a lease until the sentinel has killed everything
  Duration last_call = std::chrono::seconds(30);
  Duration reset_grace = std::chrono::milliseconds(250);
  Duration goodbye_settle = std::chrono::milliseconds(250);  // after a goodbye by signal: others may follow
  Duration prepare_timeout = std::chrono::seconds(30);
  Duration cause_wait = std::chrono::milliseconds(200);  // for stop acknowledgements, to find the root cause
  Duration close_timeout = std::chrono::seconds(30);
  Duration scale_interval = std::chrono::seconds(30);
  Duration min_uptime = std::chrono::seconds(30);
  Duration loss_window = std::chrono::minutes(10);
  int losses_to_bar = 3;
  Duration first_bar = std::chrono::seconds(10);
};

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
  RoundId round() const;       // the newest one; none before the first
  std::string reason() const;  // why it is in this state, or what it waits for: one sentence
  JobStatus status(TimePoint now) const;
  std::string status_json(TimePoint now) const;  // what StatusReply carries

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ferrun
