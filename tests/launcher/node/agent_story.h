// An agent machine with a clock of its own; its effects as text, so that a test reads like the story it tells.
#pragma once

#include <csignal>
#include <string>
#include <vector>

#include "launcher/node/agent_machine.h"

namespace ferrun {

class AgentStory {
 public:
  static constexpr pid_t kFirstPid = 100;

  explicit AgentStory(AgentConfig config) : machine(config) {}

  void step(const AgentEvent& event) { machine.step(event, now); }
  void started(int rank) { step(WorkerFact{machine.attempt(), RankStarted{rank, kFirstPid + rank}}); }
  void ended(int rank, ExitStatus status) { step(WorkerFact{machine.attempt(), RankEnded{rank, status}}); }
  void exited(int rank, int code) { ended(rank, ExitStatus::exited(code)); }
  // From the preparation to all workers running.
  void run_attempt() {
    step(AttemptReady{machine.attempt()});
    const size_t workers = machine.group()->workers().size();
    for (size_t rank = 0; rank < workers; ++rank) started(static_cast<int>(rank));
    effects();
  }

  // "start ATTEMPT/RANK", "SIGTERM PID" (the SIGCONT behind it left out), "warning: ...", "finish: ...".
  std::vector<std::string> effects() {
    std::vector<std::string> texts;
    for (const AgentEffect& effect : machine.take_effects()) {
      std::string text = std::visit([](const auto& what) { return describe(what); }, effect);
      if (!text.empty()) texts.push_back(std::move(text));
    }
    return texts;
  }

  TimePoint now{std::chrono::seconds(1000)};
  AgentMachine machine;

 private:
  static std::string describe(const PrepareAttempt& prepare) {
    return "prepare " + std::to_string(prepare.attempt) + (prepare.with_template ? " with template" : "");
  }
  static std::string describe(const StartWorker& start) {
    return (start.from_template ? "fork " : "start ") + std::to_string(start.attempt) + "/" +
           std::to_string(start.local_rank);
  }
  static std::string describe(const SignalWorker& send) {
    return send.signal == SIGCONT ? "" : signal_name(send.signal) + " " + std::to_string(send.pid);
  }
  static std::string describe(const SweepAttempt& sweep) { return "sweep " + std::to_string(sweep.attempt); }
  static std::string describe(const KillEverything&) { return "kill everything"; }
  static std::string describe(const Say& say) {
    constexpr const char* kLevels[] = {"debug: ", "info: ", "warning: ", "error: "};
    return kLevels[static_cast<int>(say.level)] + say.line;
  }
  static std::string describe(const Finish& finish) {
    struct Words {
      std::string operator()(const Success&) const { return "success"; }
      std::string operator()(const GroupFailed&) const { return "failed"; }
      std::string operator()(const StoppedBy& stop) const { return "stopped by " + signal_name(stop.signal); }
      std::string operator()(const CannotRun& cannot) const { return "cannot run: " + cannot.error.message; }
      std::string operator()(const Abandoned&) const { return "abandoned"; }
    };
    return "finish: " + std::visit(Words{}, finish.ending);
  }
};

}  // namespace ferrun
