#include "launcher/io/node/hosting_driver.h"

#include <sys/socket.h>

#include <utility>

#include "common/io/clock.h"
#include "launcher/node/node_setup.h"
#include "rendezvous/io/net/local_addresses.h"
#include "rendezvous/io/net/socket_address.h"

namespace ferrun {
namespace {

// Whether the other end of the connection has an address of this machine.
bool ends_on_this_machine(int connection) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (getpeername(connection, reinterpret_cast<sockaddr*>(&address), &size) != 0) return false;
  const std::optional<IpAddress> peer = ip_address_of(reinterpret_cast<const sockaddr&>(address));
  return peer && found_here({*peer}, local_addresses()).front().here;
}

}  // namespace

HostingDriver::HostingDriver(boost::asio::io_context& io, CoordinatorHost::Options options, Callbacks callbacks)
    : io_(io),
      rendezvous_(options.rendezvous),
      secret_(options.secret),
      callbacks_(std::move(callbacks)),
      host_(io, options, host_callbacks()),
      resolver_(
          Resolver::make(io, rendezvous_.endpoint.host, [this](const NameAnswer& answer) { name_found(answer); })),
      machine_(hosting_config(rendezvous_, options.own_process), boottime_now()),
      timer_(io, [this] { deliver(HostingDeadline{}); }) {}

HostingDriver::~HostingDriver() { resolver_->stop(); }

CoordinatorHost::Callbacks HostingDriver::host_callbacks() {
  CoordinatorHost::Callbacks callbacks;
  callbacks.say = [this](LogLevel level, const std::string& line) { callbacks_.say(level, line); };
  callbacks.store_client = callbacks_.store_client;
  callbacks.done = [this](const JobEnd& end) { deliver(HostedJobEnded{end}); };
  return callbacks;
}

MemberLink::Callbacks HostingDriver::link_callbacks() {
  MemberLink::Callbacks callbacks;
  callbacks.reached = [this](const CoordinatorReached& fact) { reached(fact); };
  callbacks.gone = [this](const CoordinatorGone& fact) { callbacks_.tell(fact); };
  callbacks.said = [this](CoordinatorSaid fact) { callbacks_.tell(std::move(fact)); };
  callbacks.note = [this](const DialNote& fact) { callbacks_.tell(fact); };
  callbacks.share_connection = [this](int connection) { share_connection(connection); };
  callbacks.hung_up = [this] {
    callbacks_.forget_connection();
    deliver(LinkHungUp{});
  };
  return callbacks;
}

void HostingDriver::share_connection(int connection) {
  same_machine_ = ends_on_this_machine(connection);
  callbacks_.share_connection(connection);
}

void HostingDriver::reached(const CoordinatorReached& fact) {
  deliver(LinkReached{same_machine_});
  callbacks_.tell(fact);
}

// The machine says when the name is looked up again.
void HostingDriver::name_found(const NameAnswer& answer) {
  resolver_->stop();
  const std::vector<HostAddress> own = local_addresses();
  deliver(NameFound{found_here(answer.addresses, own), own, answer.error, host_.round_begun()});
}

// Carrying an effect out may bring the next fact at once.
void HostingDriver::deliver(HostingEvent event) {
  facts_.push_back(std::move(event));
  if (std::exchange(delivering_, true)) return;
  while (!facts_.empty()) {
    const HostingEvent next = std::move(facts_.front());
    facts_.pop_front();
    machine_.step(next, boottime_now());
    for (const HostingEffect& effect : machine_.take_effects()) {
      std::visit([this](const auto& what) { carry_out(what); }, effect);
    }
  }
  delivering_ = false;
  timer_.set(machine_.next_deadline());
}

void HostingDriver::carry_out(const LookUpName&) { resolver_->start(); }

void HostingDriver::carry_out(const HostCoordinator& effect) {
  const CoordinatorHost::Started started = host_.start(effect.election);
  if (std::holds_alternative<HostingBegan>(started)) callbacks_.share_port(host_.listener());
  std::visit([this](const auto& answer) { deliver(answer); }, started);
}

void HostingDriver::carry_out(const StopCoordinator& effect) { host_.stop(effect.signal); }

void HostingDriver::carry_out(const CloseCoordinator&) {
  callbacks_.share_port(nullptr);
  host_.close();
}

void HostingDriver::carry_out(const MakeLink& effect) {
  MemberLink::Options options;
  options.endpoint = rendezvous_.endpoint;
  options.here = effect.here;
  options.secret = secret_;
  options.unwrap = rendezvous_.unwrap_token;
  options.agent = rendezvous_.member.agent;
  link_ = std::make_unique<MemberLink>(io_, std::move(options), link_callbacks());
}

void HostingDriver::carry_out(const DialLink&) { link_->dial(); }
void HostingDriver::carry_out(const HangUpLink&) { link_->hang_up(); }
void HostingDriver::carry_out(const LeaveStorePort&) { callbacks_.leave_store_port(); }
void HostingDriver::carry_out(const Say& effect) { callbacks_.say(effect.level, effect.line); }
void HostingDriver::carry_out(const HostingDone& effect) { done_ = effect; }

}  // namespace ferrun
