#include "tests/sim/state_file.h"

namespace ferrun::sim {

StateVerdict judge(const StateFile& file, const JobPlan& plan, TrueTime now) {
  StateOwner owner;
  owner.path = "job.state";
  owner.is_private = !plan.coordinator.own_process;
  owner.own_process = plan.coordinator.own_process;
  owner.job_id = plan.coordinator.job_id;
  owner.terms = plan.coordinator.terms;
  owner.patience = patience(plan);
  return judge_state(owner, file.state, file.state ? std::optional(now - file.written) : std::nullopt);
}

Duration patience(const JobPlan& plan) { return plan.member.coordinator_timeout + plan.coordinator.silence; }

CoordinatorState state_of_dead_launch(const JobPlan& plan) {
  CoordinatorState state;
  state.incarnation = 3;
  state.newest = {3, 7};
  for (int rank = 0; rank < plan.coordinator.min_nodes; ++rank) {
    state.members.push_back({AgentId{0xdead00 + static_cast<uint64_t>(rank)}, "node" + std::to_string(rank), rank});
  }
  state.restarts = plan.coordinator.max_restarts;
  state.launch_id = kDeadLaunch;
  state.terms = plan.coordinator.terms;
  state.job_id = plan.coordinator.job_id;
  return state;
}

CoordinatorState state_of_another_job(const JobPlan& plan) {
  CoordinatorState state = state_of_dead_launch(plan);
  state.job_id = "another";
  state.launch_id = "another-launch";
  state.closed = JobEnd{};
  return state;
}

}  // namespace ferrun::sim
