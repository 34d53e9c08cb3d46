#include "launcher/node/node_setup.h"

#include <utility>

namespace ferrun {

Duration settling_time(const JobConfig& config) {
  return config.rendezvous ? Duration::zero() : std::chrono::milliseconds(100);
}

NodeConfig node_config(const JobConfig& config, std::vector<std::string> addresses) {
  NodeConfig node;
  node.solo = !config.rendezvous;
  node.launch_id = config.launch_id;
  if (config.rendezvous) {
    node.member = config.rendezvous->member;
    node.member.addresses = std::move(addresses);
    node.member.terms = config.rendezvous->coordinator.terms;
  }
  node.member.host = config.hostname;
  node.member.workers = config.workers;
  node.member.role = config.role;
  node.member.max_restarts = config.max_restarts;
  node.restart = config.restart;
  node.min_uptime = config.min_uptime;
  node.stop = config.stop;
  node.with_template = config.start_method != StartMethod::kSpawn;
  node.torchrun_exit_code = config.torchrun_exit_code;
  node.title = config.program.title;
  node.python = !config.program.why_python.empty();
  node.run_id = config.run_id;
  return node;
}

HostingConfig hosting_config(const RendezvousConfig& config, bool own_process) {
  return {config.endpoint,   config.coordinator.job_id,  config.is_host,
          own_process,       config.etcd.has_value(),    config.member.node_rank,
          config.store_port, config.member.join_timeout, config.coordinator.close_timeout};
}

// The state has to be there for as long as anybody may wait for a coordinator. Agents do not all look at once.
etcd::SeatConfig seat_config(const RendezvousConfig& config) {
  const AgentId agent = config.member.agent;
  etcd::SeatConfig seat;
  seat.prefix = config.etcd->prefix + config.coordinator.job_id + "/";
  seat.agent = to_string(agent);
  seat.servers = config.member.endpoint;
  seat.candidate = config.is_host.value_or(true);
  seat.state_seconds =
      std::chrono::ceil<std::chrono::seconds>(config.member.coordinator_timeout + config.coordinator.silence).count();
  seat.look_interval += std::chrono::milliseconds(agent.value % 50);
  return seat;
}

// Where etcd is reached by a loopback address all agents are on this machine.
etcd::SeatHolder seat_holder(const RendezvousConfig& config, const std::string& host,
                             const std::vector<std::string>& addresses, uint16_t port) {
  const bool here_alone = is_loopback(config.endpoint.host);
  return {to_string(config.member.agent), host, here_alone ? std::vector<std::string>{"127.0.0.1"} : addresses, port};
}

CoordinatorConfig coordinator_config(const RendezvousConfig& config, AgentId host_agent, const std::string& launch_id) {
  CoordinatorConfig coordinator = config.coordinator;
  coordinator.own_process = host_agent == AgentId{};
  coordinator.host_agent = host_agent;
  coordinator.launch_id = launch_id;
  coordinator.has_successors = config.etcd.has_value();
  const bool outlived = coordinator.own_process || coordinator.has_successors;  // by workers
  coordinator.lease = outlived ? config.member.coordinator_timeout : coordinator.silence;
  return coordinator;
}

}  // namespace ferrun
