// The etcd of a simulated job: keys, leases and revisions as etcd keeps them, and between it and the agents requests
// and answers that are late, lost, or carried out when nobody waits for them any more.
//
// Owned by Parts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/rendezvous/etcd/etcd_in_memory.h"
#include "tests/sim/checker.h"
#include "tests/sim/event_queue.h"
#include "tests/sim/network.h"
#include "tests/sim/random.h"

namespace ferrun::sim {

inline constexpr const char* kSeatPrefix = "/job/";

class EtcdCluster {
 public:
  EtcdCluster(HostIndex host, Network& network, EventQueue& queue, Random& random, Checker& checker,
              const TrueTime& now, int percent_late);

  // The answer comes as kEtcdAnswer, or in its place the end of the agent's patience; both with the request's tag.
  void ask(uint32_t agent, AgentId id, HostIndex from, uint64_t number, etcd::Request request);
  void arrives(uint64_t request);
  // Once for each request: which of the agent's it answers, and what. None when it was answered already.
  struct Answer {
    uint64_t number = 0;
    etcd::Outcome outcome;
  };
  std::optional<Answer> take(uint64_t tag);

  // It has no quorum until then.
  void be_away(TrueTime until);
  // Nothing is late or lost any more.
  void make_quiet();

  etcd::EtcdInMemory& keys() { return keys_; }

 private:
  struct Flight {
    uint32_t agent = kNone;
    AgentId id;
    HostIndex from = 0;
    uint64_t number = 0;
    etcd::Request request;
    etcd::Outcome answer;
    bool taken = false;
  };

  // None: it is lost.
  std::optional<Duration> way(HostIndex from, HostIndex to);
  void written(const std::string& key, const std::string& value);

  const HostIndex host_;
  const int percent_late_;  // of requests, and of answers
  Network& network_;
  EventQueue& queue_;
  Random& random_;
  Checker& checker_;
  const TrueTime& now_;
  etcd::EtcdInMemory keys_;
  std::vector<Flight> flights_;
  AgentId writer_;
  bool quiet_ = false;
  TrueTime away_until_{};
  bool was_away_ = false;
};

}  // namespace ferrun::sim
