#include "launcher/io/node/meeting_check.h"

#include <algorithm>
#include <utility>

#include "rendezvous/io/net/local_addresses.h"

namespace ferrun {

std::string problem_with_meeting(const std::string& host, const NameAnswer& answer,
                                 const std::vector<HostAddress>& own) {
  const std::string sent = "the workers are sent to " + host;
  if (answer.addresses.empty()) {
    return sent + " (--master-addr or --local-addr), which has no address: " + answer.error;
  }
  if (own.empty() || std::ranges::any_of(answer.addresses, is_unspecified)) return "";  // 0.0.0.0 leads here as well
  const std::vector<EndpointAddress> found = found_here(answer.addresses, own);
  if (std::ranges::any_of(found, [](const EndpointAddress& address) { return address.here; })) return "";
  if (std::ranges::all_of(answer.addresses, [](const IpAddress& address) { return is_loopback(address); })) {
    return sent + ", but the loopback interface of this machine is down (ip link set lo up)";
  }
  const std::string number = to_string(answer.addresses.front());
  return sent + (number == host ? "" : " (" + number + ")") +
         ", which is not this machine, where their store is: --nnodes is for a job with several nodes";
}

MeetingCheck::MeetingCheck(boost::asio::io_context& io, const std::string& host,
                           std::function<void(const std::string&)> warn, std::chrono::milliseconds patience) {
  const auto until = std::chrono::steady_clock::now() + patience;
  resolver_ = Resolver::make(io, host, [this, host, until, warn = std::move(warn)](const NameAnswer& answer) {
    if (answer.addresses.empty() && std::chrono::steady_clock::now() < until) return;  // asks again by itself
    resolver_->stop();
    const std::string problem = problem_with_meeting(host, answer, local_addresses());
    if (!problem.empty()) warn(problem);
  });
  resolver_->start();
}

MeetingCheck::~MeetingCheck() { resolver_->stop(); }

}  // namespace ferrun
