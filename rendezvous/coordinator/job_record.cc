#include "rendezvous/coordinator/job_record.h"

#include <algorithm>

#include "rendezvous/job/wording.h"

namespace ferrun {

void JobRecord::restore(const CoordinatorState& saved) {
  incarnation_ = saved.incarnation + 1;
  newest_ = saved.newest;
  restarts_ = std::clamp(saved.restarts, 0, max_restarts_);
  if (!saved.launch_id.empty()) launch_id_ = saved.launch_id;
  saved_members_ = saved.members;
}

JobRecord::Learned JobRecord::learn(const MemberPast& past) {
  const bool newer = past.round > newest_;
  if (newer) {
    newest_ = past.round;
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
