// Who and which: the names that agents and rounds have on the network. Pure values.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

namespace ferrun {

// One run of the agent of one node: random, new at every start of ferrun.
struct AgentId {
  uint64_t value = 0;
  auto operator<=>(const AgentId&) const = default;
};

// One attempt of the whole job. Ordered: a coordinator that took over has a higher incarnation than the one before it,
// and within one incarnation numbers only grow. A number that was prepared in vain is never used again.
struct RoundId {
  uint64_t incarnation = 0;
  uint64_t number = 0;
  auto operator<=>(const RoundId&) const = default;
  bool none() const { return number == 0; }  // rounds count from 1
};

// "3" within the first incarnation, "2.3" later: how a round is called in messages.
std::string to_string(const RoundId& round);
// Sixteen hexadecimal digits.
std::string to_string(const AgentId& agent);

}  // namespace ferrun
