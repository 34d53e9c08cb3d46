// A hosting machine with a clock of its own; its effects as text. This host has 10.0.0.1, and loopback.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "launcher/node/hosting_machine.h"

namespace ferrun {

class HostingStory {
 public:
  explicit HostingStory(HostingConfig config = plain()) : machine(std::move(config), now) {}

  static HostingConfig plain() {
    HostingConfig config;
    config.endpoint = {"node0", 29400};
    config.job_id = "fer";
    config.join_timeout = std::chrono::minutes(10);
    config.close_timeout = std::chrono::seconds(30);
    return config;
  }
  // Of static ranks, as --node-rank, --master-addr and --master-port give them.
  static HostingConfig ranked(int rank) {
    HostingConfig config = plain();
    config.endpoint = {"node0", 29500};
    config.store_port = 29500;
    config.node_rank = rank;
    return config;
  }
  static HostingConfig by_seat() {
    HostingConfig config = plain();
    config.by_seat = true;
    return config;
  }
  static HostingConfig alone() {
    HostingConfig config = plain();
    config.own_process = true;
    return config;
  }

  void step(const HostingEvent& event) { machine.step(event, now); }
  void found(const std::vector<std::string>& addresses, bool round_begun = false) {
    NameFound name;
    for (const std::string& text : addresses) {
      const IpAddress ip = parse_ip_address(text).value();
      const bool here = is_loopback(ip) || text == "10.0.0.1";
      name.addresses.push_back({ip, here, here ? "eth0" : ""});
    }
    name.own = {{parse_ip_address("127.0.0.1").value(), "lo"}, {parse_ip_address("10.0.0.1").value(), "eth0"}};
    if (addresses.empty()) name.error = "Name or service not known";
    name.round_begun = round_begun;
    step(name);
  }
  void elsewhere(const std::string& address, int64_t lease = 1) {
    step(SeatElsewhere{{"node1", 4000}, {parse_ip_address(address).value()}, lease});
  }
  void hosts() { step(HostingBegan{{parse_ip_address("10.0.0.1").value()}}); }
  void taken() { step(HostingFailed{HostingFailed::Why::kTaken, {ErrorKind::kPlatform, "10.0.0.1:29400 is in use"}}); }
  void reached(bool same_machine = false) { step(LinkReached{same_machine}); }

  // To a nanosecond before the next deadline, and to it. How long that took.
  Duration wait() {
    const TimePoint since = now;
    const std::optional<TimePoint> next = machine.next_deadline();
    if (!next) return Duration(-1);
    now = *next - Duration(1);
    step(HostingDeadline{});
    early = effects();
    now = *next;
    step(HostingDeadline{});
    return now - since;
  }

  // Everything since the last call.
  std::vector<std::string> effects() {
    std::vector<std::string> texts;
    for (const HostingEffect& effect : machine.take_effects()) {
      texts.push_back(std::visit([this](const auto& what) { return describe(what); }, effect));
    }
    return texts;
  }

  TimePoint now{std::chrono::seconds(1000)};
  HostingMachine machine;
  std::vector<std::string> early;  // effects of a deadline that was not due
  std::optional<HostingDone> done;

 private:
  std::string describe(const LookUpName&) { return "look up"; }
  std::string describe(const HostCoordinator&) { return "host"; }
  std::string describe(const StopCoordinator& stop) { return "stop " + std::to_string(stop.signal); }
  std::string describe(const CloseCoordinator&) { return "close"; }
  std::string describe(const MakeLink& link) { return link.here.empty() ? "link" : "link " + to_string(link.here[0]); }
  std::string describe(const DialLink&) { return "dial"; }
  std::string describe(const HangUpLink&) { return "hang up"; }
  std::string describe(const WithdrawFromSeat&) { return "withdraw"; }
  std::string describe(const LeaveSeat&) { return "leave seat"; }
  std::string describe(const HolderIsGone& gone) { return "gone " + std::to_string(gone.lease); }
  std::string describe(const LeaveStorePort&) { return "leave store port"; }
  std::string describe(const Say& said) { return said.line; }
  std::string describe(const HostingDone& what) {
    done = what;
    return "done";
  }
};

}  // namespace ferrun
