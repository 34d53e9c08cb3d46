// What the agents of a job with several nodes need to find each other and to stay together. Pure.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "common/endpoint.h"
#include "common/result.h"
#include "common/time.h"
#include "launcher/cli/parse.h"
#include "launcher/config/host_facts.h"
#include "launcher/config/rendezvous_conf.h"
#include "launcher/config/values.h"
#include "rendezvous/job/ids.h"
#include "rendezvous/wire/messages.h"

namespace ferrun {

struct RendezvousConfig {
  int min_nodes = 1;
  int max_nodes = 1;
  Endpoint endpoint;    // where the coordinator listens
  std::string job_id;   // --rdzv-id
  std::string token;    // the job's secret; empty: none
  RendezvousConf conf;  // --rdzv-conf
  int max_restarts = 0;
  Duration coordinator_timeout{};
  Duration min_uptime{};
  Duration scale_interval{};
  std::filesystem::path state_file;  // empty: none
  // This node's part.
  AgentId agent;  // new at every start
  std::optional<int> node_rank;
  std::string local_address;  // to be advertised; empty: found out
  std::string interface;      // empty: any
  uint16_t store_port = 0;    // of every round; 0: a free one for each
  PortRange ports;            // to choose a free one from
  // On what all agents have to agree, for messages: an empty value leaves it to the others.
  std::vector<Term> terms;
  std::vector<std::string> warnings;
  std::vector<std::string> notes;

  // Without a word for this long an agent counts as silent.
  Duration keep_alive() const { return conf.keep_alive_interval * conf.keep_alive_attempts; }
};

// Reads the options of the group "Several nodes"; the terms are those that they settle. Fails with kUsage, or with
// kUser for a token file that cannot be used.
Result<RendezvousConfig> read_rendezvous(const RawOptions& options, NodeRange nodes, const HostFacts& facts);

// The values alone, for a job on one node, which needs none of it.
Status check_rendezvous_values(const RawOptions& options);

// Whether only this machine reaches `host`: "localhost" or a numeric loopback address.
bool is_loopback(const std::string& host);

}  // namespace ferrun
