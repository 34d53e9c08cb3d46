// Random jobs around one coordinator machine: toy nodes that keep the protocol's promises (leases above all) in a
// network that delays, holds back and cuts, nodes and coordinators that die, stand still, leave and come back. What
// must hold in all of them is checked at every start of a worker and after every step. A failing run names its seed.
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>

#include "rendezvous/coordinator/coordinator_machine.h"
#include "tests/seeds.h"

namespace ferrun {
namespace {

using namespace std::chrono_literals;
using Phase = CoordinatorMachine::Phase;

constexpr Duration kInterval = 1s;
constexpr Duration kLongestStop = 2s;  // of a node's workers

struct Toy {
  std::string host;
  AgentId agent;
  bool up = false;    // the agent's process
  bool gone = false;  // for good
  uint64_t life = 0;  // counts processes and connections: what belongs to another one is stale
  ConnectionId connection = 0;
  bool welcomed = false;
  TimePoint joined;
  TimePoint cut_until;  // nothing passes until then, either way
  TimePoint heard;      // from the coordinator
  std::optional<TimePoint> lease_end;
  Duration lease{};
  std::map<uint64_t, TimePoint> beats;
  RoundId accepted;
  Assignment assignment;
  std::string launch_id;
  Work work = Work::kNone;
  RoundId work_round;
  bool workers = false;  // processes are alive
  uint64_t work_number = 0;
  TimePoint to_coordinator;  // the last delivery, to keep the order
  TimePoint from_coordinator;
};

class World {
 public:
  explicit World(uint64_t seed) : random_(seed) {
    config_.min_nodes = pick(1, 4);
    config_.max_nodes = chance(40) ? config_.min_nodes : config_.min_nodes + pick(1, 3);
    config_.max_restarts = pick(0, 4);
    config_.own_process = chance(50);
    config_.last_call = std::chrono::milliseconds(pick(0, 5000));
    config_.lease = config_.own_process ? Duration(pick(5, 20) * 1s) : 5s;
    config_.scale_interval = pick(1, 10) * 1s;
    config_.min_uptime = pick(0, 10) * 1s;
    config_.close_timeout = 10s;
    config_.prepare_timeout = 10s;
    config_.first_bar = 2s;
    config_.launch_id = "launch";
    const int nodes = config_.max_nodes + pick(0, 2);
    for (int index = 0; index < nodes; ++index) {
      toys_.push_back(std::make_unique<Toy>());
      toys_.back()->host = "node" + std::to_string(index);
      later(chance(80) ? 1s : 20s, [this, toy = toys_.back().get()] { boot(*toy); });
    }
    start_coordinator();
  }

  void run() {
    for (TimePoint end = now_ + 60s; now_ < end && !over();) {
      if (chance(6)) disturb();
      next();
      if (::testing::Test::HasFatalFailure() || ::testing::Test::HasNonfatalFailure()) return;
    }
    calm_ = true;
    for (auto& toy : toys_) toy->cut_until = std::min(toy->cut_until, now_);
    if (!machine_ && !over_) start_coordinator();
    settle();
  }

 private:
  int pick(int least, int most) { return std::uniform_int_distribution(least, most)(random_); }
  bool chance(int percent) { return pick(1, 100) <= percent; }
  Duration any(Duration most) { return Duration(std::uniform_int_distribution<int64_t>(0, most.count())(random_)); }
  Toy& any_toy() { return *toys_[static_cast<size_t>(pick(0, static_cast<int>(toys_.size()) - 1))]; }
  bool over() const { return over_; }

  void at(TimePoint due, std::function<void()> what) { pending_.emplace(std::max(due, now_), std::move(what)); }
  void later(Duration most, std::function<void()> what) { at(now_ + any(most), std::move(what)); }
  // For as long as this process and this connection of it last.
  void mine(Toy& toy, TimePoint due, std::function<void()> what) {
    at(due, [this, &toy, life = toy.life, what = std::move(what)] {
      if (toy.life == life && toy.up) what();
    });
  }

  // --- Time. ---

  void next() {
    const std::optional<TimePoint> deadline =
        machine_ && now_ >= stalled_until_ ? machine_->next_deadline() : std::nullopt;
    if (deadline && (pending_.empty() || *deadline < pending_.begin()->first)) {
      now_ = std::max(now_, *deadline);
      step(CoordinatorDeadline{});
      return;
    }
    if (pending_.empty()) {
      ASSERT_TRUE(deadline.has_value()) << "nothing is left to happen";
      return;
    }
    now_ = std::max(now_, pending_.begin()->first);
    const auto what = std::move(pending_.begin()->second);
    pending_.erase(pending_.begin());
    what();
  }

  void step(const CoordinatorEvent& event) {
    if (!machine_) return;
    machine_->step(event, now_);
    for (const CoordinatorEffect& effect : machine_->take_effects()) {
      ASSERT_TRUE(machine_) << "an effect after the end";
      std::visit([this](const auto& what) { carry_out(what); }, effect);
    }
    if (!machine_) return;
    const auto due = machine_->next_deadline();
    EXPECT_TRUE(!due || *due >= now_) << "a deadline in the past";
    EXPECT_FALSE(machine_->reason().empty());
  }

  // A stalled coordinator takes events when it goes on.
  void to_machine(CoordinatorEvent event) {
    if (now_ >= stalled_until_) return step(event);
    at(stalled_until_, [this, event = std::move(event), which = coordinators_] {
      if (which == coordinators_) step(event);
    });
  }

  // --- The coordinator's side. ---

  void start_coordinator() {
    ++coordinators_;
    if (chance(20)) config_.launch_id = "launch" + std::to_string(coordinators_);
    machine_ = std::make_unique<CoordinatorMachine>(config_, saved_, now_);
    step(CoordinatorDeadline{});
  }

  void kill_coordinator() {
    ++coordinators_;
    machine_.reset();
    for (auto& toy : toys_) {
      if (toy->connection != 0) coordinator_side_gone(*toy, chance(70) ? LossKind::kEndOfStream : LossKind::kReset);
    }
    stalled_until_ = now_;
    later(10s, [this] {
      if (!machine_ && !over_) start_coordinator();
    });
  }

  void coordinator_side_gone(Toy& toy, LossKind kind) {
    mine(toy, std::max(now_ + any(50ms), toy.cut_until), [this, &toy, connection = toy.connection, kind] {
      if (toy.connection == connection) lost_coordinator(toy, kind);
    });
  }

  Toy* at_connection(ConnectionId connection) {
    for (auto& toy : toys_) {
      if (toy->connection == connection && toy->up) return toy.get();
    }
    return nullptr;
  }

  void carry_out(const Tell& tell) { send_to_node(tell.connection, tell.message); }
  void carry_out(const TellAll& tell) {
    EXPECT_FALSE(tell.connections.empty());
    for (const ConnectionId connection : tell.connections) send_to_node(connection, tell.message);
  }
  void carry_out(const Disconnect& disconnect) {
    if (Toy* toy = at_connection(disconnect.connection)) {
      toy->from_coordinator = std::max({toy->from_coordinator, now_ + any(20ms), toy->cut_until});
      mine(*toy, toy->from_coordinator, [this, toy, connection = disconnect.connection] {
        if (toy->connection == connection) lost_coordinator(*toy, LossKind::kEndOfStream);
      });
    }
    closed_.insert(disconnect.connection);
    EXPECT_TRUE(disconnected_.insert(disconnect.connection).second) << "disconnected twice";
  }
  void carry_out(const SaveState& save) {
    later(30ms, [this, save, which = coordinators_, fails = !calm_ && !save.state.closed && chance(5)] {
      if (!fails) saved_ = save.state;
      if (which == coordinators_) to_machine(StateSaved{save.ticket, fails ? "no space" : ""});
    });
  }
  void carry_out(const RendezvousSay& say) { EXPECT_FALSE(say.line.empty()); }
  void carry_out(const CoordinatorDone& done) {
    EXPECT_EQ(machine_->phase(), Phase::kClosed);
    EXPECT_FALSE(machine_->next_deadline());
    machine_->step(CoordinatorDeadline{}, now_ + 1h);
    EXPECT_TRUE(machine_->take_effects().empty());
    end_ = done.end;
    over_ = true;
    machine_.reset();
  }

  void send_to_node(ConnectionId connection, const CoordinatorMessage& message) {
    EXPECT_FALSE(disconnected_.contains(connection)) << "a message after Disconnect";
    Toy* toy = at_connection(connection);
    if (toy == nullptr) return;
    toy->from_coordinator = std::max({toy->from_coordinator, now_ + any(20ms), toy->cut_until});
    mine(*toy, toy->from_coordinator, [this, toy, connection, message] {
      if (toy->connection != connection) return;
      toy->heard = now_;
      std::visit([this, toy](const auto& what) { hear(*toy, what); }, message);
    });
  }

  // --- The nodes' side. ---

  void boot(Toy& toy) {
    if (toy.up || toy.gone) return;
    EXPECT_FALSE(toy.workers) << "the old agent's sentinel has killed them";
    const std::string host = toy.host;
    const uint64_t life = toy.life + 1;
    const TimePoint cut = toy.cut_until;
    toy = Toy{};
    toy.host = host;
    toy.life = life;
    toy.cut_until = cut;
    toy.agent.value = ++agents_;
    toy.up = true;
    dial(toy);
  }

  void dial(Toy& toy) {
    mine(toy, std::max(now_ + any(300ms), toy.cut_until), [this, &toy] {
      if (toy.connection != 0) return;
      if (!machine_) return over_ ? leave_job(toy) : dial(toy);
      toy.connection = ++connections_;
      toy.welcomed = false;
      toy.joined = toy.heard = now_;
      toy.to_coordinator = toy.from_coordinator = now_;
      to_machine(PeerArrived{toy.connection, toy.agent, "10.0.0.1"});
      Join join;
      join.host = toy.host;
      join.addresses = {"10.0.0." + toy.host.substr(4)};
      join.workers = 1 + static_cast<int>(toy.agent.value % 3);
      join.past.round = toy.accepted;
      join.past.assignment = toy.assignment;
      join.past.work = toy.work;
      join.past.launch_id = toy.launch_id;
      join.past.restarts = toy.assignment.restart_count;
      say(toy, join);
      watch(toy);
    });
  }

  void say(Toy& toy, const MemberMessage& message) {
    if (toy.connection == 0) return;
    toy.to_coordinator = std::max({toy.to_coordinator, now_ + any(20ms), toy.cut_until});
    at(toy.to_coordinator, [this, &toy, message, connection = toy.connection, which = coordinators_] {
      if (which == coordinators_ && !closed_.contains(connection)) to_machine(PeerSaid{connection, message});
    });
  }

  // Heartbeats, and a look whether the coordinator still answers.
  void watch(Toy& toy) {
    mine(toy, now_ + kInterval, [this, &toy, connection = toy.connection] {
      if (toy.connection != connection) return;
      if (now_ - toy.heard > 4s) {  // the old connection stays with the sentinel: no end of stream is seen
        reset_seen_by_coordinator(toy, connection);
        return lost_coordinator(toy, LossKind::kReset);
      }
      const uint64_t number = ++beats_;
      toy.beats[number] = now_;
      say(toy, Heartbeat{number});
      watch(toy);
    });
  }

  void reset_seen_by_coordinator(Toy& toy, ConnectionId connection) {
    if (chance(30)) return;  // never
    at(std::max(now_ + any(5s), toy.cut_until), [this, connection, which = coordinators_] {
      if (which == coordinators_ && closed_.insert(connection).second)
        to_machine(PeerLost{connection, LossKind::kReset, "reset"});
    });
  }

  void lost_coordinator(Toy& toy, LossKind) {
    toy.connection = 0;
    toy.welcomed = false;
    toy.beats.clear();
    if (toy.gone || over_) return leave_job(toy);
    if (!config_.own_process && toy.work == Work::kRunning) stop_workers(toy);
    dial(toy);
  }

  void hold_until(Toy& toy, TimePoint end) {
    toy.lease_end = end;
    at(end, [this, &toy, agent = toy.agent] {
      if (toy.agent != agent || !toy.workers || *toy.lease_end > now_) return;
      toy.work = Work::kStopping;
      workers_gone_within(toy, config_.stop_bound);  // also when the agent stands still
    });
  }

  void hear(Toy& toy, const Welcome& welcome) {
    toy.welcomed = true;
    EXPECT_GE(welcome.incarnation, toy.accepted.incarnation);
    toy.launch_id = welcome.launch_id;
    toy.lease = welcome.lease;
    hold_until(toy, toy.joined + toy.lease);
    if (!welcome.resumed && toy.work == Work::kRunning) stop_workers(toy);
  }
  void hear(Toy& toy, const HeartbeatAnswer& answer) {
    const auto sent = toy.beats.find(answer.number);
    if (sent == toy.beats.end()) return;
    if (!(toy.lease_end && toy.workers && now_ >= *toy.lease_end)) hold_until(toy, sent->second + toy.lease);
    toy.beats.erase(toy.beats.begin(), std::next(sent));
  }
  void hear(Toy& toy, const Refused& refused) {
    EXPECT_FALSE(refused.reason.empty());
    EXPECT_TRUE(refused.try_again) << refused.reason;
    toy.connection = 0;
    if (toy.work == Work::kRunning) stop_workers(toy);
    mine(toy, now_ + refused.after, [this, &toy] { dial(toy); });
  }
  void hear(Toy&, const Waiting& waiting) { EXPECT_FALSE(waiting.sentence.empty()); }
  void hear(Toy&, const StatusReply&) {}

  void hear(Toy& toy, const Prepare& prepare) {
    EXPECT_FALSE(toy.workers) << "prepared while old workers live";
    if (prepare.assignment.round <= toy.accepted) return;
    toy.accepted = prepare.assignment.round;
    toy.assignment = prepare.assignment;
    note(toy);
    if (!calm_ && chance(3)) return say(toy, NotPrepared{toy.accepted, "cannot open its store"});
    if (!calm_ && chance(1)) return;
    Prepared prepared{toy.accepted, {}, 0};
    if (prepare.open_store) {
      prepared.store_addresses = {"10.0.0.1"};
      prepared.store_port = 1;
    }
    say(toy, prepared);
  }
  void hear(Toy& toy, const DialStore& dial) {
    if (dial.round != toy.accepted) return;
    if (!calm_ && chance(3)) return say(toy, NotPrepared{dial.round, "cannot reach the store"});
    say(toy, StoreReached{dial.round, "10.0.0.1"});
  }

  void hear(Toy& toy, const Go& go) {
    if (go.round != toy.accepted || toy.work_round == go.round) return;
    if (!toy.lease_end || now_ >= *toy.lease_end) return;
    toy.work = Work::kRunning;
    toy.work_round = go.round;
    toy.workers = true;
    ++toy.work_number;
    check_start(toy);
    const Duration length = any(calm_ ? 60s : 30s);
    const bool fails = !calm_ && chance(25);
    at(now_ + length, [this, &toy, agent = toy.agent, number = toy.work_number, fails] {
      if (toy.agent != agent || toy.work_number != number || toy.work != Work::kRunning || !toy.up) return;
      if (!fails) {
        toy.work = Work::kFinished;
        toy.workers = false;
        say(toy, WorkerSucceeded{toy.work_round});
        return say(toy, NodeFinished{toy.work_round});
      }
      LocalFailure failure;
      failure.age = any(10ms);
      failure.kind = static_cast<FailureKind>(pick(0, 6));
      failure.report = {"a worker failed"};
      say(toy, NodeFailed{toy.work_round, {failure}});
      stop_workers(toy);
    });
  }

  void hear(Toy& toy, const Stop& stop) {
    say(toy, StopAcknowledged{stop.round, {}});
    if (stop.round != toy.work_round) return;
    if (toy.work == Work::kRunning) return stop_workers(toy);
    if (!toy.workers) say(toy, NodeReaped{stop.round});
  }
  void hear(Toy& toy, const Close&) {
    if (toy.workers) stop_workers(toy);
    say(toy, Closed{});
    toy.gone = true;
    leave_job(toy);
  }

  void stop_workers(Toy& toy) {
    toy.work = Work::kStopping;
    workers_gone_within(toy, kLongestStop);
  }
  void workers_gone_within(Toy& toy, Duration most) {
    later(most, [this, &toy, agent = toy.agent, number = toy.work_number] {
      if (toy.agent != agent || toy.work_number != number || !toy.workers) return;
      toy.workers = false;
      toy.work = Work::kReaped;
      if (toy.up) say(toy, NodeReaped{toy.work_round});
    });
  }
  void leave_job(Toy& toy) {
    toy.gone = true;
    toy.up = false;
    ++toy.life;
    toy.connection = 0;
    toy.workers = false;
  }

  // --- What must hold. ---

  // All that are told of a round are told the same.
  void note(const Toy& toy) {
    auto& ranks = rounds_[toy.accepted];
    const Assignment& mine = toy.assignment;
    EXPECT_TRUE(ranks.emplace(mine.node_rank, mine).second || ranks[mine.node_rank] == mine)
        << "rank " << mine.node_rank << " of round " << to_string(toy.accepted) << " was given twice";
    EXPECT_GE(mine.node_count, config_.min_nodes);
    EXPECT_LE(mine.node_count, config_.max_nodes);
    EXPECT_LE(mine.restart_count, config_.max_restarts);
    for (const auto& [rank, other] : ranks) {
      EXPECT_LT(rank, other.node_count);
      EXPECT_EQ(other.world, mine.world);
      EXPECT_EQ(other.node_count, mine.node_count);
      EXPECT_EQ(other.restart_count, mine.restart_count);
      if (rank < mine.node_rank) {
        EXPECT_LT(other.first_rank, mine.first_rank);
      }
    }
  }

  void check_start(const Toy& starting) {
    for (const auto& toy : toys_) {
      if (toy->workers) {
        ASSERT_EQ(toy->work_round, starting.work_round)
            << toy->host << " still runs round " << to_string(toy->work_round) << " while " << starting.host
            << " starts round " << to_string(starting.work_round);
      }
    }
    EXPECT_EQ(rounds_[starting.work_round].size(), static_cast<size_t>(starting.assignment.node_count))
        << "a round started before all had accepted it";
  }

  // --- Faults. ---

  void disturb() {
    Toy& toy = any_toy();
    switch (pick(0, 11)) {
      case 0: return kill_agent(toy);
      case 1: return power_off(toy);
      case 2: return leave(toy);
      case 3: return reset(toy);
      case 4:
      case 5: toy.cut_until = std::max(toy.cut_until, now_ + any(chance(70) ? 4s : 15s)); return;
      case 6:
        if (machine_ && chance(30)) kill_coordinator();
        return;
      case 7:
        if (chance(30)) stalled_until_ = std::max(stalled_until_, now_ + any(chance(70) ? 1s : 8s));
        return;
      case 8: return lie(toy);
      case 9:
        if (toy.up && toy.connection != 0) {  // another connection while the old one stands
          toy.connection = 0;
          dial(toy);
        }
        return;
      default: return;
    }
  }

  // The sentinel kills the workers, then closes the connection.
  void kill_agent(Toy& toy) {
    if (!toy.up) return;
    toy.up = false;
    ++toy.life;
    later(100ms, [this, &toy, agent = toy.agent] {
      if (toy.agent != agent) return;
      toy.workers = false;
      end_of_stream(toy);
      later(8s, [this, &toy] { boot(toy); });
    });
  }
  void end_of_stream(Toy& toy) {
    const ConnectionId connection = std::exchange(toy.connection, 0);
    if (connection == 0) return;
    at(std::max({now_ + any(20ms), toy.cut_until, toy.to_coordinator}), [this, connection, which = coordinators_] {
      if (which == coordinators_ && closed_.insert(connection).second) {
        to_machine(PeerLost{connection, LossKind::kEndOfStream, "end of stream"});
      }
    });
  }
  void power_off(Toy& toy) {
    if (!toy.up) return;
    toy.up = false;
    ++toy.life;
    toy.workers = false;
    toy.connection = 0;  // the coordinator hears nothing
    later(20s, [this, &toy] { boot(toy); });
  }
  void leave(Toy& toy) {
    if (!toy.up || toy.connection == 0) return;
    say(toy, Goodbye{chance(70) ? SIGTERM : 0, "asked to"});
    toy.work = Work::kStopping;
    later(kLongestStop, [this, &toy, agent = toy.agent] {
      if (toy.agent != agent) return;
      toy.workers = false;
      toy.up = false;
      ++toy.life;
      end_of_stream(toy);
      later(15s, [this, &toy] { boot(toy); });
    });
  }
  void reset(Toy& toy) {
    if (!toy.up || toy.connection == 0) return;
    const ConnectionId connection = toy.connection;
    at(std::max(now_ + any(50ms), toy.cut_until), [this, connection, which = coordinators_] {
      if (which == coordinators_ && closed_.insert(connection).second)
        to_machine(PeerLost{connection, LossKind::kReset, "reset"});
    });
    coordinator_side_gone(toy, LossKind::kReset);
  }
  void lie(Toy& toy) {
    if (!toy.up || toy.connection == 0) return;
    const RoundId wrong{toy.accepted.incarnation, toy.accepted.number + static_cast<uint64_t>(pick(-1, 1))};
    if (wrong == toy.accepted) return;  // a lie about its own round is beyond help
    switch (pick(0, 6)) {
      case 0: return say(toy, Prepared{wrong, {"x"}, 9});
      case 1: return say(toy, StoreReached{wrong, "x"});
      case 2: return say(toy, NodeReaped{wrong});
      case 3: return say(toy, NodeFinished{wrong});
      case 4: return say(toy, NodeFailed{wrong, {}});
      case 5: return say(toy, StopAcknowledged{wrong, {LocalFailure{}}});
      default: return say(toy, Closed{});
    }
  }

  // --- After the faults: the job comes to an end, or waits for nodes that are not there. ---

  void settle() {
    const TimePoint calm = now_ + 25s;  // what was begun before has happened by then
    const TimePoint formed =
        calm + config_.lease + config_.lease / 100 + config_.stop_bound + kLongestStop + config_.last_call + 1s + 2s;
    bool checked = false;
    while (now_ < calm + 600s && !over_) {
      next();
      if (::testing::Test::HasFailure()) return;
      if (now_ < formed || std::exchange(checked, true) || over_) continue;
      const Phase phase = machine_->phase();
      EXPECT_TRUE(phase == Phase::kRunning || phase == Phase::kClosing ||
                  machine_->reason().find("barred") != std::string::npos)
          << "nothing has formed in time: " << describe();
    }
    EXPECT_TRUE(over_) << "the job did not end within 600 s of calm: " << describe();
  }

  std::string describe() const {
    std::string text = machine_ ? machine_->status_json(now_) : "no coordinator";
    for (const auto& toy : toys_) {
      text += "\n  " + toy->host + (toy->up ? " up" : " down") + (toy->gone ? " for good" : "") + " connection " +
              std::to_string(toy->connection) + " round " + to_string(toy->accepted) + " work " +
              std::to_string(static_cast<int>(toy->work));
    }
    return text;
  }

  std::mt19937_64 random_;
  CoordinatorConfig config_;
  TimePoint now_{1000s};
  std::multimap<TimePoint, std::function<void()>> pending_;
  std::unique_ptr<CoordinatorMachine> machine_;
  std::optional<CoordinatorState> saved_;
  uint64_t coordinators_ = 0;
  TimePoint stalled_until_;
  std::vector<std::unique_ptr<Toy>> toys_;
  std::set<ConnectionId> closed_;        // at the coordinator, by whichever side
  std::set<ConnectionId> disconnected_;  // by the coordinator
  std::map<RoundId, std::map<int, Assignment>> rounds_;
  ConnectionId connections_ = 0;
  uint64_t agents_ = 0;
  uint64_t beats_ = 0;
  bool calm_ = false;
  bool over_ = false;
  JobEnd end_;
};

TEST(CoordinatorAtRandom, KeepsItsPromises) {
  const char* one = std::getenv("FERRUN_SEED");
  const uint64_t first = one == nullptr ? 1 : std::stoull(one);
  for (uint64_t seed = first; seed <= (one == nullptr ? seeds_to_try(2000) : first); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World world(seed);
    world.run();
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace ferrun
