// Random jobs of one node: workers that succeed, fail, ignore signals and take their time, signals at any moment, late
// and foreign facts. A failing run names its seed.
#include <gtest/gtest.h>

#include <csignal>

#include "tests/launcher/node/random_world.h"
#include "tests/seeds.h"

namespace ferrun {
namespace {

constexpr auto kGrace = 10s;

class RandomSoloNode : public RandomWorld<RandomSoloNode> {
 public:
  explicit RandomSoloNode(uint64_t seed) : RandomWorld(seed, config) {}

 private:
  friend RandomWorld;
  using RandomWorld::carry_out;

  static NodeConfig config(RandomWorld& world) {
    NodeConfig config;
    config.solo = true;
    config.member.workers = world.pick(1, 5);
    config.member.max_restarts = world.pick(0, 3);
    config.stop.failure_grace = config.stop.shutdown_timeout = kGrace;
    config.with_template = world.chance(30);
    return config;
  }

  void disturb() {
    if (chance(2)) later(SignalArrived{chance(50) ? SIGTERM : SIGINT, chance(50), chance(20), chance(20)}, 5s);
    if (chance(2)) later(StatusAsked{7}, 5s);
    if (config_.with_template && chance(2)) later(TemplateUnusable{"lost"}, 5s);
    if (chance(3)) tell_of_another_attempt();
    const GroupMachine* group = machine_.group();
    if (group != nullptr && group->workers()[0].state == WorkerRecord::State::kEnded && chance(3)) {
      machine_.step(WorkerFact{machine_.attempt(), SignalMissed{0, SIGTERM}}, now_);
      take_effects();
    }
  }

  void note_event(const NodeEvent& event) { told_to_stop_ |= std::holds_alternative<SignalArrived>(event); }

  void carry_out(const PrepareAttempt& prepare) {
    EXPECT_FALSE(told_to_stop_) << "restarted although it was told to stop";
    EXPECT_TRUE(prepare.attempt == prepared_ || prepare.attempt == prepared_ - 1)
        << "attempts are numbered without gaps; one that could not be prepared is tried again";
    prepared_ = prepare.attempt + 1;
    EXPECT_LE(prepare.attempt, config_.member.max_restarts) << "more restarts than allowed";
    EXPECT_TRUE(prepare.attempt == 0 || swept_.contains(prepare.attempt - 1)) << "restarted before the sweep";
    if (chance(5)) return later(AttemptNotReady{prepare.attempt, Error{ErrorKind::kPlatform, "refused"}}, 1s);
    later(AttemptReady{prepare.attempt}, 1s);
  }

  void carry_out(const ForeseeAttempt& foresee) {
    EXPECT_FALSE(told_to_stop_) << "foresees a restart although it was told to stop";
    EXPECT_EQ(foresee.attempt, machine_.attempt() + 1);
    EXPECT_LE(foresee.attempt, config_.member.max_restarts) << "foresees more restarts than allowed";
  }

  void carry_out(const OpenStore& open) {
    EXPECT_TRUE(alive_.empty()) << "the store is emptied while a worker of the old attempt lives";
    restarts_ = static_cast<int>(open.round.number) - 1;
    EXPECT_LE(restarts_, config_.member.max_restarts) << "more restarts than allowed";
    if (chance(3)) return later(StoreNotOpened{open.round, "in use"}, 1s);
    later(StoreOpened{open.round, {"127.0.0.1"}, 4000}, 1s);
  }
  void carry_out(const CloseStore&) {}
  void carry_out(const BeginAttempt& begin) { EXPECT_EQ(begin.attempt, machine_.attempt()); }
  void carry_out(const ShowStatus& show) { EXPECT_FALSE(show.json.empty()); }

  template <typename Effect>
  void carry_out(const Effect&) {
    ADD_FAILURE() << "a job of one node has no coordinator";
  }

  void carry_out(const NodeDone& done) {
    done_ = true;
    if (done.end.kind == JobEnd::Kind::kSuccess) {
      for (const WorkerRecord& worker : machine_.group()->workers())
        EXPECT_TRUE(worker.status && worker.status->success());
    }
    if (done.end.kind == JobEnd::Kind::kFailed) {
      EXPECT_EQ(restarts_, config_.member.max_restarts) << "gave up with restarts left";
      const int first = *machine_.group()->first_failure();
      EXPECT_TRUE(machine_.group()->workers()[static_cast<size_t>(first)].sent_signals.empty())
          << "the first failure is one that ferrun caused";
    }
    EXPECT_EQ(done.exit_status == 0, done.end.kind == JobEnd::Kind::kSuccess);
  }

  void check() { check_stop(kGrace); }

  int prepared_ = 0;
  int restarts_ = 0;
  bool told_to_stop_ = false;
};

TEST(SoloNodeAtRandom, KeepsItsPromises) {
  for (uint64_t seed = 1; seed <= seeds_to_try(20000); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomSoloNode node(seed);
    node.run();
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace ferrun
