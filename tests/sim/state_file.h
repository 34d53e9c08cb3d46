// The file of a job's coordinators: it outlives them, and each that starts judges what it finds there, by the real
// policy. Also what others may have left in it.
#pragma once

#include <optional>

#include "rendezvous/coordinator/saved_state_policy.h"
#include "tests/sim/clock.h"
#include "tests/sim/job_plan.h"

namespace ferrun::sim {

struct StateFile {
  std::optional<CoordinatorState> state;
  TrueTime written{};  // or touched
  bool fails = false;
};

// What a coordinator of the job makes of the file. Hosted by an agent it has the file to itself.
StateVerdict judge(const StateFile& file, const JobPlan& plan, TrueTime now);
// No coordinator that is gone for longer is waited for.
Duration patience(const JobPlan& plan);

// Of a launch of this job that is dead: all its agents are gone, and its restarts are spent.
inline constexpr const char* kDeadLaunch = "dead-launch";
CoordinatorState state_of_dead_launch(const JobPlan& plan);
// Of another job, which has succeeded.
CoordinatorState state_of_another_job(const JobPlan& plan);

}  // namespace ferrun::sim
