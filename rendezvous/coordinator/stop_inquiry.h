// A round is being stopped: who has answered, what has failed or was lost meanwhile, and, where it is to be found,
// which of that came first and what follows from it. Pure; owned by the coordinator machine while a round is stopped.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/time.h"
#include "rendezvous/coordinator/job_root_cause.h"
#include "rendezvous/coordinator/round_roster.h"
#include "rendezvous/job/restart_policy.h"
#include "rendezvous/wire/messages.h"

namespace ferrun {

class StopInquiry {
 public:
  struct Limits {
    Duration cause_wait{};  // for answers, to find the cause
    Duration loss{};        // until a silent node, or one whose connection broke, counts as lost
    Duration min_uptime{};  // a round that had run for so long pays nothing for a lost node
  };

  // `cause_wanted`: something failed or was lost. The roster is that of the round, and its start is known.
  StopInquiry(const Limits& limits, StopKind kind, std::string reason, bool cause_wanted, const RoundRoster& roster,
              TimePoint now);

  // --- Answers, by node rank. ---
  void await(int node_rank);
  bool awaits(int node_rank) const { return awaited_[static_cast<size_t>(node_rank)]; }
  // Has answered, or never will.
  void acknowledge(int node_rank);
  // Its workers are gone, which is an answer too.
  void note_reaped(int node_rank);
  bool has_reaped(int node_rank) const { return reaped_[static_cast<size_t>(node_rank)]; }
  // Nothing more will be heard of it.
  void give_up(int node_rank);
  // Workers that the others may be waiting for are gone.
  void turn_into_loss() { kind_ = StopKind::kLoss; }
  // True once: what was taken for victims alone has been explained since. No worker has to be left time for its last
  // words any more; the stop is said again, as that of a failure, and all that still run are awaited anew.
  bool turn_into_failure(TimePoint now);

  // --- What failed. Ignored where no cause is wanted (any more). ---
  void see_failures(const RoundRoster::Seat& seat, int node_rank, const std::vector<LocalFailure>& failures,
                    std::optional<Duration> round_trip, TimePoint now);
  void see_loss(const RoundRoster::Seat& seat, int node_rank, TimePoint last_sign, const std::string& why,
                TimePoint now);
  bool has_seen_any() const { return !sightings_.empty(); }

  // --- The decision. ---
  bool cause_wanted() const { return cause_wanted_; }
  // Everybody has answered, or enough time has passed. While there are but victims, the last workers of all nodes are
  // waited for: the next round cannot begin before. Only where a cause is wanted.
  bool is_ripe(TimePoint now) const {
    return now >= cause_deadline() || (unacknowledged_ == 0 && (explained_ || unreaped_ == 0));
  }
  TimePoint cause_deadline() const;
  struct Verdict {
    enum class Kind {
      kNextRound,  // costs nothing
      kRestart,    // costs a restart, and there is one; or nothing, by a rule of --on-exit
      kFailed,     // the job has
    };
    Kind kind = Kind::kNextRound;
    std::string cause;    // one clause
    bool lasted = false;  // the round has run for min_uptime
    std::string rule;     // of kRestart, the one by which it costs nothing: "3=restart"
    JobEnd end;           // of kFailed
  };
  // Once, when it is ripe.
  Verdict decide(const RestartPolicy& policy, bool restarts_left);

  StopKind kind() const { return kind_; }
  const std::string& reason() const { return reason_; }
  // "; waiting for 2 nodes to answer or to be lost", while that is what it waits for.
  std::string awaited_words() const;

 private:
  void see(FailureSighting sighting);

  Limits limits_;
  StopKind kind_;
  std::string reason_;
  TimePoint began_;
  TimePoint round_began_;
  bool is_young_;  // the round: has not run for min_uptime
  std::vector<bool> awaited_;
  std::vector<bool> reaped_;
  std::vector<bool> running_;  // awaited, and neither reaped nor given up
  size_t unacknowledged_ = 0;
  size_t unreaped_ = 0;
  bool cause_wanted_;
  bool explained_ = false;  // by more than lost connections
  std::vector<FailureSighting> sightings_;
  std::multimap<int, size_t> by_node_;  // the sightings of a node rank
};

}  // namespace ferrun
