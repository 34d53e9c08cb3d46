#include "rendezvous/io/coordinator/agent_listener.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <chrono>
#include <list>
#include <utility>

#include "common/printable_text.h"
#include "rendezvous/io/net/listener.h"
#include "rendezvous/io/net/session_connection.h"
#include "rendezvous/io/net/socket_address.h"
#include "rendezvous/wire/frame_codec.h"

namespace ferrun {

using boost::asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

namespace {

constexpr std::chrono::seconds kTimeToSpeak{5};
constexpr size_t kMostUndecided = 1024;
// Between two lines about strangers on the port.
constexpr std::chrono::seconds kStrangerPause{10};

AgentListener::Opened not_opened(const error_code& error, const tcp::endpoint& at) {
  const std::string where = to_string(ip_address_of(at.address()), at.port());
  if (error == boost::asio::error::address_in_use) {
    // By whom is not looked for: that takes long, and mostly it is another agent of the same job.
    return {AgentListener::Outcome::kTaken, nullptr, where + " is in use by another process"};
  }
  const bool elsewhere = error.value() == EADDRNOTAVAIL;
  return {elsewhere ? AgentListener::Outcome::kNotHere : AgentListener::Outcome::kRefused, nullptr,
          "cannot listen on " + where + ": " + error.message()};
}

// Of the first line.
std::string beginning_of(std::string_view bytes) {
  return printable(bytes.substr(0, std::min<size_t>(bytes.find_first_of("\r\n"), 16)));
}

bool cannot_listen_here(const error_code& error) {
  return error.value() == EAFNOSUPPORT || error.value() == EADDRNOTAVAIL || error.value() == EPROTONOSUPPORT;
}

}  // namespace

struct AgentListener::Impl : std::enable_shared_from_this<Impl> {
  // A connection whose first bytes do not tell yet who it is.
  struct Undecided {
    tcp::socket socket;
    tcp::endpoint peer;
    Clock::time_point until;
    uint64_t store_age;
    std::string first;
    std::list<std::shared_ptr<Undecided>>::iterator place;
    bool listed = true;
  };
  using Connection = std::shared_ptr<Undecided>;

  Impl(boost::asio::io_context& io_context, Callbacks given)
      : io(io_context), callbacks(std::move(given)), timer(io_context) {}

  // --- listening ---

  error_code listen_on(const tcp::endpoint& at) {
    error_code error;
    auto on_accept = [this](tcp::socket socket, const tcp::endpoint& peer) { accept(std::move(socket), peer); };
    if (auto listener = Listener::listen_on(io, at, on_accept, callbacks.log, error)) {
      watch_for_vanished_peer(listener->native_handle());
      port = listener->port();
      listeners.push_back(std::move(listener));
    }
    return error;
  }

  Opened listen(const HostElection& election, uint16_t wanted) {
    port = wanted;
    if (election.wildcard) return listen_everywhere();
    for (const IpAddress& address : election.listen) {
      const tcp::endpoint at = endpoint_of(address, port);
      const error_code error = listen_on(at);
      if (!error) {
        addresses.push_back(address);
      } else if (listeners.empty()) {
        return not_opened(error, at);
      } else {
        say(not_opened(error, at).why + "; agents have to reach this one by another address");
      }
    }
    return {listeners.empty() ? Outcome::kNotHere : Outcome::kListening, nullptr, ""};
  }

  Opened listen_everywhere() {
    tcp::endpoint at(tcp::v6(), port);
    error_code error = listen_on(at);
    if (error && cannot_listen_here(error)) {
      at = tcp::endpoint(tcp::v4(), port);
      error = listen_on(at);
    }
    if (error) return not_opened(error, at);
    addresses = {*parse_ip_address("127.0.0.1")};
    return {Outcome::kListening, nullptr, ""};
  }

  void close() {
    for (const auto& listener : listeners) listener->close();
    timer.cancel();
    while (!undecided.empty()) drop(undecided.front());
    callbacks = {};
  }

  // --- who is it ---

  void accept(tcp::socket socket, const tcp::endpoint& peer) {
    if (undecided.size() >= kMostUndecided) drop(undecided.front());
    const auto until = Clock::now() + kTimeToSpeak;
    undecided.push_back(std::make_shared<Undecided>(Undecided{std::move(socket), peer, until, new_age, "", {}}));
    undecided.back()->place = std::prev(undecided.end());
    if (undecided.size() == 1) await_time();
    read(undecided.back());
  }

  void await_bytes(const Connection& from) {
    from->socket.async_wait(tcp::socket::wait_read, [self = shared_from_this(), from](const error_code& error) {
      if (!error && from->listed) self->read(from);
    });
  }

  void read(const Connection from) {
    const ssize_t size = ::recv(from->socket.native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return await_bytes(from);
    if (size <= 0) return forget(from);
    std::string_view bytes(buffer.data(), static_cast<size_t>(size));
    if (!from->first.empty()) bytes = from->first.append(bytes);
    switch (caller_of(bytes)) {
      case Caller::kAgent: return hand_over(from, callbacks.agent, bytes);
      case Caller::kStoreClient:
        if (!callbacks.store_client || from->store_age != store_age) return drop(from);
        return hand_over(from, callbacks.store_client, bytes);
      case Caller::kNeither: return refuse(from, bytes);
      case Caller::kUndecided: break;
    }
    if (from->first.empty()) from->first = bytes;
    await_bytes(from);
  }

  void hand_over(const Connection& from, const OnConnection& to, std::string_view bytes) {
    forget(from);
    to(std::move(from->socket), from->peer, bytes);
  }

  void refuse(const Connection& from, std::string_view bytes) {
    const Clock::time_point now = Clock::now();
    if (!told_stranger || now - *told_stranger >= kStrangerPause) {
      told_stranger = now;
      say("closed a connection from " + to_string(ip_address_of(from->peer.address()), from->peer.port()) +
          ", which is no agent: it began with '" + beginning_of(bytes) + "'");
    }
    drop(from);
  }

  void drop(const Connection from) {
    reset_connection(from->socket);
    forget(from);
  }

  void forget(const Connection& from) {
    from->listed = false;
    undecided.erase(from->place);
  }

  // Those in the backlog have connected before now too.
  void forget_store_clients() {
    ++store_age;
    for (const auto& listener : listeners) listener->accept_waiting();
    new_age = store_age;
  }

  // All have the same time, so the oldest is the first whose time is over.
  void await_time() {
    timer.expires_at(undecided.front()->until);
    timer.async_wait([self = shared_from_this()](const error_code& error) {
      if (error) return;
      while (!self->undecided.empty() && self->undecided.front()->until <= Clock::now()) {
        self->drop(self->undecided.front());
      }
      if (!self->undecided.empty()) self->await_time();
    });
  }

  void say(const std::string& line) {
    if (callbacks.log) callbacks.log(line);
  }

  boost::asio::io_context& io;
  Callbacks callbacks;
  std::vector<std::shared_ptr<Listener>> listeners;
  std::vector<IpAddress> addresses;
  uint16_t port = 0;
  std::list<Connection> undecided;  // the oldest first
  boost::asio::steady_timer timer;
  uint64_t store_age = 0;  // grows when store clients are forgotten
  uint64_t new_age = 0;    // of connections that are accepted
  std::optional<Clock::time_point> told_stranger;
  std::array<char, 16 * 1024> buffer;
};

AgentListener::Opened AgentListener::open(boost::asio::io_context& io, const HostElection& election, uint16_t port,
                                          Callbacks callbacks) {
  auto impl = std::make_shared<Impl>(io, std::move(callbacks));
  Opened opened = impl->listen(election, port);
  if (opened.outcome == Outcome::kListening) opened.listener.reset(new AgentListener(std::move(impl)));
  return opened;
}

AgentListener::AgentListener(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
AgentListener::~AgentListener() { impl_->close(); }

uint16_t AgentListener::port() const { return impl_->port; }
const std::vector<IpAddress>& AgentListener::addresses() const { return impl_->addresses; }
size_t AgentListener::undecided() const { return impl_->undecided.size(); }

void AgentListener::forget_store_clients() { impl_->forget_store_clients(); }

}  // namespace ferrun
