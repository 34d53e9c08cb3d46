// A coordinator has taken over while nodes of an earlier round may be running on their own. Until they have come back,
// or their leases are over, nothing else may run. Pure; owned by the coordinator machine while that lasts.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "common/time.h"
#include "rendezvous/wire/messages.h"

namespace ferrun {

class Takeover {
 public:
  // Nothing is known of the rounds of an earlier coordinator but that there was one.
  explicit Takeover(TimePoint until) : until_(until) {}
  // `round` may be running on `nodes` nodes; 0 where their number is unknown.
  Takeover(const RoundId& round, size_t nodes, TimePoint until);

  // A saved state named the node of this node rank; one that does not exist is ignored. Where it has named any, no
  // others are taken back. Nothing of it is left from `gone_at` on, if that is known.
  void expect(AgentId agent, int node_rank, const std::string& host, std::optional<TimePoint> gone_at = std::nullopt);
  // The node rank that a member has come back to; none when it has no part in that round, or it was taken already.
  std::optional<int> comes_back(AgentId agent, const MemberPast& past);

  enum class Step {
    kWait,
    kComplete,  // everybody is back
    kOver,      // nothing is left of those who are not back, or they have stopped their workers
  };
  Step step(TimePoint now) const;
  // When it is over if nobody else comes back.
  TimePoint until() const;

  // One clause: what it waits for.
  std::string words() const;
  // Those that are not back: "node1, node2 and 3 more".
  std::string absent() const;

 private:
  RoundId round_;
  TimePoint until_;
  size_t nodes_ = 0;
  struct Absentee {
    std::string host;
    std::optional<TimePoint> gone_at;
  };
  std::map<AgentId, int> expected_;    // node ranks
  std::map<int, Absentee> absentees_;  // by node rank
};

}  // namespace ferrun
