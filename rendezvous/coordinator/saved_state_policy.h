// Whether a coordinator that starts goes on with what an earlier one left in a file. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/result.h"
#include "common/time.h"
#include "rendezvous/coordinator/coordinator_events.h"

namespace ferrun {

// Who opens a state file.
struct StateOwner {
  std::string path;
  bool is_private = false;   // an agent's own affair; otherwise the user has named it (--state-file)
  bool own_process = false;  // `ferrun coordinator`
  AgentId agent;             // that hosts the coordinator; one that was in a job tells those who were how it ended
  std::string job_id;
  std::vector<Term> terms;
  Duration patience{};  // nobody waits longer for a lost coordinator, from its last word on
};

struct StateVerdict {
  bool usable = true;                     // false: the coordinator must not start; `line` says why
  std::optional<CoordinatorState> state;  // to go on with; none for a new job
  std::string line;                       // for a person; empty when there is nothing to say
};

// `found` is what lies in the file: nothing, a state, or an error. `age`: since it was last written or touched. What
// is another's or cannot be read is refused by name where the user has named the file, and left aside with a line where
// it is private. A job of another size or budget is another launch: of what the earlier one left, only its rounds
// count, whose leases have to end.
StateVerdict judge_state(const StateOwner& owner, const Result<std::optional<CoordinatorState>>& found,
                         std::optional<Duration> age);

// The file is in use: `other` is the id of the job that has it, empty when it is not known.
StateVerdict judge_locked_state(const StateOwner& owner, const std::string& other);

// The file cannot be made or locked: `why` is one line.
StateVerdict judge_unlockable_state(const StateOwner& owner, const std::string& why);

// Whether somebody who joins shows that the saved launch lives: one of its nodes, or an agent that was told its id.
// When only agents without a past come until its leases are over, nothing of it is left, and what starts is a new
// launch.
bool shows_life(const CoordinatorState& saved, AgentId agent, const MemberPast& past);
std::string new_launch_words(const CoordinatorState& saved);

}  // namespace ferrun
