#include "rendezvous/coordinator/takeover.h"

#include <algorithm>
#include <vector>

#include "rendezvous/job/wording.h"

namespace ferrun {

Takeover::Takeover(const RoundId& round, size_t nodes, TimePoint until) : round_(round), until_(until), nodes_(nodes) {
  for (size_t rank = 0; rank < nodes; ++rank) {
    absentees_.emplace(static_cast<int>(rank), Absentee{"node of rank " + std::to_string(rank), std::nullopt});
  }
}

void Takeover::expect(AgentId agent, int node_rank, const std::string& host, std::optional<TimePoint> gone_at) {
  const auto absentee = absentees_.find(node_rank);
  if (absentee == absentees_.end()) return;
  expected_[agent] = node_rank;
  absentee->second = {plain_text(host), gone_at};
}

std::optional<int> Takeover::comes_back(AgentId agent, const MemberPast& past) {
  if (nodes_ == 0) return std::nullopt;
  int rank = past.assignment.node_rank;
  if (expected_.empty()) {
    const bool was_there = past.round == round_ && past.assignment.node_count == static_cast<int>(nodes_);
    if (!was_there) return std::nullopt;
  } else {
    const auto expected = expected_.find(agent);
    if (expected == expected_.end()) return std::nullopt;
    rank = expected->second;
  }
  if (absentees_.erase(rank) == 0) return std::nullopt;
  return rank;
}

Takeover::Step Takeover::step(TimePoint now) const {
  if (nodes_ > 0 && absentees_.empty()) return Step::kComplete;
  return now >= until() ? Step::kOver : Step::kWait;
}

// Of nodes of which nothing is known the leases have to end.
TimePoint Takeover::until() const {
  if (absentees_.empty()) return until_;
  TimePoint gone = TimePoint::min();
  for (const auto& [rank, absentee] : absentees_) gone = std::max(gone, absentee.gone_at.value_or(until_));
  return std::min(gone, until_);
}

std::string Takeover::words() const {
  if (round_.none()) {
    return "a new coordinator knows nothing of the rounds of an earlier one: waiting for their leases to end";
  }
  const bool known = !absentees_.empty();
  const std::string whom = known ? std::to_string(absentees_.size()) + " of " + counted(nodes_, "node") : "the nodes";
  return "a new coordinator has taken over: waiting for " + whom + " of round " + to_string(round_) +
         " to come back, or for their leases to end" + (known ? ": " + absent() : "");
}

std::string Takeover::absent() const {
  std::vector<std::string> names;
  for (const auto& [rank, absentee] : absentees_) {
    if (names.size() == kNamesListed) break;
    names.push_back(absentee.host);
  }
  return listed(names, absentees_.size());
}

}  // namespace ferrun
