#include "launcher/io/node/round_store.h"

#include <unistd.h>

#include <utility>

#include "rendezvous/io/net/listener.h"

namespace ferrun {
namespace {

// Room for three lost packets of a handshake; the coordinator waits longer than that for an answer.
constexpr Duration kPatience = std::chrono::seconds(10);

}  // namespace

RoundStore::RoundStore(boost::asio::io_context& io, Options options) : io_(io), options_(std::move(options)) {}

RoundStore::~RoundStore() {
  if (dial_) dial_->cancel();
}

std::optional<size_t> RoundStore::clients_seen() const {
  return server_ ? std::optional(server_->clients_seen()) : std::nullopt;
}

bool RoundStore::shares_port() const { return listener_ != nullptr && listener_->port() == options_.port; }

void RoundStore::leave_port() {
  if (options_.port != 0) left_port_ = std::exchange(options_.port, 0);
}

void RoundStore::adopt(boost::asio::ip::tcp::socket socket, const boost::asio::ip::tcp::endpoint& peer,
                       std::string_view first) {
  if (!server_ || !shares_port()) return reset_connection(socket);
  server_->adopt(std::move(socket), peer, first);
}

Result<uint16_t> RoundStore::open(const std::vector<std::string>& admitted) {
  if (shares_port()) {
    StoreServerOptions options;
    options.port = options_.port;
    options.log = options_.log;
    options.warn = options_.warn;
    server_ = StoreServer::without_listener(std::move(options));
    listener_->forget_store_clients();
  } else if (server_ && options_.port != 0) {
    server_->reset();
  } else {
    server_.reset();
    Result<std::unique_ptr<StoreServer>> opened = listen_anew();
    if (!opened) return opened.error();
    server_ = std::move(*opened);
  }
  server_->admit_only(admitted);
  return server_->port();
}

Result<std::unique_ptr<StoreServer>> RoundStore::listen_anew() {
  Result<std::unique_ptr<StoreServer>> opened =
      options_.port == 0 && options_.range.given() ? listen_in_range() : listen(options_.port);
  if (opened && left_port_ != 0) {
    options_.warn("--master-port=" + std::to_string(left_port_) +
                  " is the coordinator's, which another process of this machine hosts: MASTER_PORT of this round is " +
                  std::to_string((*opened)->port()));
  }
  return opened;
}

Result<std::unique_ptr<StoreServer>> RoundStore::listen(uint16_t port) {
  StoreServerOptions options;
  options.address = options_.address;
  options.port = port;
  options.log = options_.log;
  options.warn = options_.warn;
  return StoreServer::listen(io_, std::move(options));
}

// Another place to begin for every process and round: two agents of one machine do not follow each other's steps, and
// a port that was left a moment ago comes last.
Result<std::unique_ptr<StoreServer>> RoundStore::listen_in_range() {
  const uint32_t count = uint32_t{options_.range.last} - options_.range.first + 1;
  const uint32_t begin = static_cast<uint32_t>(getpid()) * 7 + opened_++;
  std::string why;
  for (uint32_t step = 0; step < count; ++step) {
    Result<std::unique_ptr<StoreServer>> opened =
        listen(static_cast<uint16_t>(options_.range.first + (begin + step) % count));
    if (opened) return opened;
    why = opened.error().message;
  }
  return Error{ErrorKind::kPlatform, "no port of --port-range=" + std::to_string(options_.range.first) + "-" +
                                         std::to_string(options_.range.last) + " is free: " + why};
}

void RoundStore::reach(const std::vector<std::string>& addresses, uint16_t port, StoreDial::OnDone on_done) {
  if (dial_) dial_->cancel();
  dial_ = StoreDial::start(io_, addresses, port, kPatience, std::move(on_done));
}

}  // namespace ferrun
