// Random lives of one node: rounds that succeed, fail and are stopped, workers that ignore signals, coordinators that
// are silent, go away and come back, signals at any moment. A failing run names its seed.
#include <gtest/gtest.h>

#include <csignal>
#include <map>
#include <optional>

#include "tests/launcher/node/random_world.h"
#include "tests/seeds.h"

namespace ferrun {
namespace {

constexpr Duration kShutdown = 4s;
constexpr Duration kLease = 5s;

// A coordinator asks for one round after the other, through a network.
class RandomNode : public RandomWorld<RandomNode> {
 public:
  explicit RandomNode(uint64_t seed) : RandomWorld(seed, config), rounds_left_(pick(0, 5)) {}

 private:
  friend RandomWorld;
  using RandomWorld::carry_out;

  static NodeConfig config(RandomWorld& world) {
    NodeConfig config;
    config.member.workers = world.pick(1, 4);
    config.member.coordinator_timeout = 8s;
    config.member.join_timeout = 60s;
    config.stop.failure_grace = 1s;
    config.stop.shutdown_timeout = kShutdown;
    config.with_template = world.chance(30);
    return config;
  }

  void say(CoordinatorMessage message) {
    if (connected_) later(CoordinatorSaid{connection_, std::move(message)}, 20ms);
  }

  // --- What happens by itself. ---

  void disturb() {
    if (chance(1) && chance(20)) later(SignalArrived{chance(50) ? SIGTERM : SIGINT}, 5s);
    if (chance(1) && chance(20)) later(SentinelDied{}, 60s);
    if (chance(1)) later(TemplateUnusable{"lost"}, 5s);
    if (chance(1)) later(StatusAsked{3}, 1s);
    if (chance(1)) silent_until_ = now_ + std::chrono::milliseconds(pick(0, 9000));
    if (connected_ && chance(1)) lose(static_cast<LossKind>(pick(0, 2)));
    if (connected_ && started_ && chance(2))
      stop(chance(50) ? StopKind::kMembership : chance(50) ? StopKind::kFailure : StopKind::kLoss);
    if (chance(3)) tell_of_another_attempt();
  }

  void lose(LossKind kind) {
    connected_ = false;
    later(CoordinatorGone{connection_, kind, "lost"}, 10ms);
  }

  void note_end(const Process& process, const ExitStatus& status) {
    // A crash is no answer to a signal of ferrun's.
    const bool answers = !process.sent.empty() && (!status.is_signal() || process.sent.contains(status.signal()));
    own_failure_[process.local_rank] = !status.success() && !answers;
  }

  // --- Effects. ---

  void carry_out(const PrepareAttempt& prepare) {
    EXPECT_TRUE(alive_.empty());
    EXPECT_EQ(prepare.attempt, begun_) << "attempts are numbered without gaps";
    EXPECT_TRUE(begun_ == 0 || swept_.contains(begun_ - 1)) << "prepared before the sweep";
    if (chance(2)) return later(AttemptNotReady{prepare.attempt, Error{ErrorKind::kPlatform, "refused"}}, 1s);
    later(AttemptReady{prepare.attempt}, prepare.with_template ? 2s : 10ms);
  }
  void carry_out(const ForeseeAttempt& foresee) {
    EXPECT_TRUE(alive_.empty());
    EXPECT_EQ(foresee.attempt, begun_) << "the one that is prepared next";
  }
  void carry_out(const LeaveJob&) {}
  void carry_out(const BeginAttempt& begin) {
    EXPECT_EQ(begin.attempt, begun_++);
    EXPECT_TRUE(alive_.empty()) << "two groups at once";
    EXPECT_GT(begin.assignment.round, started_round_) << "a round that is not newer";
    EXPECT_TRUE(held_ && *held_ > now_) << "begun without a lease";
    started_round_ = begin.assignment.round;
    own_failure_.clear();
  }
  void carry_out(const Dial&) {
    connected_ = false;
    later(CoordinatorReached{++connection_, "node0"}, chance(80) ? 100ms : 9s);
  }
  void carry_out(const HangUp&) { hung_up_ = true; }
  void carry_out(const OpenStore& open) {
    if (chance(95)) return later(StoreOpened{open.round, {"10.0.0.2"}, 4000}, 10ms);
    later(StoreNotOpened{open.round, "taken"}, 10ms);
  }
  void carry_out(const ReachStore& reach) {
    if (chance(95)) return later(StoreAnswered{reach.round, "10.0.0.2"}, 10ms);
    later(StoreUnreachable{reach.round, "refused"}, 10ms);
  }
  void carry_out(const CloseStore&) {}
  void carry_out(const ShowStatus&) {}
  void carry_out(const HoldLease& hold) { held_ = hold.until; }
  void carry_out(const NodeDone& done) {
    EXPECT_EQ(done.exit_status == 0, done.lines.empty()) << "silent failure, or a loud success";
    done_ = true;
  }

  // --- The coordinator. ---

  void carry_out(const TellCoordinator& told) {
    std::visit([this](const auto& message) { hear(message); }, told.message);
  }
  void hear(const Join& join) {
    connected_ = true;
    const Work work = join.past.work;
    EXPECT_EQ(work == Work::kRunning || work == Work::kStopping, !alive_.empty() || busy());
    started_ = work == Work::kRunning;
    say(Welcome{1, chance(30), kLease, 1s, "launch", work == Work::kRunning && chance(70)});
    if (work == Work::kReaped || work == Work::kNone) next_round();
  }
  // Between Go and the end of the sweep.
  bool busy() const { return machine_.member().lease_end().has_value(); }
  void hear(const Heartbeat& heartbeat) {
    if (now_ >= silent_until_) say(HeartbeatAnswer{heartbeat.number});
  }
  void hear(const Prepared& prepared) {
    EXPECT_TRUE(alive_.empty());
    say(DialStore{prepared.round, {"10.0.0.2"}, 4000});
  }
  void hear(const NotPrepared&) { next_round(); }
  void hear(const StoreReached& reached) {
    started_ = true;
    say(Go{reached.round, "all are there"});
  }
  void hear(const WorkerSucceeded&) {}
  void hear(const NodeFinished& finished) {
    if (chance(50)) return say(Close{JobEnd{}});
    say(Stop{finished.round, StopKind::kFailure, "another node failed"});
  }
  void hear(const NodeFailed& failed) {
    EXPECT_FALSE(failed.failures.empty());
    for (const LocalFailure& failure : failed.failures) {
      if (failed.round != started_round_) continue;  // it could not begin
      EXPECT_TRUE(own_failure_[failure.local_rank]) << "a victim is told as a failure";
    }
    stop(StopKind::kFailure);
  }
  void hear(const StopAcknowledged&) {}
  void hear(const NodeReaped& reaped) {
    EXPECT_TRUE(alive_.empty() || reaped.round < started_round_) << "told to be gone";
    if (!machine_.done()) next_round();
  }
  void hear(const Goodbye&) {}
  void hear(const Closed&) {}
  void hear(const StatusRequest& request) { say(StatusReply{request.id, "{}"}); }

  void stop(StopKind kind) {
    started_ = false;
    say(Stop{machine_.member().round(), kind, "a reason"});
  }
  void next_round() {
    started_ = false;
    if (rounds_left_-- <= 0) return say(Close{JobEnd{JobEnd::Kind::kFailed, 3, {"root cause"}}});
    Assignment assignment;
    assignment.round = {1, machine_.member().round().number + 1};
    assignment.world = assignment.role_world = config_.member.workers;
    say(Prepare{assignment, chance(50), {}});
  }

  // --- Invariants. ---

  void check() {
    for (const auto& [pid, process] : alive_) {
      const bool covered = held_ && *held_ > now_;
      EXPECT_TRUE(covered || process.sent.contains(SIGKILL)) << "pid " << pid << " outlives the lease";
    }
    check_stop(kShutdown);
  }

  int rounds_left_ = 0;
  std::map<int, bool> own_failure_;  // by local rank, of the last attempt
  int begun_ = 0;
  RoundId started_round_;
  std::optional<TimePoint> held_;
  ConnectionId connection_ = 0;
  bool connected_ = false;
  bool started_ = false;
  bool hung_up_ = false;
  TimePoint silent_until_;
};

TEST(NodeMachineAtRandom, KeepsItsPromises) {
  for (uint64_t seed = 1; seed <= seeds_to_try(10000); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomNode node(seed);
    node.run();
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace ferrun
