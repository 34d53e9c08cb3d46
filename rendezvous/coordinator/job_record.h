// What a coordinator knows of its job beyond who is there: numbers of rounds, restarts that are spent, the launch's id.
// It comes from the configuration, from a saved state, and from what members remember, who may know more than both.
// Pure; owned by the coordinator machine.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "rendezvous/coordinator/coordinator_events.h"

namespace ferrun {

class JobRecord {
 public:
  // Of a new job.
  JobRecord(std::string launch_id, int max_restarts) : launch_id_(std::move(launch_id)), max_restarts_(max_restarts) {}

  // What an earlier coordinator has left. Its rounds count at once; its launch when it is known that it goes on.
  void restore(const CoordinatorState& saved);
  // What was restored, while nobody has shown yet that this launch lives.
  const std::optional<CoordinatorState>& unproven() const { return unproven_; }
  // Its launch goes on: its id and its restarts count. Only while unproven(). Returns whether members have to learn
  // another id than they were told.
  bool take_up_saved_launch();

  struct Learned {
    bool newer_round = false;   // than any that was known, and this coordinator has prepared none
    bool other_launch = false;  // members that were told this coordinator's own id have to learn the job's
  };
  // Of a member that was in a round. Rounds of this coordinator's own settle what the job is: later only numbers count.
  Learned learn(const MemberPast& past);
  // Whether the member was welcomed to a launch that is not this one.
  bool is_of_another(const MemberPast& past) const;

  // The number of the round that is prepared next; it becomes the newest.
  RoundId next_round();
  // False when none is left.
  bool spend_restart();
  bool restarts_left() const { return restarts_ < max_restarts_; }

  uint64_t incarnation() const { return incarnation_; }
  const RoundId& newest() const { return newest_; }
  // This coordinator has prepared a round.
  bool own_round() const { return own_round_; }
  int restarts() const { return restarts_; }
  int max_restarts() const { return max_restarts_; }
  const std::string& launch_id() const { return launch_id_; }
  // Of the newest round, as the coordinator before left them.
  const std::vector<CoordinatorState::Member>& saved_members() const { return saved_members_; }

 private:
  bool learn_launch_id(const std::string& launch_id);

  uint64_t incarnation_ = 1;
  RoundId newest_;
  bool own_round_ = false;
  int restarts_ = 0;
  std::string launch_id_;
  bool launch_id_known_ = false;  // from before this coordinator
  std::vector<CoordinatorState::Member> saved_members_;
  std::optional<CoordinatorState> unproven_;
  int max_restarts_;
};

}  // namespace ferrun
