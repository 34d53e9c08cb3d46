#include "launcher/io/node/round_store.h"

#include <unistd.h>

#include <utility>

#include "rendezvous/io/net/listener.h"

namespace ferrun {
namespace {

// Room for three lost packets of a handshake; the coordinator waits longer than that for an answer.
constexpr Duration kPatience = std::chrono::seconds(10);

}  // namespace

RoundStore::RoundStore(boost::asio::io_context& io, uint16_t port, PortRange range, Log log, Log warn)
    : io_(io), port_(port), range_(range), log_(std::move(log)), warn_(std::move(warn)) {}

RoundStore::~RoundStore() {
  if (dial_) dial_->cancel();
}

bool RoundStore::shares_port() const { return listener_ != nullptr && listener_->port() == port_; }

void RoundStore::leave_port() {
  if (port_ != 0) left_port_ = std::exchange(port_, 0);
}

void RoundStore::adopt(boost::asio::ip::tcp::socket socket, const boost::asio::ip::tcp::endpoint& peer,
                       std::string_view first) {
  if (!server_ || !shares_port()) return reset_connection(socket);
  server_->adopt(std::move(socket), peer, first);
}

Result<uint16_t> RoundStore::open(const std::vector<std::string>& admitted) {
  if (shares_port()) {
    StoreServerOptions options;
    options.port = port_;
    options.log = log_;
    server_ = StoreServer::without_listener(std::move(options));
    listener_->forget_store_clients();
  } else if (server_ && port_ != 0) {
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
  Result<std::unique_ptr<StoreServer>> opened = port_ == 0 && range_.given() ? listen_in_range() : listen(port_);
  if (opened && left_port_ != 0) {
    warn_("--master-port=" + std::to_string(left_port_) +
          " is the coordinator's, which another process of this machine hosts: MASTER_PORT of this round is " +
          std::to_string((*opened)->port()));
  }
  return opened;
}

Result<std::unique_ptr<StoreServer>> RoundStore::listen(uint16_t port) {
  StoreServerOptions options;
  options.port = port;
  options.log = log_;
  return StoreServer::listen(io_, std::move(options));
}

// Another place to begin for every process and round: two agents of one machine do not follow each other's steps, and
// a port that was left a moment ago comes last.
Result<std::unique_ptr<StoreServer>> RoundStore::listen_in_range() {
  const uint32_t count = uint32_t{range_.last} - range_.first + 1;
  const uint32_t begin = static_cast<uint32_t>(getpid()) * 7 + opened_++;
  std::string why;
  for (uint32_t step = 0; step < count; ++step) {
    Result<std::unique_ptr<StoreServer>> opened = listen(static_cast<uint16_t>(range_.first + (begin + step) % count));
    if (opened) return opened;
    why = opened.error().message;
  }
  return Error{ErrorKind::kPlatform, "no port of --port-range=" + std::to_string(range_.first) + "-" +
                                         std::to_string(range_.last) + " is free: " + why};
}

void RoundStore::reach(const std::vector<std::string>& addresses, uint16_t port, StoreDial::OnDone on_done) {
  if (dial_) dial_->cancel();
  dial_ = StoreDial::start(io_, addresses, port, kPatience, std::move(on_done));
}

}  // namespace ferrun
