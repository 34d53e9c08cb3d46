// What the agents of a job with several nodes need to find each other and to stay together. Pure.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/endpoint.h"
#include "common/result.h"
#include "common/time.h"
#include "launcher/cli/parse.h"
#include "launcher/config/etcd_options.h"
#include "launcher/config/host_facts.h"
#include "launcher/config/values.h"
#include "rendezvous/coordinator/coordinator_config.h"
#include "rendezvous/member/member_config.h"
#include "rendezvous/wire/handshake.h"

namespace ferrun {

struct RendezvousConfig {
  // What the options say goes straight to the machine that it is for; node_setup.h adds what is known later.
  CoordinatorConfig coordinator;   // should this process host it; job_id is --rdzv-id
  MemberConfig member;             // this node's part; its agent id is new at every start
  Endpoint endpoint;               // where the coordinator listens; with etcd its first server
  std::optional<EtcdConfig> etcd;  // says who coordinates the job
  std::optional<bool> is_host;     // none: whoever can bind the endpoint's address
  int keep_alive_attempts = 5;     // coordinator.silence in intervals
  std::string token;               // the job's secret; empty: none
  std::string wrapped_token;       // it, for this process to hand out should it host; empty: it was given
  // Reads what a coordinator hands out; empty: the token was given, or the endpoint is this machine's alone.
  std::function<Result<std::string>(const std::string& wrapped)> unwrap_token;
  std::filesystem::path state_file;  // empty: none
  std::string local_address;         // to be advertised; empty: found out
  std::string interface;             // empty: any
  uint16_t store_port = 0;           // of every round; 0: a free one for each
  PortRange ports;                   // to choose a free one from
  std::vector<std::string> warnings;
  std::vector<std::string> notes;
};

// Reads the options of the group "Several nodes"; coordinator.terms are those that they settle. Fails with kUsage, or
// with kUser for a token file that cannot be used.
Result<RendezvousConfig> read_rendezvous(const RawOptions& options, NodeRange nodes, const HostFacts& facts);

// The values alone, for a job on one node, which needs none of it.
Status check_rendezvous_values(const RawOptions& options);

// What its agents have in common.
std::shared_ptr<const JobSecret> job_secret(const RendezvousConfig& config);

// Whether only this machine reaches `host`: "localhost" or a numeric loopback address.
bool is_loopback(const std::string& host);

}  // namespace ferrun
