// How an agent meets the others of its job: the hosting machine with what it decides about, which are the coordinator
// that this agent hosts, the link to it or to another one, and the look-ups of the endpoint's name. It carries out and
// translates; `ferrun coordinator` has one too, without a link.
//
// Ownership: owned by a driver. Thread rule: all calls and callbacks on the thread that runs `io`; none comes once it
// is gone.
#pragma once

#include <boost/asio/io_context.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "launcher/io/node/coordinator_host.h"
#include "launcher/node/hosting_machine.h"
#include "launcher/node/node_events.h"
#include "rendezvous/io/etcd/etcd_seat.h"
#include "rendezvous/io/member/member_link.h"
#include "rendezvous/io/net/boot_timer.h"
#include "rendezvous/io/net/resolver.h"

namespace ferrun {

class HostingDriver {
 public:
  struct Callbacks {
    std::function<void(LogLevel, const std::string&)> say;
    // What the link tells: CoordinatorReached, CoordinatorGone, CoordinatorSaid, DialNote. The link's callbacks of the
    // same names; empty without a link.
    std::function<void(NodeEvent)> tell;
    std::function<void(int fd)> share_connection;
    std::function<void()> forget_connection;
    AgentListener::OnConnection store_client;
    // The listener whose port a store may share, while this process has it; null: no longer.
    std::function<void(AgentListener*)> share_port;
    std::function<void()> leave_store_port;
  };

  // `self`: how the others of the job call and reach this machine.
  struct Self {
    std::string host;
    std::vector<std::string> addresses;  // numeric, the preferred one first
  };
  HostingDriver(boost::asio::io_context& io, CoordinatorHost::Options options, Self self, Callbacks callbacks);
  ~HostingDriver();

  // Begins the first election.
  void start();

  // What the node machine asks for.
  void dial() { deliver(DialWanted{}); }
  void hang_up() { deliver(HangUpWanted{}); }
  void tell(const TellCoordinator& message) { link_->tell(message.message); }  // only once it was reached
  void leave(int signal) { deliver(EndAsked{signal}); }
  void node_ended(bool abandoned) { deliver(NodeEnded{abandoned}); }

  // Once set, nothing more is to be waited for.
  const std::optional<HostingDone>& done() const { return done_; }

 private:
  CoordinatorHost::Options with_seat(CoordinatorHost::Options options);
  CoordinatorHost::Callbacks host_callbacks();
  MemberLink::Callbacks link_callbacks();
  void deliver(HostingEvent event);
  void name_found(const NameAnswer& answer);
  void reached(const CoordinatorReached& fact);
  void share_connection(int connection);
  std::unique_ptr<etcd::Seat> make_seat();
  void seat_found(const etcd::SeatFound& found);
  void publish_seat();

  void carry_out(const LookUpName& effect);
  void carry_out(const HostCoordinator& effect);
  void carry_out(const StopCoordinator& effect);
  void carry_out(const CloseCoordinator& effect);
  void carry_out(const MakeLink& effect);
  void carry_out(const DialLink& effect);
  void carry_out(const HangUpLink& effect);
  void carry_out(const WithdrawFromSeat& effect);
  void carry_out(const LeaveSeat& effect);
  void carry_out(const HolderIsGone& effect);
  void carry_out(const LeaveStorePort& effect);
  void carry_out(const Say& effect);
  void carry_out(const HostingDone& effect);

  boost::asio::io_context& io_;
  const RendezvousConfig rendezvous_;
  std::shared_ptr<const JobSecret> secret_;
  Callbacks callbacks_;
  const Self self_;
  std::unique_ptr<etcd::Seat> seat_;  // null: the endpoint's address says who hosts
  CoordinatorHost host_;
  std::shared_ptr<Resolver> resolver_;
  std::unique_ptr<MemberLink> link_;
  HostingMachine machine_;
  BootTimer timer_;
  std::deque<HostingEvent> facts_;
  bool delivering_ = false;
  std::optional<ConnectionId> connection_;  // of the link, while it is up
  bool same_machine_ = false;               // the newest connection's other end
  std::optional<HostingDone> done_;
};

}  // namespace ferrun
