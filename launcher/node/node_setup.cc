#include "launcher/node/node_setup.h"

#include <utility>

namespace ferrun {

NodeConfig node_config(const JobConfig& config, std::vector<std::string> addresses) {
  NodeConfig node;
  node.solo = !config.rendezvous;
  node.launch_id = config.launch_id;
  node.stop_signals = config.stop_signals;
  node.member.host = config.hostname;
  node.member.workers = config.workers;
  node.member.role = config.role;
  node.member.max_restarts = config.max_restarts;
  if (config.rendezvous) {
    const RendezvousConfig& rendezvous = *config.rendezvous;
    node.member.agent = rendezvous.agent;
    node.member.addresses = std::move(addresses);
    node.member.node_rank = rendezvous.node_rank;
    node.member.terms = rendezvous.terms;
    node.member.min_nodes = rendezvous.min_nodes;
    node.member.max_nodes = rendezvous.max_nodes;
    node.member.endpoint = to_string(rendezvous.endpoint);
    node.member.join_timeout = rendezvous.conf.join_timeout;
    node.member.coordinator_timeout = rendezvous.coordinator_timeout;
  }
  node.failure_grace = config.failure_grace;
  node.shutdown_timeout = config.shutdown_timeout;
  node.with_template = config.start_method != StartMethod::kSpawn;
  node.torchrun_exit_code = config.torchrun_exit_code;
  node.title = config.program.title;
  node.python = !config.program.why_python.empty();
  node.run_id = config.run_id;
  return node;
}

HostingConfig hosting_config(const RendezvousConfig& config, bool own_process) {
  return {config.endpoint,  config.job_id,     config.conf.is_host,      own_process,
          config.node_rank, config.store_port, config.conf.join_timeout, config.conf.close_timeout};
}

CoordinatorConfig coordinator_config(const RendezvousConfig& config, AgentId host_agent, const std::string& launch_id) {
  CoordinatorConfig coordinator;
  coordinator.min_nodes = config.min_nodes;
  coordinator.max_nodes = config.max_nodes;
  coordinator.max_restarts = config.max_restarts;
  coordinator.own_process = host_agent == AgentId{};
  coordinator.host_agent = host_agent;
  coordinator.job_id = config.job_id;
  coordinator.launch_id = launch_id;
  coordinator.terms = config.terms;
  coordinator.heartbeat_interval = config.conf.keep_alive_interval;
  coordinator.silence = config.keep_alive();
  coordinator.lease = coordinator.own_process ? config.coordinator_timeout : config.keep_alive();
  coordinator.last_call = config.conf.last_call;
  coordinator.close_timeout = config.conf.close_timeout;
  coordinator.scale_interval = config.scale_interval;
  coordinator.min_uptime = config.min_uptime;
  return coordinator;
}

}  // namespace ferrun
