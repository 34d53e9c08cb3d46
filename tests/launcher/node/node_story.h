// A node machine with a clock of its own; its effects as text, so that a test reads like the story it tells.
#pragma once

#include <csignal>
#include <string>
#include <vector>

#include "launcher/node/node_machine.h"

namespace ferrun {

class NodeStory {
 public:
  static constexpr pid_t kFirstPid = 100;

  explicit NodeStory(NodeConfig config = plain()) : machine(std::move(config), now) {}

  static NodeConfig plain() {
    NodeConfig config;
    config.member.host = "node1";
    config.member.addresses = {"10.0.0.2"};
    config.member.workers = 2;
    config.member.endpoint = "node0:29400";
    config.stop.shutdown_timeout = std::chrono::seconds(30);
    config.title = "train.py";
    config.run_id = "fer";
    return config;
  }

  static RoundId round(uint64_t number) { return {1, number}; }

  void step(const NodeEvent& event) { machine.step(event, now); }
  void hear(const CoordinatorMessage& message) { step(CoordinatorSaid{1, message}); }
  void started(int rank) { step(WorkerFact{machine.attempt(), RankStarted{rank, kFirstPid + rank}}); }
  void ended(int rank, ExitStatus status) { step(WorkerFact{machine.attempt(), RankEnded{rank, status}}); }
  void exited(int rank, int code) { ended(rank, ExitStatus::exited(code)); }
  void swept() { step(AttemptSwept{machine.attempt()}); }

  void join() {
    step(AttemptReady{machine.attempt()});
    step(CoordinatorReached{1, "node0 (10.0.0.1)"});
    hear(Welcome{1, false, std::chrono::seconds(5), std::chrono::seconds(1), "launch", false});
    effects();
  }

  // From Prepare to Go: node 1 of 2, with 2 workers each.
  void go(uint64_t number, int restarts = 0) {
    hear(Prepare{{round(number), 1, 2, 2, 4, 2, 4, restarts}, false, {}});
    hear(DialStore{round(number), {"10.0.0.1"}, 4000});
    step(StoreAnswered{round(number), "10.0.0.1"});
    effects();
    hear(Go{round(number), "all are there"});
  }

  void run_round(uint64_t number, int restarts = 0) {
    go(number, restarts);
    started(0);
    started(1);
    effects();
  }

  // Everything since the last call; heartbeats, the lease and the SIGCONT behind every signal are left out.
  std::vector<std::string> effects() {
    std::vector<std::string> texts;
    for (const NodeEffect& effect : machine.take_effects()) {
      std::string text = std::visit([this](const auto& what) { return describe(what); }, effect);
      if (!text.empty()) texts.push_back(std::move(text));
    }
    return texts;
  }

  TimePoint now{std::chrono::seconds(1000)};
  NodeMachine machine;
  std::vector<LocalFailure> last_failures;
  std::optional<BeginAttempt> begun;
  std::optional<NodeDone> done;

 private:
  std::string describe(const PrepareAttempt& prepare) {
    return "prepare " + std::to_string(prepare.attempt) + (prepare.with_template ? " with template" : "");
  }
  std::string describe(const ForeseeAttempt& foresee) { return "foresee " + std::to_string(foresee.attempt); }
  std::string describe(const BeginAttempt& begin) {
    begun = begin;
    return "begin " + std::to_string(begin.attempt);
  }
  std::string describe(const StartWorker& start) {
    return (start.from_template ? "fork " : "start ") + std::to_string(start.attempt) + "/" +
           std::to_string(start.local_rank);
  }
  std::string describe(const SignalWorker& send) {
    return send.signal == SIGCONT ? "" : signal_name(send.signal) + " " + std::to_string(send.local_rank);
  }
  std::string describe(const SweepAttempt& sweep) { return "sweep " + std::to_string(sweep.attempt); }
  std::string describe(const GatherEvidence& gather) {
    std::string text = "gather";
    for (const int rank : gather.local_ranks) text += " " + std::to_string(rank);
    return text;
  }
  std::string describe(const KillEverything&) { return "kill everything"; }
  std::string describe(const Say& say) {
    constexpr const char* kLevels[] = {"debug: ", "info: ", "warning: ", "error: "};
    return kLevels[static_cast<int>(say.level)] + say.line;
  }
  std::string describe(const Dial&) { return "dial"; }
  std::string describe(const HangUp&) { return "hang up"; }
  std::string describe(const TellCoordinator& told) {
    return std::visit([this](const auto& message) { return tell(message); }, told.message);
  }
  std::string describe(const OpenStore&) { return "open store"; }
  std::string describe(const ReachStore&) { return "reach store"; }
  std::string describe(const CloseStore&) { return "close store"; }
  std::string describe(const HoldLease&) { return ""; }
  std::string describe(const ShowStatus& show) { return "status " + std::to_string(show.id); }
  std::string describe(const LeaveJob&) { return ""; }
  std::string describe(const NodeDone& what) {
    done = what;
    return "done " + std::to_string(what.exit_status);
  }

  std::string tell(const Join&) { return "tell Join"; }
  std::string tell(const Heartbeat&) { return ""; }
  std::string tell(const Prepared&) { return "tell Prepared"; }
  std::string tell(const NotPrepared&) { return "tell NotPrepared"; }
  std::string tell(const StoreReached&) { return "tell StoreReached"; }
  std::string tell(const WorkerSucceeded&) { return "tell WorkerSucceeded"; }
  std::string tell(const NodeFinished&) { return "tell NodeFinished"; }
  std::string tell(const NodeFailed& told) {
    last_failures = told.failures;
    return "tell NodeFailed";
  }
  std::string tell(const StopAcknowledged&) { return "tell StopAcknowledged"; }
  std::string tell(const NodeReaped&) { return "tell NodeReaped"; }
  std::string tell(const Goodbye&) { return "tell Goodbye"; }
  std::string tell(const Closed&) { return "tell Closed"; }
  std::string tell(const StatusRequest&) { return "tell StatusRequest"; }
};

}  // namespace ferrun
