#include "rendezvous/io/etcd/etcd_client.h"

#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "rendezvous/io/etcd/tls.h"
#include "rendezvous/io/net/resolver.h"
#include "rendezvous/io/net/tcp_dial.h"

namespace ferrun::etcd {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

// Bigger than the state of a job of 10,000 nodes in base64.
constexpr uint64_t kMostBytes = 96 << 20;
// A password's hash is slow on purpose.
constexpr Duration kAuthenticationTime = std::chrono::seconds(5);
// A server that answers many agents at once has to sign for each of them.
constexpr Duration kHandshakeTime = std::chrono::seconds(1);

std::string http_text(const Endpoint& server, const Request& request, const std::string& token) {
  std::string text = "POST " + request.path + " HTTP/1.1\r\nHost: " + to_string(server) +
                     "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(request.body.size());
  if (!token.empty()) text += "\r\nAuthorization: " + token;
  return text + "\r\n\r\n" + request.body;
}

// One connection, which serves one request after the other.
struct Connection {
  explicit Connection(tcp::socket connected) : socket(std::move(connected)) {}

  void begin_answer() {
    parser.emplace();
    parser->eager(true);
    parser->body_limit(kMostBytes);
  }
  // What has arrived, as far as it makes sense. An error, or none when more is needed or it is complete.
  error_code feed(std::string_view bytes) {
    unread.append(bytes);
    while (!unread.empty() && !parser->is_done()) {
      error_code error;
      const size_t taken = parser->put(asio::buffer(unread), error);
      unread.erase(0, taken);
      if (error == http::error::need_more) return {};
      if (error) return error;
      if (taken == 0) return {};
    }
    return {};
  }

  void write(std::string text) {
    if (tls == nullptr) {
      outgoing = std::move(text);
      return;
    }
    tls->write(text);
    outgoing = tls->take_outgoing();
  }
  std::string plain(std::string_view bytes) { return tls == nullptr ? std::string(bytes) : tls->receive(bytes); }

  tcp::socket socket;
  std::unique_ptr<TlsStream> tls;  // none: without TLS
  std::string outgoing;
  std::array<char, 4096> incoming{};
  std::string unread;
  std::optional<http::response_parser<http::string_body>> parser;
  bool heard = false;  // something has come
  bool used = false;   // it has answered before: its server may have closed it since
};

}  // namespace

struct Client::Impl : std::enable_shared_from_this<Impl> {
  Impl(asio::io_context& io_context, Options given) : io(io_context), options(std::move(given)), timer(io_context) {}

  const Endpoint& server() const { return options.servers[current]; }

  // --- one request ---

  void ask(Request wanted, OnAnswer on_answer) {
    request = std::move(wanted);
    answer = std::move(on_answer);
    tries = 0;
    troubles.clear();
    authenticated_anew = false;
    hopeless = 0;
    if (options.tls && !tls) {
      Result<std::shared_ptr<const TlsContext>> made = TlsContext::make(*options.tls);
      if (!made) return finish({Failure{Refusal::kNoTls, made.error().message}, {}});
      tls = std::move(*made);
    }
    attempt();
  }

  void attempt() {
    addresses.clear();
    limit(options.attempt_time);
    if (connection) return send();
    resolver = Resolver::make(io, server().host, [weak = weak_from_this()](const NameAnswer& names) {
      if (const auto self = weak.lock()) self->resolved(names);
    });
    resolver->start();
  }

  void limit(Duration time) {
    timer.expires_after(time);
    timer.async_wait([weak = weak_from_this()](const error_code& error) {
      const auto self = weak.lock();
      if (!error && self) self->failed("did not answer in time");
    });
  }

  void resolved(const NameAnswer& names) {
    resolver->stop();
    if (names.addresses.empty()) return failed(names.error);
    addresses = names.addresses;
    dial();
  }

  void dial() {
    const IpAddress to = addresses.front();
    addresses.erase(addresses.begin());
    dialling = TcpDial::start(io, to, server().port, options.attempt_time,
                              [weak = weak_from_this()](const error_code& error, tcp::socket socket) {
                                const auto self = weak.lock();
                                if (!self) return;
                                self->dialling.reset();
                                if (error && !self->addresses.empty()) return self->dial();
                                if (error) return self->failed(dial_failure(error));
                                self->connected(std::move(socket));
                              });
  }

  void connected(tcp::socket socket) {
    connection = std::make_shared<Connection>(std::move(socket));
    if (tls) {
      connection->tls = std::make_unique<TlsStream>(tls, server().host);
      limit(kHandshakeTime);
    }
    send();
  }

  bool needs_token() const { return !options.user.empty() && token.empty(); }

  void send() {
    asks_token = needs_token();
    if (asks_token) limit(kAuthenticationTime);
    const auto& now = connection;
    now->write(http_text(server(), asks_token ? authenticate(options.user, options.password) : request, token));
    now->begin_answer();
    flush();
  }

  void flush() {
    const auto now = connection;
    asio::async_write(now->socket, asio::buffer(now->outgoing),
                      [weak = weak_from_this(), now](const error_code& error, size_t) {
                        const auto self = weak.lock();
                        if (!self || self->connection != now) return;
                        // Why a server by TLS has ended the connection may be there to be read.
                        if (error && !now->tls) return self->broken();
                        self->read();
                      });
  }

  void read() {
    const auto now = connection;
    now->socket.async_read_some(asio::buffer(now->incoming),
                                [weak = weak_from_this(), now](const error_code& error, size_t size) {
                                  const auto self = weak.lock();
                                  if (!self || self->connection != now) return;
                                  if (error) return self->broken();
                                  self->received({now->incoming.data(), size});
                                });
  }

  void received(std::string_view bytes) {
    const auto now = connection;
    now->heard = true;
    if (now->feed(now->plain(bytes))) return failed("does not speak HTTP");
    if (now->parser->is_done()) return arrived();
    if (!now->tls) return read();
    if (const TlsFailure& failure = now->tls->failure(); !failure.line.empty()) {
      return failed(failure.line, failure.final);
    }
    now->outgoing = now->tls->take_outgoing();
    if (now->outgoing.empty()) return read();
    flush();
  }

  void arrived() {
    const auto& response = connection->parser->get();
    const Outcome outcome = decode(response.result_int(), response.body());
    const bool stays = connection->parser->keep_alive();
    connection->used = true;
    if (!stays) connection.reset();
    judge(outcome);
  }

  void judge(const Outcome& outcome) {
    const Refusal refusal = outcome.failure ? outcome.failure->refusal : Refusal::kOther;
    if (asks_token && !outcome.failure) {
      token = outcome.reply.token;
      return attempt();
    }
    if (outcome.failure && refusal == Refusal::kNoQuorum) return failed(outcome.failure->line);
    if (outcome.failure && refusal == Refusal::kUnauthenticated && !token.empty() &&
        !std::exchange(authenticated_anew, true)) {
      token.clear();
      return attempt();
    }
    finish(outcome);
  }

  // --- what fails ---

  // A connection that its server has closed meanwhile says nothing about the server.
  void broken() {
    if (connection->used) {
      connection.reset();
      return attempt();
    }
    if (connection->tls) {
      connection->tls->ended();
      if (const TlsFailure failure = connection->tls->failure(); !failure.line.empty()) return failed(failure.line);
    }
    failed(connection->heard || connection->tls ? "ended the connection"
                                                : "ended the connection (does it want TLS, https://?)");
  }

  // `is_final`: another try with this server would be of no use.
  void failed(const std::string& why, bool is_final = false) {
    drop();
    hopeless += is_final ? 1 : 0;
    troubles += (troubles.empty() ? "" : ", ") + to_string(server()) + " " + why;
    current = (current + 1) % options.servers.size();
    if (++tries < options.servers.size()) return attempt();
    finish({Failure{hopeless == tries ? Refusal::kNoTls : Refusal::kNoAnswer, troubles}, {}});
  }

  void drop() {
    timer.cancel();
    if (resolver) resolver->stop();
    if (dialling) dialling->cancel();
    resolver.reset();
    dialling.reset();
    connection.reset();
  }

  // In a turn of its own: who is told may ask again at once.
  void finish(const Outcome& outcome) {
    timer.cancel();
    asio::post(io, [weak = weak_from_this(), outcome] {
      const auto self = weak.lock();
      if (self && self->answer) std::exchange(self->answer, nullptr)(outcome);
    });
  }

  void close() {
    answer = nullptr;
    drop();
  }

  asio::io_context& io;
  const Options options;
  asio::steady_timer timer;               // of the attempt
  std::shared_ptr<const TlsContext> tls;  // once it is needed
  size_t current = 0;                     // the server that is asked
  std::shared_ptr<Resolver> resolver;
  std::vector<IpAddress> addresses;  // of the server, that are not tried yet
  std::shared_ptr<TcpDial> dialling;
  std::shared_ptr<Connection> connection;
  std::string token;
  Request request;
  OnAnswer answer;
  bool asks_token = false;
  bool authenticated_anew = false;
  size_t tries = 0;
  size_t hopeless = 0;   // of them
  std::string troubles;  // of this request, server by server
};

Client::Client(asio::io_context& io, Options options) : impl_(std::make_shared<Impl>(io, std::move(options))) {}
Client::~Client() { impl_->close(); }
void Client::ask(Request request, OnAnswer on_answer) { impl_->ask(std::move(request), std::move(on_answer)); }

}  // namespace ferrun::etcd
