#include "rendezvous/coordinator/round_preparation.h"

#include <algorithm>

#include "rendezvous/coordinator/round_decision.h"
#include "rendezvous/job/wording.h"

namespace ferrun {

bool RoundPreparation::mark(Marks& marks, int node_rank, size_t& count) {
  const auto mark = marks.begin() + node_rank;
  if (*mark) return false;
  *mark = true;
  ++count;
  return true;
}

RoundPreparation::Step RoundPreparation::step(TimePoint now) const {
  const bool all = prepared_count_ == prepared_.size() && reached_count_ == reached_.size();
  if (all && save_.settled()) return Step::kGo;
  if (now >= end_) return Step::kTimeOut;
  return !save_.settled() && save_.may_ask(now) ? Step::kSave : Step::kWait;
}

TimePoint RoundPreparation::deadline() const { return std::min(end_, save_.again_at().value_or(end_)); }

std::vector<int> RoundPreparation::late() const {
  std::vector<int> late;
  for (size_t rank = 0; rank < prepared_.size(); ++rank) {
    const bool answered = prepared_[rank] && (reached_[rank] || !store_);
    if (!answered) late.push_back(static_cast<int>(rank));
  }
  return late;
}

std::string RoundPreparation::words(const RoundRoster& roster) const {
  const std::string& first = roster.at(0).host;
  if (!store_) return "waiting for " + first + " to open the store";
  std::string words = lacking(roster, prepared_, " to be ready");
  if (words.empty()) {
    words = lacking(roster, reached_,
                    " to reach the store at " + plain_text(store_->addresses.front()) + ", port " +
                        std::to_string(store_->port) + " on " + first);
  }
  return words.empty() ? "waiting for the coordinator's state to be saved" : words;
}

std::string RoundPreparation::lacking(const RoundRoster& roster, const Marks& marks, const std::string& what) {
  NodeGroup nodes;
  for (size_t rank = 0; rank < marks.size(); ++rank) {
    if (marks[rank]) continue;
    if (nodes.names.size() < kNamesListed) nodes.names.push_back(roster.seats()[rank].host);
    ++nodes.count;
  }
  return nodes.count == 0 ? "" : "waiting for " + listed(nodes.names, nodes.count) + what;
}

}  // namespace ferrun
