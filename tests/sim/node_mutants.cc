// Mistakes of the nodes: of agents and of their sentinels.
#include <csignal>
#include <map>

#include "tests/sim/mutant_parts.h"

namespace ferrun::sim {
namespace {

// Takes any answer for one to the heartbeat that it sent last.
class TakesAnswersForNews : public Mutant {
 public:
  bool node_hears(uint32_t agent, NodeEvent& event) override {
    if (auto* const answer = told<HeartbeatAnswer>(event)) answer->number = newest_[agent];
    return true;
  }
  void node_does(uint32_t agent, std::vector<NodeEffect>& effects, std::vector<NodeEvent>&) override {
    for (const NodeEffect& effect : effects) {
      const auto* const tell = std::get_if<TellCoordinator>(&effect);
      const auto* const beat = tell == nullptr ? nullptr : std::get_if<Heartbeat>(&tell->message);
      if (beat != nullptr) newest_[agent] = beat->number;
    }
  }

 private:
  std::map<uint32_t, uint64_t> newest_;
};

// Says that its workers are gone as soon as it has told them to end.
class ReapsInWords : public Mutant {
 public:
  bool node_hears(uint32_t agent, NodeEvent& event) override {
    const auto* const prepare = told<Prepare>(event);
    if (prepare != nullptr && !prepare->open_store) prepared_[agent] = prepare->assignment.round;
    return true;
  }
  void node_does(uint32_t agent, std::vector<NodeEffect>& effects, std::vector<NodeEvent>&) override {
    std::vector<NodeEffect> more;
    for (const NodeEffect& effect : effects) {
      const auto* const tell = std::get_if<TellCoordinator>(&effect);
      const auto* const ack = tell == nullptr ? nullptr : std::get_if<StopAcknowledged>(&tell->message);
      if (ack != nullptr) more.emplace_back(TellCoordinator{NodeReaped{ack->round}});
    }
    if (const auto found = prepared_.find(agent); found != prepared_.end()) {
      more.emplace_back(TellCoordinator{Prepared{found->second, {}, 0}});
      prepared_.erase(found);
    }
    effects.insert(effects.end(), more.begin(), more.end());
  }

 private:
  std::map<uint32_t, RoundId> prepared_;
};

class SleepingSentinel : public Mutant {
 public:
  bool sentinel_works() const override { return false; }
};

class ForgetsToKill : public Mutant {
 public:
  void node_does(uint32_t, std::vector<NodeEffect>& effects, std::vector<NodeEvent>&) override {
    std::erase_if(effects, [](const NodeEffect& effect) {
      const auto* const signal = std::get_if<SignalWorker>(&effect);
      return signal != nullptr && signal->signal == SIGKILL;
    });
  }
};

// Takes the end of its workers for the end of all their processes.
class SkipsSweeps : public Mutant {
 public:
  void node_does(uint32_t, std::vector<NodeEffect>& effects, std::vector<NodeEvent>& answers) override {
    std::erase_if(effects, [&](const NodeEffect& effect) {
      const auto* const sweep = std::get_if<SweepAttempt>(&effect);
      if (sweep != nullptr) answers.emplace_back(AttemptSwept{sweep->attempt});
      return sweep != nullptr;
    });
  }
};

class AnswersNoStop : public Mutant {
 public:
  void node_does(uint32_t, std::vector<NodeEffect>& effects, std::vector<NodeEvent>&) override {
    std::erase_if(effects, [](const NodeEffect& effect) {
      const auto* const tell = std::get_if<TellCoordinator>(&effect);
      return tell != nullptr && std::holds_alternative<StopAcknowledged>(tell->message);
    });
  }
};

}  // namespace

std::vector<NamedMutant> node_mutants() {
  return {
      {"lease-too-long", "a node adds a heartbeat's time to its lease", "LeaseHolds",
       make<MishearingNode>([](NodeEvent& event) {
         if (auto* const welcome = told<Welcome>(event)) welcome->lease += welcome->heartbeat_interval;
       })},
      {"lease-from-arrival", "an answer counts for the newest heartbeat instead of its own", "LeaseHolds",
       make<TakesAnswersForNews>()},
      {"sentinel-sleeps", "nobody ends the workers of an agent that stands still", "LeaseHolds",
       make<SleepingSentinel>()},
      {"reaped-in-words", "a node says that its workers are gone when it has told them to end", "ReapedBeforeGo",
       make<ReapsInWords>()},
      {"kill-forgotten", "workers that do not obey SIGTERM are let live", "NoOrphans", make<ForgetsToKill>()},
      {"sweep-skipped", "what workers have left behind is not waited for", "NoOrphans", make<SkipsSweeps>()},
      {"stop-unanswered", "a node stops its workers and does not say so", "StopAnswered", make<AnswersNoStop>()},
  };
}

}  // namespace ferrun::sim
