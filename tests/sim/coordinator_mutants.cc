// Mistakes of the coordinator.
#include <algorithm>
#include <map>

#include "tests/sim/mutant_parts.h"
#include "tests/sim/state_file.h"

namespace ferrun::sim {
namespace {

using namespace std::chrono_literals;

class ForgetfulCoordinator : public Mutant {
 public:
  void state_judged(const std::optional<CoordinatorState>&, StateVerdict& verdict) const override {
    verdict.state.reset();
  }
  bool coordinator_hears(CoordinatorEvent& event) override {
    if (auto* const join = said<Join>(event)) join->past = {};
    return true;
  }
};

class TakesAnyState : public Mutant {
 public:
  void state_judged(const std::optional<CoordinatorState>& found, StateVerdict& verdict) const override {
    verdict = {true, found, ""};
  }
};

class DoesNotSave : public Mutant {
 public:
  explicit DoesNotSave(bool when_closed) : when_closed_(when_closed) {}
  void coordinator_does(std::vector<CoordinatorEffect>& effects, std::vector<CoordinatorEvent>& answers) override {
    std::erase_if(effects, [&](const CoordinatorEffect& effect) {
      const auto* const save = std::get_if<SaveState>(&effect);
      if (save == nullptr || save->state.closed.has_value() != when_closed_) return false;
      answers.emplace_back(StateSaved{save->ticket, ""});
      return true;
    });
  }

 private:
  bool when_closed_;
};

// A round that is prepared after one that was prepared in vain gets its number.
class ReusesBurnedNumbers : public Mutant {
 public:
  bool coordinator_hears(CoordinatorEvent& event) override {
    if (auto* const peer = std::get_if<PeerSaid>(&event)) {
      std::visit([this](auto& message) { to_machine(message); }, peer->message);
    }
    return true;
  }
  void coordinator_does(std::vector<CoordinatorEffect>& effects, std::vector<CoordinatorEvent>&) override {
    for (CoordinatorEffect& effect : effects) {
      if (auto* const prepare = telling<Prepare>(effect)) {
        show(prepare->assignment.round);
      } else if (auto* const dial = telling<DialStore>(effect)) {
        dial->round = shown_[dial->round];
      } else if (auto* const go = telling<Go>(effect)) {
        went_ = go->round;
        go->round = shown_[go->round];
      } else if (auto* const stop = telling<Stop>(effect)) {
        burned_ = burned_ || stop->round != went_;
        stop->round = shown_[stop->round];
      } else if (auto* const save = std::get_if<SaveState>(&effect)) {
        if (shown_.contains(save->state.newest)) save->state.newest = shown_[save->state.newest];
      }
    }
  }

 private:
  void show(RoundId& round) {
    if (!shown_.contains(round)) {
      newest_ = RoundId{round.incarnation, burned_ ? newest_.number : newest_.number + 1};
      burned_ = false;
      shown_[round] = newest_;
      meant_[newest_] = round;
    }
    round = shown_[round];
  }
  template <typename Message>
  void to_machine(Message& message) {
    if constexpr (requires { message.round; }) {
      if (meant_.contains(message.round)) message.round = meant_[message.round];
    } else if constexpr (std::is_same_v<Message, Join>) {
      if (meant_.contains(message.past.round)) message.past.round = meant_[message.past.round];
    }
  }
  std::map<RoundId, RoundId> shown_;
  std::map<RoundId, RoundId> meant_;
  RoundId newest_;
  RoundId went_;
  bool burned_ = false;
};

// From the second round on it takes the first two nodes for each other.
class MovesRankZero : public Mutant {
 public:
  bool coordinator_hears(CoordinatorEvent& event) override {
    if (auto* const arrived = std::get_if<PeerArrived>(&event)) arrived->connection = other(arrived->connection);
    if (auto* const lost = std::get_if<PeerLost>(&event)) lost->connection = other(lost->connection);
    if (auto* const peer = std::get_if<PeerSaid>(&event)) {
      if (const auto* const join = std::get_if<Join>(&peer->message))
        kind_[peer->connection] = {join->workers, join->role};
      peer->connection = other(peer->connection);
    }
    return true;
  }
  void coordinator_does(std::vector<CoordinatorEffect>& effects, std::vector<CoordinatorEvent>&) override {
    for (CoordinatorEffect& effect : effects) notice(effect);
    for (CoordinatorEffect& effect : effects) {
      if (auto* const one = std::get_if<Tell>(&effect)) one->connection = other(one->connection);
      if (auto* const gone = std::get_if<Disconnect>(&effect)) gone->connection = other(gone->connection);
      if (auto* const all = std::get_if<TellAll>(&effect)) {
        for (ConnectionId& connection : all->connections) connection = other(connection);
      }
    }
  }

 private:
  void notice(CoordinatorEffect& effect) {
    const auto* const prepare = telling<Prepare>(effect);
    if (prepare == nullptr || a_ != 0) return;
    if (!old_.contains(prepare->assignment.node_rank)) {
      old_[prepare->assignment.node_rank] = std::get<Tell>(effect).connection;
      return;
    }
    const ConnectionId first = old_[0];
    const ConnectionId second = old_.contains(1) ? old_[1] : 0;
    if (second == 0 || !(kind_[first] == kind_[second])) return;
    a_ = first;
    b_ = second;
  }
  ConnectionId other(ConnectionId connection) const {
    if (a_ == 0) return connection;
    return connection == a_ ? b_ : connection == b_ ? a_ : connection;
  }
  std::map<int, ConnectionId> old_;  // by node rank, in the first round
  std::map<ConnectionId, std::pair<int, std::string>> kind_;
  ConnectionId a_ = 0;
  ConnectionId b_ = 0;
};

class LetsSparesGo : public Mutant {
 public:
  void coordinator_does(std::vector<CoordinatorEffect>& effects, std::vector<CoordinatorEvent>&) override {
    for (CoordinatorEffect& effect : effects) {
      if (telling<Welcome>(effect) != nullptr) welcomed_ = std::get<Tell>(effect).connection;
      auto* const all = std::get_if<TellAll>(&effect);
      if (all == nullptr || !std::holds_alternative<Go>(all->message)) continue;
      if (std::find(all->connections.begin(), all->connections.end(), welcomed_) == all->connections.end()) {
        all->connections.push_back(welcomed_);
      }
    }
  }

 private:
  ConnectionId welcomed_ = 0;  // last
};

std::vector<NamedMutant> lease_mutants() {
  return {
      {"fence-unchecked", "a silent node's lease is not waited for", "ReapedBeforeGo",
       config([](CoordinatorConfig& c) { c.lease = c.stop_bound = 0s; })},
      {"fence-off-by-one", "a silent node's fence is a heartbeat too short", "ReapedBeforeGo",
       config([](CoordinatorConfig& c) { c.lease -= c.heartbeat_interval; })},
      {"stop-bound-forgotten", "the sentinel gets no time to kill", "ReapedBeforeGo",
       config([](CoordinatorConfig& c) { c.stop_bound = 0s; })},
      {"reset-as-proof", "a reset connection counts as the end of the node's workers", "ReapedBeforeGo",
       hears([](CoordinatorEvent& e) { return change_loss(e, LossKind::kReset, LossKind::kEndOfStream); })},
      {"end-of-stream-as-reset", "a node that has ended is given time to come back", "StopAtOnce",
       hears([](CoordinatorEvent& e) { return change_loss(e, LossKind::kEndOfStream, LossKind::kReset); })},
      {"silence-unheard", "a node that says nothing more is never given up", "Progress",
       config([](CoordinatorConfig& c) { c.silence = 1h; })},
  };
}

std::vector<NamedMutant> round_mutants() {
  return {
      {"store-undialled", "a round is let go before its nodes have reached the store", "PreparedBeforeGo",
       make<ImpatientCoordinator<DialStore>>([](const DialStore& d) {
         return MemberMessage(StoreReached{d.round, "x"});
       })},
      {"go-unsaved", "a round is let go before the state is on the disk", "SavedBeforeTold", make<DoesNotSave>(false)},
      {"burned-number-reused", "the number of a round that was prepared in vain is used again", "RoundsAreFresh",
       make<ReusesBurnedNumbers>()},
      {"past-forgotten", "a new coordinator ignores what was saved and what members report", "RoundsAreFresh",
       make<ForgetfulCoordinator>()},
      {"foreign-state-taken", "a coordinator goes on with the state of another job", "OwnState", make<TakesAnyState>()},
      {"dead-launch-revived", "a new launch is taken for the dead one whose state is found", "RestartCount",
       hears([](CoordinatorEvent& event) {
         auto* const join = said<Join>(event);
         if (join != nullptr && join->past.launch_id.empty()) join->past.launch_id = kDeadLaunch;
         return true;
       })},
      {"rank-zero-moves", "rank 0 moves to another node while its own is there", "RankZeroStays",
       make<MovesRankZero>()},
      {"below-min", "a round forms with one node less than MIN", "GroupSize",
       config([](CoordinatorConfig& c) { c.min_nodes = std::max(1, c.min_nodes - 1); })},
      {"spare-started", "a spare is let go with the others", "SparesIdle", make<LetsSparesGo>()},
      {"stop-misses-one", "one node is not told that the round is over", "StopAtOnce",
       make<MisspeakingCoordinator>([](CoordinatorEffect& effect) {
         auto* const all = std::get_if<TellAll>(&effect);
         if (all == nullptr || !std::holds_alternative<Stop>(all->message)) return;
         if (all->connections.size() > 1) all->connections.pop_back();
       })},
      {"success-ignored", "newcomers disturb a round that has begun to succeed", "SuccessKeepsRound",
       hears(drop<WorkerSucceeded>)},
      {"newcomers-at-once", "every newcomer disturbs", "DisturbsRarely",
       config([](CoordinatorConfig& c) { c.scale_interval = 0s; })},
  };
}

std::vector<NamedMutant> count_mutants() {
  return {
      {"budget-per-node", "each node has the restarts of the job", "RestartBudget",
       config([](CoordinatorConfig& c) { c.max_restarts = (c.max_restarts + 1) * c.max_nodes; })},
      {"rules-ignored", "what --on-exit says is not asked for", "ExitRules",
       config([](CoordinatorConfig& c) { c.restart.on_exit.clear(); })},
      {"no-delay", "the next attempt begins at once", "RestartDelay",
       config([](CoordinatorConfig& c) { c.restart.delay = 0s; })},
      {"goodbye-charged", "a node that says goodbye spends a restart", "RestartCount", hears(drop<Goodbye>)},
      {"count-differs", "one node is told another restart count", "SameAssignment",
       make<MisspeakingCoordinator>([](CoordinatorEffect& effect) {
         auto* const prepare = telling<Prepare>(effect);
         if (prepare != nullptr && prepare->assignment.node_rank == 1) ++prepare->assignment.restart_count;
       })},
      {"ages-ignored", "failures count from the moment at which they are told", "RootCauseFirst",
       hears([](CoordinatorEvent& event) {
         if (auto* const failed = said<NodeFailed>(event)) {
           for (LocalFailure& failure : failed->failures) failure.age = 0s;
         }
         if (auto* const ack = said<StopAcknowledged>(event)) {
           for (LocalFailure& failure : ack->failures) failure.age = 0s;
         }
         return true;
       })},
      {"close-unsaved", "the job is closed before that is on the disk", "SavedBeforeTold", make<DoesNotSave>(true)},
      {"leaves-first", "the coordinator does not wait until its end is acknowledged", "CoordinatorLeavesLast",
       make<ImpatientCoordinator<Close>>([](const Close&) { return MemberMessage(Closed{}); })},
  };
}

}  // namespace

std::vector<NamedMutant> coordinator_mutants() {
  std::vector<NamedMutant> all = lease_mutants();
  for (const auto& more : {round_mutants(), count_mutants()}) all.insert(all.end(), more.begin(), more.end());
  return all;
}

}  // namespace ferrun::sim
