#include "rendezvous/coordinator/saved_state_policy.h"

#include <algorithm>
#include <utility>

#include "rendezvous/job/job_terms.h"
#include "rendezvous/job/wording.h"

namespace ferrun {
namespace {

std::string file_words(const StateOwner& owner) {
  return owner.is_private ? "the coordinator's state in " + owner.path : "--state-file=" + owner.path;
}

constexpr const char* kNothingIsKept =
    "; nothing is kept of this job, and who comes back in this agent's place learns of it from the other nodes alone";

std::string job_words(const std::string& id) { return "job '" + plain_text(id) + "'"; }

StateVerdict set_aside(const StateOwner& owner, const std::string& what, const std::string& remedy) {
  if (owner.is_private) return {true, std::nullopt, file_words(owner) + " " + what + "; it is left aside"};
  return {false, std::nullopt, file_words(owner) + " " + what + ": " + remedy};
}

bool is_awaited(const StateOwner& owner, std::optional<Duration> age) { return age && *age <= owner.patience; }

// Its leases have to end, those of its members; nothing else of it counts.
CoordinatorState rounds_of(const CoordinatorState& saved) {
  CoordinatorState rounds;
  rounds.incarnation = saved.incarnation;
  rounds.newest = saved.newest;
  rounds.members = saved.members;
  rounds.job_id = saved.job_id;
  return rounds;
}

StateVerdict judge_closed(const StateOwner& owner, const CoordinatorState& saved, std::optional<Duration> age) {
  // Who starts agents again after a job's end means another job. A service that is started again has to tell how the
  // job ended, to those who still want to know; so has an agent of that very job that has taken over from another one.
  const bool was_in_it =
      std::ranges::find(saved.members, owner.agent, &CoordinatorState::Member::agent) != saved.members.end();
  if (!was_in_it && (!owner.own_process || !is_awaited(owner, age))) return {};
  return {true, saved, ""};
}

}  // namespace

StateVerdict judge_state(const StateOwner& owner, const Result<std::optional<CoordinatorState>>& found,
                         std::optional<Duration> age) {
  if (!found) return set_aside(owner, found.error().message, "remove it once no node of its job runs any more");
  if (!*found) return {};
  const CoordinatorState& saved = **found;
  if (owner.is_private && !is_awaited(owner, age)) return {};
  if (saved.job_id != owner.job_id) {
    return set_aside(owner, "is of " + job_words(saved.job_id) + ", and this is " + job_words(owner.job_id),
                     "choose another file, or remove it once that job is over");
  }
  if (saved.closed) return judge_closed(owner, saved, age);
  const auto difference = required_difference(saved.terms, "there", owner.terms, "here");
  if (!difference) return {true, saved, ""};
  if (owner.is_private) {
    return {true, rounds_of(saved),
            "an earlier launch of " + job_words(owner.job_id) + " was another one: " + *difference +
                "; this one begins anew"};
  }
  return {false, std::nullopt,
          file_words(owner) + " is of another launch of " + job_words(owner.job_id) + ", and " + *difference +
              ": choose another file, or remove it once no node of that launch runs any more"};
}

StateVerdict judge_unlockable_state(const StateOwner& owner, const std::string& why) {
  if (owner.is_private) return {true, std::nullopt, why + kNothingIsKept};
  return {false, std::nullopt, file_words(owner) + ": " + why};
}

StateVerdict judge_locked_state(const StateOwner& owner, const std::string& other) {
  const std::string who = other.empty() ? "another coordinator" : "the coordinator of " + job_words(other);
  if (owner.is_private) {
    return {true, std::nullopt, file_words(owner) + " is in use by " + who + kNothingIsKept};
  }
  return {false, std::nullopt,
          file_words(owner) + " is in use by " + who + ", and this is " + job_words(owner.job_id) +
              ": a coordinator needs a file of its own"};
}

bool shows_life(const CoordinatorState& saved, AgentId agent, const MemberPast& past) {
  const auto is_agent = [agent](const CoordinatorState::Member& member) { return member.agent == agent; };
  if (std::ranges::any_of(saved.members, is_agent)) return true;
  if (!past.launch_id.empty() && !saved.launch_id.empty()) return past.launch_id == saved.launch_id;
  return !past.round.none() && past.round == saved.newest;
}

std::string new_launch_words(const CoordinatorState& saved) {
  const std::string id = saved.launch_id.empty() ? "" : " " + plain_text(saved.launch_id);
  return "no node of the earlier launch" + id +
         " has come back: what starts now is a new launch, with all its restarts";
}

}  // namespace ferrun
