#include "tests/net/cluster.h"

#include <filesystem>
#include <fstream>
#include <sstream>

namespace ferrun::testing {

namespace fs = std::filesystem;

Cluster::Cluster(int hosts, std::optional<RelayOptions> relay) : network_(hosts, relay) {
  program_ = {std::string(FERRUN_TEST_BIN_DIR) + "/journal_rank", folder()};
  agents_.resize(static_cast<size_t>(hosts));
}

HostProgram& Cluster::start(int host, const std::string& nodes, const HostProgram::Variables& variables) {
  std::vector<std::string> argv = {std::string(FERRUN_BIN_DIR) + "/ferrun", "--nnodes=" + nodes,
                                   "--rdzv-endpoint=" + endpoint_};
  argv.insert(argv.end(), options_.begin(), options_.end());
  argv.insert(argv.end(), program_.begin(), program_.end());
  HostProgram::Variables all = variables;
  all.try_emplace("XDG_RUNTIME_DIR", folder() + "/run-" + TestNetwork::name(host));
  fs::create_directories(all["XDG_RUNTIME_DIR"]);
  auto& place = agents_[static_cast<size_t>(host)];
  place = std::make_unique<HostProgram>(network_, host, argv, folder(), all);
  return *place;
}

void Cluster::wait_for_group(const std::vector<int>& hosts, int world, int workers_per_host, int times) {
  const std::string text = "group of " + std::to_string(world) + " is complete";
  for (const int host : hosts) agent(host).wait_for(text, workers_per_host * times);
}

void Cluster::finish() { std::ofstream(folder() + "/finish") << "now\n"; }

void Cluster::fail_rank(int rank) { std::ofstream(folder() + "/fail-" + std::to_string(rank)) << "now\n"; }

std::vector<int> Cluster::wait_for(const std::vector<int>& hosts) {
  std::vector<int> statuses;
  for (const int host : hosts) statuses.push_back(agent(host).wait().shell_code());
  return statuses;
}

std::string Cluster::violations() const {
  std::ostringstream text;
  text << std::ifstream(folder() + "/violations").rdbuf();
  return text.str();
}

}  // namespace ferrun::testing
