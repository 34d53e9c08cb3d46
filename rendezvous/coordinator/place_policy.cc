#include "rendezvous/coordinator/place_policy.h"

#include <chrono>

#include "rendezvous/job/wording.h"

namespace ferrun {
namespace {

constexpr Duration kTryRankAgain = std::chrono::seconds(1);

}  // namespace

std::optional<Refused> PlacePolicy::objection(const Member& candidate, Membership& members, TimePoint now) const {
  if (const auto left = flaps_.barred(candidate.node(), now)) {
    return Refused{candidate.host + " disturbed the job too often and is barred for " + in_words(*left), true, *left};
  }
  if (!exact_ranks_ || !candidate.node_rank) return std::nullopt;
  const int rank = *candidate.node_rank;
  if (rank < 0 || rank >= max_nodes_) {
    return Refused{"node rank " + std::to_string(rank) + " does not exist: there are " +
                       counted(static_cast<size_t>(max_nodes_), "node") + ", counted from 0",
                   false,
                   {}};
  }
  const auto claim = claims_.find(rank);
  const Member* holder = claim == claims_.end() ? nullptr : members.find(claim->second);
  const bool answers =
      holder != nullptr && holder->agent != candidate.agent && holder->node_rank == rank && holder->may_answer();
  if (!answers) return std::nullopt;
  return Refused{
      "node rank " + std::to_string(rank) + " is taken by " + holder->host + " (" + holder->observed_address + ")",
      true, kTryRankAgain};
}

void PlacePolicy::admit(const Member& member) {
  if (exact_ranks_ && member.node_rank) claims_[*member.node_rank] = member.agent;
}

}  // namespace ferrun
