// An agent's way to the coordinator: finds it, keeps one authenticated connection to it, and tells what was tried while
// there is none. Also for whoever only asks for the status.
//
// All addresses of the endpoint are dialled at once, again and again, until one has answered the handshake; the name is
// looked up until it resolves, and anew when none of its addresses answers.
//
// An end of the stream tells the coordinator that no worker of this node is left. So it is sent by hang_up() alone: a
// connection that is given up for a new one is reset.
//
// Ownership: owned by a driver, on the thread that runs `io`, as are all callbacks. None comes once it is gone.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/endpoint.h"
#include "common/result.h"
#include "rendezvous/io/net/resolver.h"
#include "rendezvous/job/ip_address.h"
#include "rendezvous/member/member_events.h"
#include "rendezvous/wire/session.h"

namespace ferrun {

// The token in it, or one line that says why it cannot be had.
using TokenUnwrap = std::function<Result<std::string>(const std::string& wrapped)>;

class MemberLink {
 public:
  struct Options {
    Endpoint endpoint;
    // Where the coordinator listens when this process hosts it: dialled in place of the endpoint's addresses.
    std::vector<IpAddress> here;
    std::shared_ptr<const JobSecret> secret;
    // The token is asked for wrapped, and this unwraps it: on a thread of its own, which it may hold up. Else empty.
    TokenUnwrap unwrap;
    SessionRole role = SessionRole::kMember;
    AgentId agent;
    std::optional<IpAddress> from;  // this end of the connection, for who needs more ports than one address has
    Resolver::LookUp look_up = ferrun::look_up;
  };

  struct Callbacks {
    std::function<void(const CoordinatorReached&)> reached;
    std::function<void(const CoordinatorGone&)> gone;
    std::function<void(CoordinatorSaid)> said;
    std::function<void(const DialNote&)> note;
    // Every address has refused the connection. May be empty.
    std::function<void()> refused;
    // Before reached(): a duplicate of the connection, for the sentinel, who closes it; -1 when no descriptor is left.
    // May be empty. Where there is one the connection is such that closing it is a reset (SO_LINGER with a time of 0)
    // until a sentinel changes that: if this process is killed while nobody else holds the connection, its end must not
    // look like the proof that no worker is left. hang_up() sends the end of the stream all the same.
    std::function<void(int fd)> share_connection;
    // After hang_up(): what was queued is sent and acknowledged by the coordinator's end, or given up after a second.
    std::function<void()> hung_up;
  };

  MemberLink(boost::asio::io_context& io, Options options, Callbacks callbacks);
  ~MemberLink();

  // Until reached(), or hang_up(). Resets a connection that there is.
  void dial();
  // Through the newest connection; dropped when there is none.
  void tell(const MemberMessage& message);
  // Sends what is queued, then the end of the stream; or ends the attempts. No gone() follows.
  void hang_up();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace ferrun
