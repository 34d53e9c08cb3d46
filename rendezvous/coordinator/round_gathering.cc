#include "rendezvous/coordinator/round_gathering.h"

#include <utility>

namespace ferrun {

bool RoundGathering::step(Gathering nodes, TimePoint now, TimePoint judged) {
  const bool enough = nodes.ready.count >= static_cast<size_t>(limits_.min_nodes);
  if (!enough) last_call_end_.reset();
  if (enough && !last_call_end_ && limits_.min_nodes != limits_.max_nodes) last_call_end_ = now + limits_.last_call;
  decision_ = decide_round(complete(nodes), judged);
  return decision_.form;
}

void RoundGathering::wait_for(std::string what, std::optional<TimePoint> until) {
  decision_ = {false, std::move(what), until};
}

void RoundGathering::note_start() {
  last_call_end_.reset();
  held_until_.reset();
  last_failure_.clear();
}

std::string RoundGathering::failed_start_words() const {
  return last_failure_.empty() ? "" : "; the last round could not start: " + last_failure_;
}

Gathering& RoundGathering::complete(Gathering& nodes) const {
  nodes.min_nodes = limits_.min_nodes;
  nodes.max_nodes = limits_.max_nodes;
  nodes.last_call_end = last_call_end_;
  nodes.held_until = held_until_;
  return nodes;
}

}  // namespace ferrun
