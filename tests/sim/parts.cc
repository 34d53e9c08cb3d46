#include "tests/sim/parts.h"

#include <cstdlib>

namespace ferrun::sim {
namespace {

Network::Config network_config(const JobPlan& plan) {
  Network::Config config;
  for (const HostPlan& host : plan.hosts) config.distance.push_back(host.distance);
  config.loss_per_mille = plan.loss_per_mille;
  return config;
}

}  // namespace

Parts::Parts(const JobPlan& job, std::optional<uint64_t> seed, Trace& lines, Coverage* counted, Mutant* mistake)
    : plan(job),
      random(seed ? Random(*seed) : Random::steady()),
      network(network_config(job), queue, random),
      checker(job, network, now),
      trace(lines),
      coverage(counted),
      mutant(mistake) {
  if (job.with_etcd) {
    etcd = std::make_unique<EtcdCluster>(job.etcd_host, network, queue, random, checker, now, job.percent_etcd_late);
    if (mutant != nullptr) {
      etcd->keys().compares_seat = mutant->etcd_compares_seat();
      etcd->keys().compares_state = mutant->etcd_compares_state();
    }
  }
  for (const HostPlan& host : job.hosts) clocks.emplace_back(host.clock_offset, host.clock_ppm);
}

std::string address_of(HostIndex host) {
  return "10.0." + std::to_string(host / 250) + "." + std::to_string(host % 250 + 1);
}

HostIndex host_of(const std::string& address) {
  unsigned high = 0;
  unsigned low = 0;
  if (std::sscanf(address.c_str(), "10.0.%u.%u", &high, &low) != 2) return kNone;
  return high * 250 + low - 1;
}

}  // namespace ferrun::sim
