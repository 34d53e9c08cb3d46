#include "tests/sim/etcd_cluster.h"

#include <algorithm>
#include <utility>

#include "rendezvous/coordinator/coordinator_state_codec.h"
#include "rendezvous/etcd/seat_machine.h"

namespace ferrun::sim {
namespace {

using namespace std::chrono_literals;

constexpr Duration kPatience = 500ms;  // of whoever asks
constexpr Duration kLatest = 3s;
constexpr uint64_t kImpatience = 1;  // in an answer's tag

}  // namespace

EtcdCluster::EtcdCluster(HostIndex host, Network& network, EventQueue& queue, Random& random, Checker& checker,
                         const TrueTime& now, int percent_late)
    : host_(host),
      percent_late_(percent_late),
      network_(network),
      queue_(queue),
      random_(random),
      checker_(checker),
      now_(now) {
  keys_.on_put = [this](const std::string& key, const std::string& value) { written(key, value); };
}

// Agents may be parted while all of them reach etcd, and the other way round.
std::optional<Duration> EtcdCluster::way(HostIndex from, HostIndex to) {
  if (!network_.passes(from, to, Traffic::kWorkers)) return std::nullopt;
  const Duration latency = network_.latency(from, to);
  if (quiet_ || !random_.chance(percent_late_)) return latency;
  if (random_.chance(30)) return std::nullopt;
  return latency + random_.between(0ms, random_.chance(50) ? kPatience : kLatest);
}

void EtcdCluster::ask(uint32_t agent, AgentId id, HostIndex from, uint64_t number, etcd::Request request) {
  const uint64_t flight = flights_.size();
  flights_.push_back({agent, id, from, number, std::move(request), {}});
  // Behind an answer that is there at the same moment: who was stopped reads before it looks at the clock.
  queue_.push_last(now_ + kPatience, Happening::kEtcdAnswer, agent, flight * 2 + kImpatience);
  if (const auto takes = way(from, host_)) queue_.push(now_ + *takes, Happening::kEtcdRequest, agent, flight);
}

void EtcdCluster::arrives(uint64_t request) {
  Flight& flight = flights_[request];
  if (now_ < away_until_) {
    if (random_.chance(50)) queue_.push(away_until_, Happening::kEtcdRequest, flight.agent, request);
    return;
  }
  if (std::exchange(was_away_, false)) keys_.begin_leases_anew(away_until_.time_since_epoch());
  writer_ = flight.id;
  flight.answer = keys_.carry_out(flight.request, now_.time_since_epoch());
  if (const auto takes = way(host_, flight.from)) {
    queue_.push(now_ + *takes, Happening::kEtcdAnswer, flight.agent, request * 2);
  }
}

std::optional<EtcdCluster::Answer> EtcdCluster::take(uint64_t tag) {
  Flight& flight = flights_[tag / 2];
  if (std::exchange(flight.taken, true)) return std::nullopt;
  if (tag % 2 == 0) return Answer{flight.number, flight.answer};
  return Answer{flight.number, {etcd::Failure{etcd::Refusal::kNoAnswer, "did not answer in time"}, {}}};
}

void EtcdCluster::be_away(TrueTime until) {
  away_until_ = std::max(away_until_, until);
  was_away_ = true;
}

void EtcdCluster::make_quiet() {
  quiet_ = true;
  away_until_ = std::min(away_until_, now_);
}

void EtcdCluster::written(const std::string& key, const std::string& value) {
  if (key != std::string(kSeatPrefix) + "state") return;
  const auto* const seat = keys_.find(std::string(kSeatPrefix) + "seat");
  const auto holder = seat == nullptr ? std::nullopt : etcd::decode_holder(seat->value);
  if (!holder || holder->agent != to_string(writer_)) {
    checker_.fail("SeatedWrites", "agent " + to_string(writer_) + " writes the state without the seat");
  }
  const Result<CoordinatorState> state = decode_state(value);
  if (!state) return checker_.fail("SeatedWrites", "what was written is no state: " + state.error().message);
  const auto* const written = keys_.find(key);
  checker_.state_in_etcd(*state, written->created == written->changed);
}

}  // namespace ferrun::sim
