// What everything in the simulated world shares.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/checker.h"
#include "tests/sim/coverage.h"
#include "tests/sim/etcd_cluster.h"
#include "tests/sim/event_queue.h"
#include "tests/sim/job_plan.h"
#include "tests/sim/mutant.h"
#include "tests/sim/network.h"
#include "tests/sim/random.h"
#include "tests/sim/trace.h"

namespace ferrun::sim {

// The store of one round, as its node serves it.
struct SimStore {
  HostIndex host = 0;
  uint16_t port = 0;
  bool open = false;
};

inline constexpr uint16_t kEndpointPort = 29400;

struct Parts {
  // Without a seed nothing is left to chance.
  Parts(const JobPlan& job, std::optional<uint64_t> seed, Trace& lines, Coverage* counted, Mutant* mistake);

  const JobPlan& plan;
  TrueTime now{};
  EventQueue queue;
  Random random;
  Network network;
  Checker checker;
  Trace& trace;
  Coverage* coverage;  // may be null
  Mutant* mutant;      // null: none
  std::vector<HostClock> clocks;
  std::unique_ptr<EtcdCluster> etcd;  // null: the job has none
  std::map<RoundId, SimStore> stores;
  int next_pid = 1000;
  bool finishing = false;       // workers that are started end with 0 soon
  std::vector<uint32_t> ended;  // agents whose process is to end after this step

  // Of the World: an agent begins to coordinate (false: the port is taken), and ends that.
  std::function<bool(uint32_t agent)> host_coordinator;
  std::function<void(uint32_t agent, int signal)> stop_coordinator;
  std::function<void(uint32_t agent)> close_coordinator;
  std::function<bool()> round_begun;
  std::function<bool()> port_is_taken;
  // With etcd, also of the World: what the agent that hosts a coordinator does for it, and answers.
  std::function<bool(uint32_t agent)> may_act;
  std::function<void(uint32_t agent, uint32_t coordinator, uint64_t save, std::string text)> save_in_etcd;
  std::function<void(uint32_t agent, bool job_is_over)> leave_etcd;
  std::function<void(uint32_t coordinator, uint64_t save, const std::string& error)> state_saved;
  std::function<void(uint32_t agent)> seat_ended;

  // The host whose address the endpoint's name has now; kNone: it has none.
  HostIndex name_means() const { return now < TrueTime(plan.name_right_at) ? plan.name_before : plan.coordinator_host; }
  TimePoint local(HostIndex host) const { return clocks[host].at(now); }
};

std::string address_of(HostIndex host);
// kNone for an address of no host.
HostIndex host_of(const std::string& address);

}  // namespace ferrun::sim
