#include "rendezvous/io/coordinator/coordinator_server.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <chrono>
#include <deque>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/io/clock.h"
#include "rendezvous/coordinator/coordinator_state_codec.h"
#include "rendezvous/io/coordinator/coordinator_peer.h"
#include "rendezvous/io/net/boot_timer.h"
#include "rendezvous/io/net/fifo_timeout.h"
#include "rendezvous/io/net/listener.h"
#include "rendezvous/io/net/random_bytes.h"
#include "rendezvous/io/net/socket_address.h"
#include "rendezvous/job/line_limiter.h"
#include "rendezvous/job/stall_filter.h"
#include "rendezvous/wire/message_codec.h"

namespace ferrun {

using boost::asio::ip::tcp;
using Peer = std::shared_ptr<CoordinatorPeer>;
using Phase = CoordinatorPeer::Phase;

namespace {

// For a peer to take its last messages and to end its side.
constexpr Duration kTimeToEnd = std::chrono::seconds(1);
constexpr Duration kRefusalPause = std::chrono::seconds(60);
// Handshakes at one time, beside those of all nodes of the job.
constexpr size_t kSpareHandshakes = 1024;

std::string with_clock(JobStatus status) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  status.clock_us = std::chrono::duration_cast<std::chrono::microseconds>(now).count();
  return to_json(status);
}

}  // namespace

struct CoordinatorServer::Impl final : SessionConnection::Owner, std::enable_shared_from_this<Impl> {
  Impl(boost::asio::io_context& io_context, Options options, Callbacks given)
      : io(io_context),
        most_handshakes(options.most_handshakes > 0
                            ? options.most_handshakes
                            : static_cast<size_t>(std::max(options.config.max_nodes, 0)) + kSpareHandshakes),
        secret(std::move(options.secret)),
        store(options.store),
        may_act(std::move(options.may_act)),
        callbacks(std::move(given)),
        machine(std::move(options.config), std::move(options.saved), boottime_now()),
        timer(io_context, [this] { time_has_come(); }),
        handshakes(io_context, kHandshakeTime, [this](ConnectionId id) { end_handshake(id); }),
        endings(io_context, kTimeToEnd, [this](ConnectionId id) { end_waiting(id); }) {}

  // --- connections ---

  void adopt(tcp::socket socket, const tcp::endpoint& from, std::string_view first) {
    if (closed || end) return reset_connection(socket);
    const ConnectionId id = ++last_id;
    const auto peer = std::make_shared<CoordinatorPeer>(
        std::move(socket), *this, id, to_string(ip_address_of(from.address())), secret, random_nonce());
    if (unproven.size() >= most_handshakes) end_handshake(*unproven.begin());
    peers.emplace(id, peer);
    unproven.insert(id);
    handshakes.add(id);
    if (!first.empty()) received(*peer, first);
    if (peer->open()) peer->start();
  }

  void received(SessionConnection& connection, std::string_view bytes) override {
    auto& peer = static_cast<CoordinatorPeer&>(connection);
    ++activity;
    now = boottime_now();
    peer.session.feed(bytes);
    for (bool more = true; more && peer.open() && peer.phase != Phase::kEnding;) {
      switch (peer.session.next(message, now, peer.outbox())) {
        case SessionOutcome::kNeedMore:
        case SessionOutcome::kWrapped: more = false; break;  // the latter is a client's
        case SessionOutcome::kAuthenticated: arrived(peer); break;
        case SessionOutcome::kMessage: said(peer); break;
        case SessionOutcome::kEnded: return end_session(peer);
      }
    }
    to_flush(peer);
    finish_turn();
  }

  void lost(SessionConnection& connection, LossKind kind, const std::string& why) override {
    auto& peer = static_cast<CoordinatorPeer&>(connection);
    ++activity;
    now = boottime_now();
    lose(peer, kind, why);
    finish_turn();
  }

  void arrived(CoordinatorPeer& peer) {
    unproven.erase(peer.id);
    peer.phase = peer.session.role() == SessionRole::kMember ? Phase::kMember : Phase::kAsking;
    if (peer.phase == Phase::kMember) deliver(PeerArrived{peer.id, peer.session.agent(), peer.address});
  }

  void said(CoordinatorPeer& peer) {
    if (callbacks.heard) callbacks.heard(message);
    if (peer.phase == Phase::kMember) return deliver(PeerSaid{peer.id, std::move(message)});
    if (const auto* request = std::get_if<StatusRequest>(&message)) {
      send(peer, encode(StatusReply{request->id, with_clock(machine.status(now))}));
    }
  }

  // The session ended itself: the peer broke a rule, or does not belong here.
  void end_session(CoordinatorPeer& peer) {
    const std::string& line = peer.session.end().line;
    if (peer.phase == Phase::kMember) {
      deliver(PeerLost{peer.id, LossKind::kLocal, line});
    } else if (refusals.may_say(peer.address + line, now)) {
      say({RendezvousLevel::kWarning, "refused a connection from " + peer.address + ": " + line});
    }
    finish(peer);
    finish_turn();
  }

  void lose(CoordinatorPeer& peer, LossKind kind, const std::string& why) {
    const bool is_member = peer.phase == Phase::kMember;
    const ConnectionId id = peer.id;
    forget(peer);
    if (is_member) deliver(PeerLost{id, kind, why});
  }

  void finish(CoordinatorPeer& peer) {
    if (!peer.open() || peer.phase == Phase::kEnding) return;
    unproven.erase(peer.id);
    peer.phase = Phase::kEnding;
    peer.finish();
    endings.add(peer.id);
  }

  void forget(CoordinatorPeer& peer) {
    unproven.erase(peer.id);
    peer.close();
    peers.erase(peer.id);
  }

  void end_handshake(ConnectionId id) {
    const auto entry = peers.find(id);
    if (entry != peers.end() && entry->second->phase == Phase::kHandshake) forget(*Peer(entry->second));
  }

  void end_waiting(ConnectionId id) {
    const auto entry = peers.find(id);
    if (entry != peers.end()) forget(*Peer(entry->second));
    tell_end();
  }

  // --- the machine ---

  void deliver(CoordinatorEvent event) {
    facts.push_back(std::move(event));
    if (delivering) return;
    delivering = true;
    while (!facts.empty()) {
      const CoordinatorEvent next = std::move(facts.front());
      facts.pop_front();
      if (may_act && !may_act()) continue;
      machine.step(next, now);
      carry_out_all();
    }
    delivering = false;
  }

  void carry_out_all() {
    for (const CoordinatorEffect& effect : machine.take_effects()) {
      std::visit([this](const auto& what) { carry_out(what); }, effect);
    }
  }

  void carry_out(const Tell& tell) {
    const auto entry = peers.find(tell.connection);
    if (entry != peers.end()) send(*entry->second, encode(tell.message));
  }

  void carry_out(const TellAll& tell) {
    const std::string encoded = encode(tell.message);
    for (const ConnectionId id : tell.connections) {
      const auto entry = peers.find(id);
      if (entry != peers.end()) send(*entry->second, encoded);
    }
  }

  void carry_out(const Disconnect& disconnect) {
    const auto entry = peers.find(disconnect.connection);
    if (entry != peers.end()) finish(*entry->second);
  }

  void carry_out(const SaveState& save) {
    if (store == nullptr) return facts.push_back(StateSaved{save.ticket, ""});
    store->save(encode_state(save.state), [weak = weak_from_this(), ticket = save.ticket](const std::string& error) {
      const auto self = weak.lock();
      if (!self || self->closed) return;
      self->now = boottime_now();
      self->deliver(StateSaved{ticket, error});
      self->finish_turn();
    });
  }

  void carry_out(const RendezvousSay& line) { say(line); }

  void carry_out(const CoordinatorDone& done) {
    end = done.end;
    for (const auto& [id, peer] : peers) finish(*peer);
  }

  void send(CoordinatorPeer& peer, const std::string& encoded) {
    if (!peer.session.authenticated() || peer.phase == Phase::kEnding) return;
    if (peer.overfull()) return cut_off(peer);
    peer.session.send(encoded, peer.outbox());
    peer.note_message(encoded.size());
    to_flush(peer);
  }

  void cut_off(CoordinatorPeer& peer) {
    if (peer.phase == Phase::kMember) {
      facts.push_back(PeerLost{peer.id, LossKind::kLocal, "it does not read what it is sent"});
    }
    peer.phase = Phase::kEnding;
    peer.reset();
    cut.push_back(peer.id);
  }

  // --- the end of a turn: what was decided leaves, in few packets; the timer is set ---

  void to_flush(CoordinatorPeer& peer) {
    if (peer.to_flush) return;
    peer.to_flush = true;
    flushes.push_back(peer.id);
  }

  void finish_turn() {
    for (const ConnectionId id : flushes) {
      const auto entry = peers.find(id);
      if (entry == peers.end()) continue;
      entry->second->to_flush = false;
      entry->second->flush();
    }
    flushes.clear();
    for (const ConnectionId id : cut) peers.erase(id);
    cut.clear();
    if (!judging) timer.set(machine.next_deadline());
    if (end) tell_end();
  }

  // After a stall of this process every agent looks silent. So first what has arrived meanwhile is heard.
  void time_has_come() {
    if (closed) return;
    judging = true;
    stall.drain(boottime_now());
    seen = activity;
    await_quiet_turn();
  }

  void await_quiet_turn() {
    boost::asio::post(io, [self = shared_from_this()] {
      if (!self->closed) self->judge();
    });
  }

  void judge() {
    now = boottime_now();
    if (!stall.turn_over(std::exchange(seen, activity) != activity, now)) return await_quiet_turn();
    judging = false;
    const std::optional<TimePoint> deadline = machine.next_deadline();
    if (deadline && *deadline <= now) deliver(CoordinatorDeadline{});
    finish_turn();
  }

  // --- the end ---

  void tell_end() {
    if (!end || !peers.empty() || !callbacks.done) return;
    boost::asio::post(io, [tell = std::exchange(callbacks.done, nullptr), self = shared_from_this()] {
      if (!self->closed) tell(*self->end);
    });
  }

  void close() {
    closed = true;
    callbacks = {};
    for (const auto& [id, peer] : peers) peer->close();
    peers.clear();
    timer.set(std::nullopt);
  }

  void say(const RendezvousSay& line) {
    if (callbacks.say) callbacks.say(line);
  }

  boost::asio::io_context& io;
  const size_t most_handshakes;
  std::shared_ptr<const JobSecret> secret;
  StateStore* const store;
  const std::function<bool()> may_act;
  Callbacks callbacks;
  CoordinatorMachine machine;
  TimePoint now{};

  std::unordered_map<ConnectionId, Peer> peers;
  std::set<ConnectionId> unproven;  // those whose handshake is not over; the oldest first
  ConnectionId last_id = 0;
  std::deque<CoordinatorEvent> facts;
  bool delivering = false;
  std::vector<ConnectionId> flushes;  // peers with something new in their outbox
  std::vector<ConnectionId> cut;      // peers whose connection was reset here
  std::optional<JobEnd> end;
  bool closed = false;  // the owner is gone

  BootTimer timer;
  bool judging = false;  // the time has come, and what had arrived is being heard
  StallFilter stall{kLoopStall, boottime_now()};
  uint64_t activity = 0;
  uint64_t seen = 0;  // of the activity, in the turn before

  FifoTimeout handshakes;
  FifoTimeout endings;
  LineLimiter refusals{kRefusalPause};
  MemberMessage message;
};

CoordinatorServer::CoordinatorServer(boost::asio::io_context& io, Options options, Callbacks callbacks)
    : impl_(std::make_shared<Impl>(io, std::move(options), std::move(callbacks))) {
  impl_->now = boottime_now();
  impl_->carry_out_all();
  impl_->finish_turn();
}

CoordinatorServer::~CoordinatorServer() { impl_->close(); }

void CoordinatorServer::adopt(tcp::socket socket, const tcp::endpoint& peer, std::string_view first) {
  impl_->adopt(std::move(socket), peer, first);
}

void CoordinatorServer::note_remains(AgentId agent, Remains remains) {
  impl_->now = boottime_now();
  impl_->deliver(RemainsFound{agent, remains});
  impl_->finish_turn();
}

void CoordinatorServer::stop(int signal) {
  impl_->now = boottime_now();
  impl_->deliver(CoordinatorStopped{signal});
  impl_->finish_turn();
}

const CoordinatorMachine& CoordinatorServer::machine() const { return impl_->machine; }
size_t CoordinatorServer::connection_count() const { return impl_->peers.size(); }

}  // namespace ferrun
