#include "rendezvous/coordinator/job_record.h"

#include <algorithm>

#include "rendezvous/job/wording.h"

namespace ferrun {

void JobRecord::restore(const CoordinatorState& saved) {
  incarnation_ = saved.incarnation + 1;
  newest_ = saved.newest;
  saved_members_ = saved.members;
  unproven_ = saved;
}

bool JobRecord::take_up_saved_launch() {
  restarts_ = std::max(restarts_, std::clamp(unproven_->restarts, 0, max_restarts_));
  const bool other = learn_launch_id(unproven_->launch_id);
  unproven_.reset();
  return other;
}

JobRecord::Learned JobRecord::learn(const MemberPast& past) {
  const bool newer = past.round > newest_;
  if (newer) {
    newest_ = past.round;
    unproven_.reset();
    incarnation_ = std::max(incarnation_, past.round.incarnation + 1);
  }
  if (own_round_) return {};
  restarts_ = std::max(restarts_, std::clamp(past.restarts, 0, max_restarts_));
  return {newer, learn_launch_id(past.launch_id)};
}

// The first one that is heard of counts.
bool JobRecord::learn_launch_id(const std::string& launch_id) {
  if (launch_id.empty() || launch_id_known_) return false;
  launch_id_known_ = true;
  if (launch_id == launch_id_) return false;
  launch_id_ = plain_text(launch_id);
  return true;
}

bool JobRecord::is_of_another(const MemberPast& past) const {
  return !past.launch_id.empty() && past.launch_id != launch_id_;
}

RoundId JobRecord::next_round() {
  own_round_ = true;
  newest_ = {incarnation_, newest_.number + 1};
  return newest_;
}

bool JobRecord::spend_restart() {
  if (!restarts_left()) return false;
  ++restarts_;
  return true;
}

}  // namespace ferrun
