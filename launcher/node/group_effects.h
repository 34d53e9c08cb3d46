// What agent_machine and node_machine, which both own a worker group, have in common. Pure.
#pragma once

#include <utility>
#include <variant>
#include <vector>

#include "launcher/node/agent_events.h"
#include "launcher/workers/group_machine.h"

namespace ferrun {

// Facts that belong to an attempt have a member of that name.
template <typename Event>
concept AttemptFact = requires(const Event& event) {
  event.attempt;
};

// What the group of this attempt asks for, as effects of the machine that owns it.
template <typename Effect>
void append_group_effects(GroupMachine& group, int attempt, bool from_template, std::vector<Effect>& effects) {
  for (const GroupEffect& effect : group.take_effects()) {
    if (const auto* start = std::get_if<StartRank>(&effect)) {
      effects.emplace_back(StartWorker{attempt, start->local_rank, from_template && !start->afresh});
    } else if (const auto* send = std::get_if<SignalRank>(&effect)) {
      effects.emplace_back(SignalWorker{attempt, send->local_rank, send->pid, send->signal});
    } else {
      effects.emplace_back(Say{LogLevel::kWarning, std::get<TellUser>(effect).line});
    }
  }
}

// The template cannot be used any more; said once.
template <typename Effect>
void give_up_template(const TemplateUnusable& event, bool& from_template, std::vector<Effect>& effects) {
  if (!std::exchange(from_template, false)) return;
  effects.emplace_back(Say{LogLevel::kWarning, event.reason + "; workers are spawned from now on"});
}

}  // namespace ferrun
