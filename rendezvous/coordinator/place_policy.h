// Who is kept out although its terms are right: nodes that have disturbed the job too often, and nodes whose rank
// belongs to another. Pure; owned by the coordinator machine.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "common/time.h"
#include "rendezvous/coordinator/flap_policy.h"
#include "rendezvous/coordinator/membership.h"
#include "rendezvous/wire/messages.h"

namespace ferrun {

class PlacePolicy {
 public:
  // Nodes of a job of fixed size may name their ranks.
  PlacePolicy(FlapLimits flaps, int max_nodes, bool exact_ranks)
      : flaps_(flaps), max_nodes_(max_nodes), exact_ranks_(exact_ranks) {}

  // Why the node may not take part now; what may pass with time says when to ask again. `members` are those who are
  // there.
  std::optional<Refused> objection(const Member& candidate, Membership& members, TimePoint now) const;
  // It takes part: its rank is its own.
  void admit(const Member& member);
  // It dropped out of a round without a goodbye. Returns for how long it is barred, if it is.
  std::optional<Duration> note_loss(const Member& member, TimePoint now) { return flaps_.lost(member.node(), now); }
  // Rounds could not start because of it.
  Duration bar(const Member& member, TimePoint now) { return flaps_.bar(member.node(), now); }

 private:
  FlapPolicy flaps_;
  int max_nodes_;
  bool exact_ranks_;
  std::map<int, AgentId> claims_;  // by rank
};

}  // namespace ferrun
