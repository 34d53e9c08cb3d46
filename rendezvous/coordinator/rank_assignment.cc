#include "rendezvous/coordinator/rank_assignment.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <tuple>

namespace ferrun {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// The digits at the beginning of `text`, without leading zeros; they are taken off it.
std::string_view take_number(std::string_view& text) {
  size_t end = 0;
  while (end < text.size() && is_digit(text[end])) ++end;
  std::string_view number = text.substr(0, end);
  text.remove_prefix(end);
  while (number.size() > 1 && number.front() == '0') number.remove_prefix(1);
  return number;
}

class Seating {
 public:
  Seating(const std::vector<RankCandidate>& candidates, bool exact)
      : candidates_(candidates), taken_(candidates.size()), seated_(candidates.size(), false) {
    if (exact) seat_each(&RankCandidate::wished);
    seat_each(&RankCandidate::previous);
    if (!exact) seat_each(&RankCandidate::wished);
    seat_the_rest();
  }

  std::vector<size_t> order() const {
    std::vector<size_t> order;
    order.reserve(taken_.size());
    for (const std::optional<size_t>& candidate : taken_) order.push_back(*candidate);
    return order;
  }

 private:
  // Who asks for the same rank as another comes later if it arrived later.
  void seat_each(std::optional<int> RankCandidate::*rank) {
    std::vector<size_t> asking;
    for (size_t at = 0; at < candidates_.size(); ++at) {
      const std::optional<int>& wanted = candidates_[at].*rank;
      const bool exists = wanted && *wanted >= 0 && static_cast<size_t>(*wanted) < taken_.size();
      if (exists && !seated_[at]) asking.push_back(at);
    }
    std::ranges::sort(asking, {}, [this](size_t at) { return candidates_[at].joined; });
    for (const size_t at : asking) {
      const size_t seat = static_cast<size_t>(*(candidates_[at].*rank));
      if (!taken_[seat]) take(seat, at);
    }
  }

  void seat_the_rest() {
    std::vector<size_t> rest;
    for (size_t at = 0; at < candidates_.size(); ++at) {
      if (!seated_[at]) rest.push_back(at);
    }
    const bool survivors =
        std::ranges::any_of(candidates_, [](const RankCandidate& each) { return each.previous.has_value(); });
    std::ranges::sort(rest, [&](size_t left, size_t right) { return comes_first(left, right, survivors); });
    size_t seat = 0;
    for (const size_t at : rest) {
      while (taken_[seat]) ++seat;
      take(seat, at);
    }
  }

  bool comes_first(size_t left, size_t right, bool survivors) const {
    const RankCandidate& one = candidates_[left];
    const RankCandidate& other = candidates_[right];
    // Survivors without a seat had the highest ranks: they move down when all newcomers are seated.
    const auto group = [](const RankCandidate& each) {
      return std::tuple(each.previous.has_value(), each.previous.value_or(0), !each.preferred);
    };
    if (group(one) != group(other)) return group(one) < group(other);
    if (!survivors && one.host != other.host) {
      if (natural_less(one.host, other.host)) return true;
      if (natural_less(other.host, one.host)) return false;
    }
    return one.joined < other.joined;
  }

  void take(size_t seat, size_t candidate) {
    taken_[seat] = candidate;
    seated_[candidate] = true;
  }

  const std::vector<RankCandidate>& candidates_;
  std::vector<std::optional<size_t>> taken_;  // by rank
  std::vector<bool> seated_;                  // by candidate
};

}  // namespace

bool natural_less(const std::string& left, const std::string& right) {
  std::string_view one = left;
  std::string_view other = right;
  while (!one.empty() && !other.empty()) {
    if (is_digit(one.front()) && is_digit(other.front())) {
      const std::string_view number = take_number(one);
      const std::string_view other_number = take_number(other);
      if (number.size() != other_number.size()) return number.size() < other_number.size();
      if (number != other_number) return number < other_number;
      continue;
    }
    if (one.front() != other.front()) return one.front() < other.front();
    one.remove_prefix(1);
    other.remove_prefix(1);
  }
  if (one.empty() != other.empty()) return one.empty();
  return left < right;  // "node1" and "node01"
}

std::vector<size_t> assign_ranks(const std::vector<RankCandidate>& candidates, bool exact) {
  return Seating(candidates, exact).order();
}

std::vector<Assignment> make_assignments(const std::vector<RankCandidate>& candidates, const std::vector<size_t>& order,
                                         const Assignment& common) {
  std::vector<Assignment> assignments(order.size(), common);
  std::map<std::string_view, int> role_worlds;
  int world = 0;
  for (size_t rank = 0; rank < order.size(); ++rank) {
    const RankCandidate& node = candidates[order[rank]];
    int& role_world = role_worlds[node.role];
    assignments[rank].node_rank = static_cast<int>(rank);
    assignments[rank].node_count = static_cast<int>(order.size());
    assignments[rank].first_rank = world;
    assignments[rank].first_role_rank = role_world;
    world += node.workers;
    role_world += node.workers;
  }
  for (size_t rank = 0; rank < order.size(); ++rank) {
    assignments[rank].world = world;
    assignments[rank].role_world = role_worlds[candidates[order[rank]].role];
  }
  return assignments;
}

}  // namespace ferrun
