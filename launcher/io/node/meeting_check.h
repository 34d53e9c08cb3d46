// Whether the workers of a one-node job can reach their store, which is on this machine, by the address that they are
// given: a name may be unknown or be another machine's. Workers try it for minutes and say nothing meanwhile.
//
// Ownership: the driver's. Thread rule: the thread that runs `io`; the look-up itself holds up nobody.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "rendezvous/io/net/resolver.h"
#include "rendezvous/job/ip_address.h"

namespace ferrun {

// Empty where nothing is wrong, or the kernel does not tell its addresses (`own`).
std::string problem_with_meeting(const std::string& host, const NameAnswer& answer,
                                 const std::vector<HostAddress>& own);

class MeetingCheck {
 public:
  // `warn` is called at most once, from the loop. A name may become known a little after the job's start: `patience` is
  // how long it has for that.
  MeetingCheck(boost::asio::io_context& io, const std::string& host, std::function<void(const std::string&)> warn,
               std::chrono::milliseconds patience = std::chrono::seconds(5));
  ~MeetingCheck();

 private:
  std::shared_ptr<Resolver> resolver_;
};

}  // namespace ferrun
