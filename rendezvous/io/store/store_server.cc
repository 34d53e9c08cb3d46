#include "rendezvous/io/store/store_server.h"

#include <array>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <cstring>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>

#include "common/io/clock.h"
#include "rendezvous/io/net/listener.h"
#include "rendezvous/io/net/local_addresses.h"
#include "rendezvous/io/net/socket_address.h"
#include "rendezvous/io/store/store_connection.h"
#include "rendezvous/io/store/store_poll.h"
#include "rendezvous/store/silent_clients.h"
#include "rendezvous/store/store_machine.h"
#include "rendezvous/store/store_notices.h"

namespace ferrun {

using boost::asio::ip::tcp;

struct StoreServer::Impl final : StoreConnection::Owner, StorePoll::Owner {
  using Say = std::function<void(const std::string&)>;
  using Connections = std::unordered_map<StoreConnectionId, StoreConnection>;  // whose elements stay where they are

  explicit Impl(StoreServerOptions& options)
      : log(std::move(options.log)), warn(std::move(options.warn)), silent(options.patience) {}

  ~Impl() {
    close_all();
    if (listener) listener->close();
  }

  void accept(tcp::socket socket, const tcp::endpoint& peer, std::string_view first) {
    if (admitted && !admits(peer)) return reset_connection(socket);
    const StoreConnectionId id = ++last_id;
    if (!silence) silence.emplace(socket.get_executor());
    StoreConnection& connection = connections.try_emplace(id, std::move(socket), peer, id, *this).first->second;
    if (!connection.open()) {
      tell(StoreNotices::Kind::kListener, "store: cannot watch a connection: " + std::string(std::strerror(errno)));
      connections.erase(id);
      return;
    }
    silent.connected(id, monotonic_now());
    await_silence();
    if (!first.empty()) received(connection, first);
    gone.clear();
  }

  // --- who may come ---

  void admit_only(const std::vector<std::string>& addresses) {
    admitted.emplace();
    refused.clear();
    for (const std::string& text : addresses) {
      if (const std::optional<IpAddress> address = parse_ip_address(text)) admitted->insert(without_zone(*address));
    }
    knows_this_host = false;
  }

  void admit_this_host() {
    knows_this_host = true;
    for (const HostAddress& own : local_addresses()) admitted->insert(without_zone(own.ip));
  }

  // This host's addresses are asked for when they matter, which in most jobs of one node is never. It may have got
  // another one since; each stranger is looked at once.
  bool admits(const tcp::endpoint& peer) {
    const IpAddress address = ip_address_of(peer.address());
    if (is_loopback(address) || admitted->contains(without_zone(address))) return true;
    if (!knows_this_host) {
      admit_this_host();
      if (admitted->contains(without_zone(address))) return true;
    }
    if (refused.size() >= kToldAddresses || !refused.insert(address).second) return false;
    admit_this_host();
    if (admitted->contains(without_zone(address))) return refused.erase(address) > 0;
    tell(StoreNotices::Kind::kAddress, "store: refused a connection from " + to_string(address, peer.port()) +
                                           ": that is no address of the job's nodes");
    return false;
  }

  // --- who has not spoken ---

  // One wait at a time, for the first deadline; a handler that comes late finds nothing that is overdue.
  void await_silence() {
    const std::optional<TimePoint> deadline = silent.next_deadline();
    if (!deadline || (awaited && *awaited <= *deadline)) return;
    awaited = deadline;
    silence->expires_at(std::chrono::steady_clock::time_point(deadline->time_since_epoch()));
    silence->async_wait([this, server = std::weak_ptr<bool>(alive)](const boost::system::error_code& error) {
      if (error || server.expired()) return;
      awaited.reset();
      end_silence();
      gone.clear();
      await_silence();
    });
  }

  void end_silence() {
    for (const StoreConnectionId id : silent.take_overdue(monotonic_now())) {
      const auto entry = connections.find(id);
      if (entry == connections.end()) continue;
      // What it said waits to be read: this process stood still, not the client.
      if (entry->second.has_unread_bytes()) {
        silent.connected(id, monotonic_now());
        continue;
      }
      if (log) log("store: closed the connection of " + entry->second.peer() + ": it said nothing");
      drop(entry->second);
    }
  }

  // --- what they say ---

  void tell(StoreNotices::Kind kind, const std::string& line) {
    const std::optional<std::string> warning = warn ? notices.warning(kind, line, monotonic_now()) : std::nullopt;
    if (warning) {
      warn(*warning);
    } else if (log) {
      log(line);
    }
  }

  StorePoll& poll() override { return set; }

  void ready(StoreConnectionId id, uint32_t events) override {
    const auto entry = connections.find(id);
    if (entry != connections.end()) entry->second.ready(events);
    gone.clear();
  }

  std::span<char> read_buffer() override { return buffer; }

  void received(StoreConnection& connection, std::string_view bytes) override {
    const bool knew = connection.parser().greeted();
    connection.parser().feed(bytes);
    serve(connection);
    if (!knew && connection.parser().greeted()) {
      silent.settled(connection.id());
      ++seen;
    }
    // A flood of requests without answers, as of SET: its sender is not waiting. Letting it run on first makes fewer,
    // larger reads and spares it the price of waking this thread for every few.
    if (unanswered_in_a_row >= kFlood) set.rest();
  }

  void drained(StoreConnection& connection) override { serve(connection); }

  void lost(StoreConnection& connection) override { drop(connection); }

  // Carries out what the connection has asked for, until it has to send more or does not read its replies.
  void serve(StoreConnection& connection) {
    while (connection.open() && !connection.congested()) {
      const StoreParser::Outcome outcome = connection.parser().next(request);
      if (outcome == StoreParser::Outcome::kRequest) {
        machine.step(connection.id(), request, effects);
        unanswered_in_a_row = effects.all().empty() ? unanswered_in_a_row + 1 : 0;
        if (effects.has_close() || effects.byte_count() >= kFlushBytes) carry_out();
        continue;
      }
      carry_out();
      if (outcome == StoreParser::Outcome::kRefused && connection.open())
        refuse(connection, connection.parser().refusal());
      return;
    }
    carry_out();
    if (connection.open()) connection.parser().keep();
  }

  void carry_out() {
    for (const StoreEffects::Effect& effect : effects.all()) {
      const auto entry = connections.find(effect.connection);
      if (entry == connections.end()) continue;
      if (effect.close.empty()) {
        entry->second.send(effects.bytes_of(effect));
      } else {
        refuse(entry->second, effect.close);
      }
    }
    effects.clear();
  }

  void refuse(StoreConnection& connection, const std::string& why) {
    tell(StoreNotices::Kind::kConnection, "store: closed the connection of " + connection.peer() + ": " + why);
    drop(connection);
  }

  void drop(StoreConnection& connection) {
    machine.disconnect(connection.id());
    silent.settled(connection.id());
    connection.close();
    gone.push_back(connections.extract(connection.id()));
  }

  void close_all() {
    connections.clear();
    silent.clear();
  }

  void reset() {
    if (listener) listener->drop_backlog();
    close_all();
    machine = StoreMachine();
    seen = 0;
  }

  // Replies gathered before they are sent: enough for a burst of small ones, little beside a large one.
  static constexpr size_t kFlushBytes = 64 * 1024;
  // More requests at once than a client has that does anything but write.
  static constexpr int kFlood = 8;
  // Addresses whose refusal is told, so that a scan of the port does not fill the log.
  static constexpr size_t kToldAddresses = 64;

  Say log;
  Say warn;
  StoreNotices notices;
  std::shared_ptr<Listener> listener;  // none: connections are adopted
  uint16_t port = 0;
  std::optional<std::set<IpAddress>> admitted;  // none: everybody
  bool knows_this_host = false;                 // its addresses are among them
  std::set<IpAddress> refused;
  StorePoll set{*this};
  Connections connections;
  std::vector<Connections::node_type> gone;  // closed; until no function of theirs runs
  StoreConnectionId last_id = 0;
  SilentClients silent;
  std::optional<boost::asio::steady_timer> silence;  // made with the first connection
  std::optional<TimePoint> awaited;                  // by it
  std::shared_ptr<bool> alive = std::make_shared<bool>(true);
  size_t seen = 0;
  StoreMachine machine;
  StoreRequest request;
  StoreEffects effects;
  int unanswered_in_a_row = 0;
  std::array<char, 64 * 1024> buffer;
};

Result<std::unique_ptr<StoreServer>> StoreServer::listen(boost::asio::io_context& io, StoreServerOptions options) {
  auto impl = std::make_unique<Impl>(options);
  auto on_accept = [raw = impl.get()](tcp::socket socket, const tcp::endpoint& peer) {
    raw->accept(std::move(socket), peer, {});
  };
  auto on_trouble = [raw = impl.get()](const std::string& line) {
    raw->tell(StoreNotices::Kind::kListener, "store: " + line);
  };
  auto listener = Listener::listen(io, options.address, options.port, on_accept, on_trouble);
  if (!listener.ok()) return listener.error();
  impl->listener = std::move(*listener);
  impl->port = impl->listener->port();
  return std::unique_ptr<StoreServer>(new StoreServer(std::move(impl)));
}

std::unique_ptr<StoreServer> StoreServer::without_listener(StoreServerOptions options) {
  auto impl = std::make_unique<Impl>(options);
  impl->port = options.port;
  return std::unique_ptr<StoreServer>(new StoreServer(std::move(impl)));
}

void StoreServer::adopt(tcp::socket socket, const tcp::endpoint& peer, std::string_view first) {
  impl_->accept(std::move(socket), peer, first);
}

void StoreServer::admit_only(const std::vector<std::string>& addresses) { impl_->admit_only(addresses); }

StoreServer::StoreServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
StoreServer::~StoreServer() = default;

uint16_t StoreServer::port() const { return impl_->port; }

size_t StoreServer::connection_count() const { return impl_->connections.size(); }

size_t StoreServer::clients_seen() const { return impl_->seen; }

void StoreServer::reset() { impl_->reset(); }

}  // namespace ferrun
