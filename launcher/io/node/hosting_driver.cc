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

etcd::Client::Options etcd_servers(const EtcdConfig& config) {
  etcd::Client::Options options;
  options.servers = config.servers;
  options.user = config.user;
  options.password = config.password;
  options.tls = config.tls;
  return options;
}

}  // namespace

HostingDriver::HostingDriver(boost::asio::io_context& io, CoordinatorHost::Options options, Self self,
                             Callbacks callbacks)
    : io_(io),
      rendezvous_(options.rendezvous),
      secret_(options.secret),
      callbacks_(std::move(callbacks)),
      self_(std::move(self)),
      seat_(rendezvous_.etcd ? make_seat() : nullptr),
      host_(io, with_seat(options), host_callbacks()),
      resolver_(
          Resolver::make(io, rendezvous_.endpoint.host, [this](const NameAnswer& answer) { name_found(answer); })),
      machine_(hosting_config(rendezvous_, options.own_process), boottime_now()),
      timer_(io, [this] { deliver(HostingDeadline{}); }) {}

HostingDriver::~HostingDriver() { resolver_->stop(); }

void HostingDriver::start() {
  deliver(HostingDeadline{});
  if (seat_) seat_->start();
}

// --- the seat ---

CoordinatorHost::Options HostingDriver::with_seat(CoordinatorHost::Options options) {
  if (!seat_) return options;
  options.open_store = [this](StateOwner owner) {
    owner.path = "etcd";
    owner.is_private = true;
    return seat_->store(owner);
  };
  options.may_act = [this] { return seat_->valid(); };
  return options;
}

std::unique_ptr<etcd::Seat> HostingDriver::make_seat() {
  etcd::Seat::Callbacks callbacks;
  callbacks.won = [this] { deliver(SeatTaken{}); };
  callbacks.lost = [this](const std::string& why) { deliver(SeatGone{why}); };
  callbacks.found = [this](const etcd::SeatFound& found) { seat_found(found); };
  callbacks.trouble = [this](const etcd::Trouble& trouble) {
    callbacks_.say(trouble.over ? LogLevel::kInfo : LogLevel::kWarning, trouble.line);
    if (!trouble.over && !connection_) callbacks_.tell(DialNote{trouble.line, trouble.final});
  };
  return std::make_unique<etcd::Seat>(io_, seat_config(rendezvous_), etcd_servers(*rendezvous_.etcd),
                                      std::move(callbacks));
}

void HostingDriver::seat_found(const etcd::SeatFound& found) {
  const etcd::SeatHolder& holder = found.holder;
  SeatElsewhere elsewhere{{holder.host, holder.port}, {}, found.lease};
  for (const std::string& address : holder.addresses) {
    if (const auto parsed = parse_ip_address(address)) elsewhere.addresses.push_back(*parsed);
  }
  if (!elsewhere.addresses.empty() && holder.port != 0) deliver(elsewhere);
}

void HostingDriver::publish_seat() {
  seat_->publish(seat_holder(rendezvous_, self_.host, self_.addresses, host_.listener()->port()));
}

// --- the coordinator, here or elsewhere ---

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
  callbacks.gone = [this](const CoordinatorGone& fact) {
    connection_.reset();
    deliver(LinkGone{});
    callbacks_.tell(fact);
  };
  callbacks.said = [this](CoordinatorSaid fact) { callbacks_.tell(std::move(fact)); };
  callbacks.note = [this](const DialNote& fact) { callbacks_.tell(fact); };
  if (seat_) callbacks.refused = [this] { deliver(LinkRefused{}); };
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
  connection_ = fact.connection;
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
  if (std::holds_alternative<HostingBegan>(started)) {
    callbacks_.share_port(host_.listener());
    if (seat_) publish_seat();
  }
  std::visit([this](const auto& answer) { deliver(answer); }, started);
}

void HostingDriver::carry_out(const StopCoordinator& effect) { host_.stop(effect.signal); }

void HostingDriver::carry_out(const CloseCoordinator&) {
  callbacks_.share_port(nullptr);
  host_.close();
}

void HostingDriver::carry_out(const MakeLink& effect) {
  if (connection_ && seat_) {
    link_->dial();  // a connection that is given up must look like a reset
    callbacks_.tell(CoordinatorGone{*std::exchange(connection_, std::nullopt), LossKind::kReset,
                                    "another agent coordinates the job now"});
  }
  MemberLink::Options options;
  options.endpoint = effect.at.value_or(rendezvous_.endpoint);
  if (seat_ && !effect.at) options.endpoint = {self_.host, host_.listener()->port()};
  options.here = effect.here;
  options.secret = secret_;
  options.unwrap = rendezvous_.unwrap_token;
  options.agent = rendezvous_.member.agent;
  link_ = std::make_unique<MemberLink>(io_, std::move(options), link_callbacks());
}

void HostingDriver::carry_out(const DialLink&) { link_->dial(); }
void HostingDriver::carry_out(const HangUpLink&) { link_->hang_up(); }
void HostingDriver::carry_out(const WithdrawFromSeat&) { seat_->withdraw(); }
void HostingDriver::carry_out(const LeaveSeat&) {
  seat_->end(/*job_is_over=*/false, [] {});
}
void HostingDriver::carry_out(const HolderIsGone& effect) { seat_->holder_is_gone(effect.lease); }
void HostingDriver::carry_out(const LeaveStorePort&) { callbacks_.leave_store_port(); }
void HostingDriver::carry_out(const Say& effect) { callbacks_.say(effect.level, effect.line); }
void HostingDriver::carry_out(const HostingDone& effect) { done_ = effect; }

}  // namespace ferrun
