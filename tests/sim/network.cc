#include "tests/sim/network.h"

#include <utility>

namespace ferrun::sim {
namespace {

using namespace std::chrono_literals;

// A parcel's event carries: bit 0 the receiving side, bit 1 "it has landed", above them the wire's epoch.
constexpr uint64_t kLanded = 2;
uint64_t parcel_tag(Side to, uint32_t epoch) { return static_cast<uint64_t>(to) | uint64_t{epoch} << 2; }
uint32_t epoch_of(const Event& event) { return static_cast<uint32_t>(event.tag >> 2); }

}  // namespace

Network::Network(Config config, EventQueue& queue, Random& random)
    : distance_(config.distance),
      usual_distance_(std::move(config.distance)),
      up_(distance_.size(), true),
      loss_per_mille_(config.loss_per_mille),
      queue_(queue),
      random_(random) {}

HostIndex Network::host(ConnectionIndex connection, Side side) const {
  return connections_[connection].host[index(side)];
}

Duration Network::latency(HostIndex from, HostIndex to) {
  if (from == to) return 10us + Duration(static_cast<int64_t>(random_.below(90'000)));
  const Duration distance = distance_[from] + distance_[to];
  Duration latency =
      distance + Duration(static_cast<int64_t>(random_.below(static_cast<uint64_t>(distance.count()) + 1)));
  // Each loss costs a retransmission timeout, and they double.
  for (Duration timeout = 200ms; loss_per_mille_ > 0 && random_.per_mille(loss_per_mille_); timeout *= 2) {
    latency += timeout;
  }
  return latency;
}

bool Network::passes(HostIndex from, HostIndex to, Traffic traffic) const {
  for (const Cut& cut : cuts_) {
    if (traffic == Traffic::kAgents ? !cut.agents : !cut.workers) continue;
    if (cut.inside[from] && !cut.inside[to] && cut.outwards) return false;
    if (!cut.inside[from] && cut.inside[to] && cut.inwards) return false;
  }
  return true;
}

ConnectionIndex Network::open(TrueTime now, uint32_t agent, HostIndex client, HostIndex server) {
  const auto connection = static_cast<ConnectionIndex>(connections_.size());
  Connection& made = connections_.emplace_back();
  made.agent = agent;
  made.host = {client, server};
  send(now, connection, Side::kClient, Parcel{Parcel::Kind::kSyn, now, {}});
  return connection;
}

void Network::send(TrueTime now, ConnectionIndex connection, Side from, Parcel parcel) {
  Connection& c = connections_[connection];
  const Side to = other(from);
  if (c.end[index(from)] != End::kOpen && c.end[index(from)] != End::kOrphaned) return;
  Wire& wire = c.wire[index(to)];
  parcel.sent = now;
  wire.parcels.push_back(std::move(parcel));
  if (!wire.stuck) schedule(now, connection, to, latency(c.host[index(from)], c.host[index(to)]));
}

void Network::schedule(TrueTime now, ConnectionIndex connection, Side to, Duration latency) {
  Wire& wire = connections_[connection].wire[index(to)];
  wire.last = std::max(wire.last, now + latency);
  queue_.push(wire.last, Happening::kParcel, connection, parcel_tag(to, wire.epoch));
}

void Network::close(TrueTime now, ConnectionIndex connection, Side side) {
  End& end = connections_[connection].end[index(side)];
  if (end != End::kOpen && end != End::kOrphaned) return;
  send(now, connection, side, Parcel{Parcel::Kind::kEnd, now, {}});
  end = End::kClosed;
}

void Network::abort(TrueTime now, ConnectionIndex connection, Side side) {
  Connection& c = connections_[connection];
  End& end = c.end[index(side)];
  if (end != End::kOpen) return;
  end = End::kBroken;
  const Wire& wire = c.wire[index(other(side))];
  const HostIndex to = c.host[index(other(side))];
  if (wire.stuck || c.black || !passes(c.host[index(side)], to, Traffic::kAgents)) return;
  const TrueTime arrival = std::max(wire.last, now + latency(c.host[index(side)], to));
  queue_.push(arrival, Happening::kReset, connection, static_cast<uint64_t>(other(side)));
}

void Network::vanish(ConnectionIndex connection, Side side) {
  Connection& c = connections_[connection];
  if (c.end[index(side)] == End::kClosed || c.end[index(side)] == End::kBroken) return;
  c.end[index(side)] = End::kVanished;
  empty(c.wire[index(side)]);
}

void Network::orphan(ConnectionIndex connection, Side side) {
  End& end = connections_[connection].end[index(side)];
  if (end == End::kOpen) end = End::kOrphaned;
}

void Network::reset(TrueTime now, ConnectionIndex connection, std::optional<Side> only) {
  for (const Side side : {Side::kClient, Side::kServer}) {
    if (only && side != *only) continue;
    const Connection& c = connections_[connection];
    const Duration delay = latency(c.host[index(other(side))], c.host[index(side)]);
    queue_.push(now + delay, Happening::kReset, connection, static_cast<uint64_t>(side));
  }
}

void Network::blackhole(ConnectionIndex connection) { connections_[connection].black = true; }

void Network::heal(TrueTime now, uint32_t cut) {
  std::erase_if(cuts_, [&](const Cut& one) { return one.id == cut; });
  unstick(now);
}

void Network::heal_all(TrueTime now) {
  cuts_.clear();
  distance_ = usual_distance_;
  loss_per_mille_ = 0;
  unstick(now);
  for (ConnectionIndex i = 0; i < connections_.size(); ++i) {
    if (connections_[i].black) reset(now, i, std::nullopt);
  }
}

void Network::unstick(TrueTime now) {
  for (ConnectionIndex i = 0; i < connections_.size(); ++i) {
    Connection& c = connections_[i];
    for (const Side to : {Side::kClient, Side::kServer}) {
      Wire& wire = c.wire[index(to)];
      if (!wire.stuck || c.black || c.end[index(to)] == End::kVanished) continue;
      if (!passes(c.host[index(other(to))], c.host[index(to)], Traffic::kAgents)) continue;
      wire.stuck = false;
      const Duration retransmission = random_.between(0ms, 1s);
      for (size_t parcel = wire.landed; parcel < wire.waiting(); ++parcel) schedule(now, i, to, retransmission);
    }
  }
}

void Network::host_is_up(TrueTime now, HostIndex host) {
  up_[host] = true;
  for (ConnectionIndex i = 0; i < connections_.size(); ++i) {
    Connection& c = connections_[i];
    for (const Side side : {Side::kClient, Side::kServer}) {
      if (c.host[index(side)] != host || c.end[index(side)] != End::kVanished) continue;
      if (c.wire[index(side)].stuck) reset(now + random_.between(0ms, 1s), i, other(side));
    }
  }
}

bool Network::lands(TrueTime now, Event& event) {
  if (event.tag & kLanded) return true;
  const Side to = receiver(event);
  Connection& c = connections_[event.who];
  Wire& wire = c.wire[index(to)];
  if (wire.stuck || epoch_of(event) != wire.epoch) return false;
  const bool vanished = c.end[index(to)] == End::kVanished;
  if (vanished && up_[c.host[index(to)]]) {
    reset(now, event.who, other(to));
    return false;
  }
  if (vanished || c.black || !passes(c.host[index(other(to))], c.host[index(to)], Traffic::kAgents)) {
    hold(now, event.who, to);
    return false;
  }
  ++wire.landed;
  event.tag |= kLanded;
  return true;
}

void Network::hold(TrueTime now, ConnectionIndex connection, Side to) {
  Wire& wire = connections_[connection].wire[index(to)];
  wire.stuck = true;
  ++wire.epoch;
  if (std::exchange(wire.gives_up, true)) return;
  queue_.push(now + random_.between(8s, 20s), Happening::kTcpGivesUp, connection, static_cast<uint64_t>(other(to)));
}

std::optional<Parcel> Network::take(TrueTime now, const Event& event) {
  const Side to = receiver(event);
  Connection& c = connections_[event.who];
  Wire& wire = c.wire[index(to)];
  if (wire.landed == 0) return std::nullopt;
  --wire.landed;
  Parcel parcel = std::move(wire.parcels[wire.head++]);
  if (wire.head == wire.parcels.size()) {
    wire.parcels.clear();
    wire.head = 0;
  }
  if (c.end[index(to)] == End::kBroken && parcel.kind != Parcel::Kind::kEnd) reset(now, event.who, other(to));
  if (c.end[index(to)] != End::kOpen) return std::nullopt;
  if (parcel.kind == Parcel::Kind::kEnd || parcel.kind == Parcel::Kind::kRefused) c.end[index(to)] = End::kClosed;
  return parcel;
}

bool Network::breaks(const Event& event) {
  const Side side = receiver(event);
  Connection& c = connections_[event.who];
  if (event.what == Happening::kTcpGivesUp) {
    Wire& sent = c.wire[index(other(side))];
    sent.gives_up = false;
    if (!sent.stuck || sent.waiting() == sent.landed) return false;
  }
  End& end = c.end[index(side)];
  const bool news = end == End::kOpen;
  if (end == End::kOpen || end == End::kOrphaned) end = End::kBroken;
  empty(c.wire[index(side)]);
  return news;
}

void Network::empty(Wire& wire) {
  wire.parcels.clear();
  wire.head = wire.landed = 0;
  ++wire.epoch;
}

}  // namespace ferrun::sim
