// The part of a simulated agent that meets the others: the real hosting machine, and around it what its driver would
// do.
#include "tests/sim/agent.h"
#include "tests/sim/describe.h"

namespace ferrun::sim {
namespace {

using namespace std::chrono_literals;

constexpr Duration kHandshakeTimeout = 5s;
constexpr Duration kLookUpPause = 500ms;
constexpr Duration kSlowestLookUp = 20ms;

}  // namespace

// --- Where the coordinator is. ---

void Agent::tell_hosting(const HostingEvent& event) {
  facts_.push_back(event);
  if (std::exchange(telling_, true)) return;
  while (!facts_.empty() && running() && !parts_.checker.violation()) {
    HostingEvent heard = facts_.front();
    facts_.pop_front();
    if (parts_.mutant != nullptr && !parts_.mutant->hosting_hears(index_, heard)) continue;
    hosting_->step(heard, parts_.local(host()));
    for (const HostingEffect& effect : hosting_->take_effects()) {
      std::visit([this](const auto& what) { carry_out(what); }, effect);
    }
  }
  telling_ = false;
  plan_hosting_deadline();
}

void Agent::plan_hosting_deadline() {
  const std::optional<TimePoint> next = hosting_->next_deadline();
  parts_.checker.node_settled(index_, hosting_->done(), next, parts_.local(host()));
  if (next == planned_hosting_) return;
  planned_hosting_ = next;
  ++hosting_deadlines_;
  if (!next) return;
  const TrueTime due = std::max(parts_.now, parts_.clocks[host()].when(*next));
  parts_.queue.push_last(due + parts_.random.between(0ms, parts_.plan.slowest_timer), Happening::kHostingDeadline,
                         index_, hosting_deadlines_);
}

void Agent::hosting_deadline(uint64_t generation) {
  if (generation != hosting_deadlines_) return;
  planned_hosting_.reset();
  tell_hosting(HostingDeadline{});
}

void Agent::carry_out(const LookUpName&) {
  parts_.queue.push(parts_.now + parts_.random.between(0ms, kSlowestLookUp), Happening::kNameFound, index_);
}

void Agent::name_found() {
  NameFound found;
  found.own = {{parse_ip_address(address_of(host())).value(), "eth0"}};
  found.round_begun = hosting_->hosting() && parts_.round_begun();
  const HostIndex server = parts_.name_means();
  if (server == kNone) {
    found.error = "no address for this name";
  } else {
    found.addresses = {{parse_ip_address(address_of(server)).value(), server == host(), "eth0"}};
  }
  tell_hosting(found);
}

void Agent::carry_out(const HostCoordinator& effect) {
  if (parts_.host_coordinator(index_)) {
    if (seat_) publish_seat();
    facts_.emplace_back(HostingBegan{effect.election.listen});
  } else {
    const std::string where = to_string(effect.election.listen.front(), kEndpointPort);
    facts_.emplace_back(
        HostingFailed{HostingFailed::Why::kTaken, {ErrorKind::kPlatform, where + " is in use by another process"}});
  }
}

void Agent::carry_out(const StopCoordinator& effect) { parts_.stop_coordinator(index_, effect.signal); }

void Agent::carry_out(const HostingDone&) { parts_.ended.push_back(index_); }

// --- The connection to the coordinator. ---

void Agent::carry_out(const Dial&) { tell_hosting(DialWanted{}); }
void Agent::carry_out(const HangUp&) { tell_hosting(HangUpWanted{}); }
void Agent::carry_out(const LeaveJob& effect) { tell_hosting(EndAsked{effect.signal}); }

// An end of stream would say that the workers are gone.
void Agent::carry_out(const DialLink&) {
  if (connection_ != kNone) parts_.network.abort(parts_.now, connection_, Side::kClient);
  dialling_ = true;
  tried_.clear();
  dial();
}

HostIndex Agent::server_to_dial() const {
  if (seat_) return link_to_;
  return hosting_->hosting() ? host() : parts_.name_means();
}

void Agent::dial() {
  ++dials_;
  connected_ = false;
  connection_ = kNone;
  const HostIndex server = server_to_dial();
  if (server == kNone) {
    parts_.queue.push(parts_.now + kLookUpPause, Happening::kDialAgain, index_, dials_);
    return;
  }
  connection_ = parts_.network.open(parts_.now, index_, host(), server);
  parts_.queue.push(parts_.now + kHandshakeTimeout, Happening::kDialTimeout, index_, connection_);
}

std::string Agent::where() const {
  const HostIndex server = server_to_dial();
  return std::string(parts_.plan.coordinator.own_process ? "login" : "node0") + " (" +
         (server == kNone ? "no address" : address_of(server)) + "), port " + std::to_string(kEndpointPort);
}

void Agent::note(const std::string& tried) {
  if (tried == tried_) return;
  tried_ = tried;
  step(DialNote{tried, false});
}

void Agent::dial_again(uint64_t generation) {
  if (generation == dials_ && dialling_ && !connected_) dial();
}

void Agent::dial_times_out(ConnectionIndex connection) {
  if (connection != connection_ || connected_ || !dialling_) return;
  parts_.network.abort(parts_.now, connection, Side::kClient);
  if (parts_.mutant != nullptr && !parts_.mutant->dials_again()) return;
  dial();
  note(where() + ": no answer");
}

void Agent::reads(ConnectionIndex connection, Parcel parcel) {
  if (connection != connection_) return;
  const ConnectionId id = connection + 1;
  switch (parcel.kind) {
    case Parcel::Kind::kAccepted:
      parts_.network.send(parts_.now, connection, Side::kClient, Parcel{Parcel::Kind::kProof, parts_.now, {}});
      connected_ = has_reached_ = true;
      dialling_ = false;
      shared_ = !parts_.random.per_mille(parts_.plan.per_mille_unshared);
      if (!shared_ && parts_.trace.on()) say("cannot share its connection with its sentinel");
      tell_hosting(LinkReached{parts_.plan.coordinator_host == host()});
      return step(CoordinatorReached{id, where()});
    case Parcel::Kind::kRefused: return loses(connection, LossKind::kReset, "connection refused");
    case Parcel::Kind::kEnd: return loses(connection, LossKind::kEndOfStream, "it has closed the connection");
    case Parcel::Kind::kTold: {
      const Told& told = std::get<Told>(parcel.load);
      if (parts_.trace.messages() && !std::holds_alternative<HeartbeatAnswer>(*told)) say("<- " + describe(*told));
      return step(CoordinatorSaid{id, *told});
    }
    default: return;
  }
}

void Agent::loses(ConnectionIndex connection, LossKind kind, const std::string& why) {
  if (connection != connection_) return;
  if (connected_) {
    connected_ = false;
    if (parts_.trace.on()) say("loses the coordinator: " + why);
    parts_.network.abort(parts_.now, connection, Side::kClient);
    if (seat_) tell_hosting(LinkGone{});
    if (seat_ && parts_.mutant != nullptr && parts_.mutant->loss_is_refusal()) tell_hosting(LinkRefused{});
    return step(CoordinatorGone{connection + 1, kind, why});
  }
  if (!dialling_) return;
  if (seat_) tell_hosting(LinkRefused{});
  parts_.queue.push(parts_.now + parts_.random.between(100ms, 1s), Happening::kDialAgain, index_, dials_);
  note(where() + ": " + why);
}

// What was queued is on its way.
void Agent::carry_out(const HangUpLink&) {
  dialling_ = connected_ = false;
  if (connection_ != kNone) parts_.network.close(parts_.now, connection_, Side::kClient);
  facts_.emplace_back(LinkHungUp{});
}

// The sentinel holds no copy of the connection, which ends before the workers do: not in order, then, but by a reset,
// which proves nothing.
void Agent::end_unshared() {
  if (parts_.mutant != nullptr && parts_.mutant->unshared_ends_in_order()) {
    parts_.network.close(parts_.now, connection_, Side::kClient);
  } else {
    parts_.network.abort(parts_.now, connection_, Side::kClient);
  }
}

void Agent::carry_out(const TellCoordinator& effect) {
  if (!connected_) return;
  if (parts_.trace.messages() && !std::holds_alternative<Heartbeat>(effect.message))
    say("-> " + describe(effect.message));
  parts_.network.send(parts_.now, connection_, Side::kClient, Parcel{Parcel::Kind::kSaid, parts_.now, effect.message});
}

}  // namespace ferrun::sim
