// Several seat machines and an etcd in memory, on a clock of their own: requests are late, lost and doubled, agents
// stand still, and after each step what must hold is checked. One seed is one history.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "rendezvous/etcd/seat_machine.h"

namespace ferrun::etcd {

// A mistake that the checks have to see.
enum class SeatMutant {
  kNone,
  kNoSeatFence,    // etcd does not compare the seat's revision
  kNoStateFence,   // nor the state's
  kNoOwnClock,     // an agent acts for as long as nobody has told it that it lost the seat
  kLeaseFromReply  // and counts a lease from the answer on
};

class SeatModel {
 public:
  SeatModel(uint64_t seed, SeatMutant mutant, size_t agents = 3);
  ~SeatModel();

  void run(int steps);

  const std::string& broken() const { return broken_; }  // what did not hold; empty: all did
  int wins() const { return wins_; }
  int saves() const { return saves_; }

 private:
  struct Agent;
  struct Flight;
  struct Key {
    std::string value;
    int64_t created = 0;
    int64_t changed = 0;
    int64_t lease = 0;
  };

  void step();
  void send(size_t agent, const Ask& ask);
  void arrive(Flight& flight);
  void take_effects(size_t agent);
  bool acts(const Agent& agent) const;
  void check();
  void fail(const std::string& what) {
    if (broken_.empty()) broken_ = what;
  }

  // --- etcd ---
  void expire_leases();
  Outcome carry_out(const Request& request);
  void put(const std::string& key, const std::string& value, int64_t lease);

  size_t pick(size_t below) { return std::uniform_int_distribution<size_t>(0, below - 1)(random_); }
  bool chance(double share) { return std::bernoulli_distribution(share)(random_); }

  std::mt19937_64 random_;
  const SeatMutant mutant_;
  TimePoint now_{std::chrono::seconds(1000)};
  std::vector<std::unique_ptr<Agent>> agents_;
  std::vector<Flight> flights_;
  std::map<std::string, Key> keys_;
  std::map<int64_t, std::pair<TimePoint, int64_t>> leases_;  // their ends, their seconds
  int64_t revision_ = 1;
  int64_t last_lease_ = 0;
  int newest_term_ = 0;    // of all states that were written,
  int newest_number_ = 0;  // and its number in the term
  int wins_ = 0;
  int saves_ = 0;
  std::string broken_;
};

}  // namespace ferrun::etcd
