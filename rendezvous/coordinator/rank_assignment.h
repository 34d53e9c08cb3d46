// Who gets which rank in a round: survivors keep theirs, so that as little as possible changes. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "rendezvous/job/assignment.h"

namespace ferrun {

// A node that is to be part of the round.
struct RankCandidate {
  std::string host;
  int workers = 1;
  std::string role;
  std::optional<int> wished;    // --node-rank
  std::optional<int> previous;  // its node rank in the last round that was started
  bool preferred = false;       // hosts the coordinator: rank 0 among equals
  uint64_t joined = 0;          // order of arrival; distinct
};

// The nodes by node rank, as indices into `candidates`; ranks are 0 … candidates.size() - 1.
//
// With `exact` a wish is a claim and comes first (claims are distinct and in range; another one is passed over).
// A survivor keeps its rank. A rank that is vacant goes to a newcomer who wishes for it, then to newcomers in the order
// of their arrival, and then to the survivor of the highest rank, which is one that no longer exists. Where there are
// no survivors newcomers come in the natural order of their host names.
std::vector<size_t> assign_ranks(const std::vector<RankCandidate>& candidates, bool exact);

// The assignment of each candidate, by node rank. `common` gives the round and the restart count.
std::vector<Assignment> make_assignments(const std::vector<RankCandidate>& candidates, const std::vector<size_t>& order,
                                         const Assignment& common);

// "node2" before "node10".
bool natural_less(const std::string& left, const std::string& right);

}  // namespace ferrun
