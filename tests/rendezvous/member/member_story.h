// A member machine with a clock of its own; its effects as text, so that a test reads like the story it tells.
#pragma once

#include <csignal>
#include <string>
#include <vector>

#include "rendezvous/member/member_machine.h"

namespace ferrun {

class MemberStory {
 public:
  explicit MemberStory(MemberConfig config = plain()) : machine(std::move(config), now) {}

  static MemberConfig plain() {
    MemberConfig config;
    config.agent = {7};
    config.host = "node1";
    config.addresses = {"10.0.0.2"};
    config.workers = 2;
    config.endpoint = "node0:29400";
    return config;
  }

  static Welcome hosted() { return {1, false, std::chrono::seconds(5), std::chrono::seconds(1), "launch", false}; }
  static Welcome alone() { return {1, true, std::chrono::seconds(60), std::chrono::seconds(1), "launch", false}; }

  // Node 1 of 2, with 2 workers each.
  static Assignment second_of_two(uint64_t number, uint64_t incarnation = 1) {
    return {{incarnation, number}, 1, 2, 2, 4, 2, 4, 0};
  }

  void step(const MemberEvent& event) { machine.step(event, now); }
  void hear(const CoordinatorMessage& message) { step(CoordinatorSaid{connection, message}); }
  void reach() {
    step(CoordinatorReached{++connection, "node0 (10.0.0.1)"});
    take();
  }
  void lose(LossKind kind) { step(CoordinatorGone{connection, kind, "end of stream"}); }
  void join(const Welcome& welcome = hosted()) {
    reach();
    hear(welcome);
    effects();
  }

  // From Prepare to running workers.
  void run_round(uint64_t number, uint64_t incarnation = 1) {
    const RoundId round{incarnation, number};
    hear(Prepare{second_of_two(number, incarnation), false, {}});
    hear(DialStore{round, {"10.0.0.1"}, 4000});
    step(StoreAnswered{round, "10.0.0.1"});
    hear(Go{round, "all are there"});
    effects();
  }

  // Steps to every deadline up to now + `duration`, answering heartbeats when told to.
  void pass(Duration duration, bool answered = true) {
    const TimePoint until = now + duration;
    while (machine.next_deadline() && *machine.next_deadline() <= until) {
      now = std::max(now, *machine.next_deadline());
      step(MemberDeadline{});
      take();
      if (answered) answer_heartbeats();
    }
    now = until;
  }

  void answer_heartbeats() {
    for (const uint64_t number : std::exchange(unanswered_, {})) hear(HeartbeatAnswer{number});
    take();
  }

  // Everything since the last call, heartbeats and extensions of the lease left out.
  std::vector<std::string> effects() {
    take();
    return std::exchange(texts_, {});
  }

  TimePoint now{std::chrono::seconds(1000)};
  ConnectionId connection = 0;
  MemberMachine machine;
  std::vector<LocalFailure> last_failures;
  std::optional<Join> last_join;
  std::optional<JobEnd> end;
  std::optional<TimePoint> held;

 private:
  void take() {
    for (const MemberEffect& effect : machine.take_effects()) {
      std::string text = std::visit([this](const auto& what) { return describe(what); }, effect);
      if (!text.empty()) texts_.push_back(std::move(text));
    }
  }

  std::string describe(const Dial&) { return "dial"; }
  std::string describe(const HangUp&) { return "hang up"; }
  std::string describe(const TellCoordinator& told) {
    return std::visit([this](const auto& message) { return tell(message); }, told.message);
  }
  std::string describe(const OpenStore& open) { return "open store " + to_string(open.round); }
  std::string describe(const ReachStore& reach) {
    return "reach store " + to_string(reach.round) + " at " + reach.addresses.front() + ":" +
           std::to_string(reach.port);
  }
  std::string describe(const CloseStore&) { return "close store"; }
  std::string describe(const StartWorkers& start) {
    return "start " + to_string(start.assignment.round) + " with " + start.store.host + ":" +
           std::to_string(start.store.port);
  }
  std::string describe(const StopWorkers& stop) {
    constexpr const char* kKinds[] = {"failure", "membership", "end", "loss"};
    return "stop " + to_string(stop.round) + " (" + kKinds[static_cast<int>(stop.kind)] + ", " +
           signal_name(stop.signal) + ")";
  }
  std::string describe(const KillWorkers& kill) { return "kill " + to_string(kill.round); }
  std::string describe(const HoldLease& hold) {
    const bool first = !held && hold.until;
    held = hold.until;
    if (first) return "hold lease";
    return hold.until ? "" : "no lease";
  }
  std::string describe(const ShowStatus& show) { return "status " + std::to_string(show.id) + ": " + show.json; }
  std::string describe(const RendezvousSay& say) { return "say: " + say.line; }
  std::string describe(const MemberDone& done) {
    end = done.end;
    return "done " + std::to_string(done.end.exit_status);
  }

  std::string tell(const Join& join) {
    last_join = join;
    return "tell Join";
  }
  std::string tell(const Heartbeat& heartbeat) {
    unanswered_.push_back(heartbeat.number);
    return "";
  }
  std::string tell(const Prepared& prepared) {
    std::string text = "tell Prepared " + to_string(prepared.round);
    for (const std::string& address : prepared.store_addresses) text += " " + address;
    return text + (prepared.store_port == 0 ? "" : ":" + std::to_string(prepared.store_port));
  }
  std::string tell(const NotPrepared& not_prepared) {
    return "tell NotPrepared " + to_string(not_prepared.round) + ": " + not_prepared.reason;
  }
  std::string tell(const StoreReached& reached) {
    return "tell StoreReached " + to_string(reached.round) + " " + reached.address;
  }
  std::string tell(const WorkerSucceeded& told) { return "tell WorkerSucceeded " + to_string(told.round); }
  std::string tell(const NodeFinished& told) { return "tell NodeFinished " + to_string(told.round); }
  std::string tell(const NodeFailed& told) {
    last_failures = told.failures;
    return "tell NodeFailed " + to_string(told.round);
  }
  std::string tell(const StopAcknowledged& told) {
    last_failures = told.failures;
    return "tell StopAcknowledged " + to_string(told.round) + " with " + std::to_string(told.failures.size());
  }
  std::string tell(const NodeReaped& told) { return "tell NodeReaped " + to_string(told.round); }
  std::string tell(const Goodbye& goodbye) { return "tell Goodbye: " + goodbye.reason; }
  std::string tell(const Closed&) { return "tell Closed"; }
  std::string tell(const StatusRequest& request) { return "tell StatusRequest " + std::to_string(request.id); }

  std::vector<std::string> texts_;
  std::vector<uint64_t> unanswered_;
};

}  // namespace ferrun
