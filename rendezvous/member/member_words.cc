// What the member machine waits for, or why it is in its state, as one sentence.
#include "rendezvous/member/member_impl.h"

namespace ferrun {

std::string MemberMachine::Impl::reason() const {
  if (leaving_) return leaving_->reason;
  if (work_.state == Work::kRunning) {
    if (!welcomed()) return seeking_words() + "; the workers run on until their lease ends";
    return "round " + to_string(work_.round) + " runs" + (change_.empty() ? "" : " (" + change_ + ")");
  }
  if (preparation_) {
    return "preparing round " + to_string(newest_) + ": " + preparation_words() +
           (failed_start_.empty() ? "" : "; the last round could not start: " + failed_start_);
  }
  if (work_.state == Work::kStopping) return change_;
  if (!welcomed()) return seeking_words();
  const std::string waiting = waiting_sentence_.empty() ? "waiting for a round" : waiting_sentence_;
  return work_.state == Work::kFinished ? "all workers of this node have ended with 0; " + waiting : waiting;
}

std::string MemberMachine::Impl::preparation_words() const {
  const Preparation& preparation = *preparation_;
  if (work_.alive()) return "waiting for the workers of round " + to_string(work_.round) + " to end";
  if (preparation.order.open_store && !preparation.opened) return "opening the store";
  if (!preparation.dial) return "waiting for the store of rank 0's node";
  if (!preparation.reached) return "connecting to the store of rank 0's node";
  return "waiting for the other nodes";
}

std::string MemberMachine::Impl::seeking_words() const {
  if (retry_at_) return refusal_;
  if (session_) return "connected to the coordinator at " + session_->where + ", waiting for its answer";
  const std::string tried = tried_.empty() ? "" : ": " + tried_;
  if (lost_since_) return "waiting for the coordinator to come back (it was at " + coordinator_ + ")" + tried;
  return "looking for the coordinator at " + config_.endpoint + tried;
}

}  // namespace ferrun
