#include "rendezvous/coordinator/running_round.h"

#include "rendezvous/job/wording.h"

namespace ferrun {

void RunningRound::begin(size_t nodes) {
  finished_.assign(nodes, false);
  finished_count_ = 0;
  any_success_ = false;
}

void RunningRound::note_finished(int node_rank) {
  any_success_ = true;
  if (has_finished(node_rank)) return;
  finished_[static_cast<size_t>(node_rank)] = true;
  ++finished_count_;
}

RunningRound::Step RunningRound::step(size_t joined, TimePoint now, TimePoint judged) {
  if (finished_count_ == finished_.size()) return Step::kSuccess;
  if (!wants_to_scale(joined) || (scale_at_ && judged < *scale_at_)) return Step::kRun;
  scale_at_ = now + limits_.scale_interval;
  return Step::kScale;
}

std::string RunningRound::spare_words(const RoundId& round, TimePoint now) const {
  if (any_success_) return "workers of round " + to_string(round) + " have finished already: nobody joins any more";
  if (is_full()) {
    return "all " + counted(finished_.size(), "node") +
           " are there: this one is a spare and takes the place of one that is lost";
  }
  if (!scale_at_ || now >= *scale_at_) return "";
  return "joins disturb the job at most every " + in_words(limits_.scale_interval) + ": " + in_words(*scale_at_ - now) +
         " left";
}

}  // namespace ferrun
