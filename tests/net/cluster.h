// A job on several of the tests' hosts: one agent on each, workers that keep a journal (journal_rank.cc).
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/net/host_program.h"
#include "tests/net/test_network.h"
#include "tests/temporary_directory.h"

namespace ferrun::testing {

class Cluster {
 public:
  explicit Cluster(int hosts, std::optional<RelayOptions> relay = std::nullopt);

  TestNetwork& network() { return network_; }
  // Options of every agent that is started from now on, beside --nnodes and the endpoint at node0.
  void set_options(std::vector<std::string> options) { options_ = std::move(options); }
  // Where they meet, in place of node0.
  void set_endpoint(std::string endpoint) { endpoint_ = std::move(endpoint); }
  // What the agents run instead of journal_rank.
  void set_program(std::vector<std::string> program) { program_ = std::move(program); }

  // Starts an agent: `ferrun --nnodes=NODES --rdzv-endpoint=ENDPOINT OPTIONS PROGRAM`.
  HostProgram& start(int host, const std::string& nodes, const HostProgram::Variables& variables = {});
  // The newest agent of the host.
  HostProgram& agent(int host) { return *agents_[static_cast<size_t>(host)]; }
  void forget(int host) { agents_[static_cast<size_t>(host)].reset(); }

  // Until every worker of a group of `world` ranks, on hosts `hosts`, has met the others `times` times.
  void wait_for_group(const std::vector<int>& hosts, int world, int workers_per_host, int times = 1);
  // Tells all workers to end with 0.
  void finish();
  void fail_rank(int rank);
  // Waits for the agents' ends: their exit statuses, as a shell reports them.
  std::vector<int> wait_for(const std::vector<int>& hosts);
  // Workers of one group that met a living one of another.
  std::string violations() const;

  std::string folder() const { return directory_.path(); }

 private:
  TestNetwork network_;
  const TemporaryDirectory directory_;
  std::string endpoint_ = "node0:29400";
  std::vector<std::string> options_;
  std::vector<std::string> program_;
  std::vector<std::unique_ptr<HostProgram>> agents_;
};

}  // namespace ferrun::testing
