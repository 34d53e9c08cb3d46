// Rounds of a coordinator: joining, preparing, running, failing, finishing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "rendezvous/wire/message_codec.h"
#include "tests/rendezvous/coordinator/coordinator_story.h"

namespace ferrun {
namespace {

using Phase = CoordinatorMachine::Phase;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

CoordinatorConfig fixed(int nodes, int max_restarts = 0) { return CoordinatorStory::fixed(nodes, max_restarts); }

TEST(CoordinatorRound, WelcomesAMemberAndSaysWhatItWaitsFor) {
  CoordinatorStory story(fixed(4));
  story.join("node0");
  const Welcome& welcome = story.last<Welcome>("node0");
  EXPECT_EQ(welcome.incarnation, 1u);
  EXPECT_EQ(welcome.launch_id, "launch");
  EXPECT_FALSE(welcome.resumed);
  EXPECT_EQ(story.last<Waiting>("node0").sentence, "waiting for 3 of 4 nodes; here: node0");
  EXPECT_EQ(story.phase(), Phase::kGathering);
}

TEST(CoordinatorRound, TellsAboutWaitingAtMostOnceASecond) {
  CoordinatorStory story(fixed(4));
  story.join_all({"node0", "node1", "node2"});
  EXPECT_EQ(story.count<Waiting>("node0"), 1u);
  EXPECT_EQ(story.count<Waiting>("node2"), 0u);
  story.wait(1s);
  EXPECT_EQ(story.count<Waiting>("node0"), 2u);
  EXPECT_EQ(story.last<Waiting>("node2").sentence, "waiting for 1 of 4 nodes; here: node0, node1 and node2");
  story.wait(10s);
  EXPECT_EQ(story.count<Waiting>("node0"), 2u) << "the sentence has not changed";
}

TEST(CoordinatorRound, AnswersHeartbeats) {
  CoordinatorStory story(fixed(4));
  story.join("node0");
  story.say("node0", Heartbeat{17});
  EXPECT_EQ(story.last<HeartbeatAnswer>("node0").number, 17u);
}

TEST(CoordinatorRound, StartsARoundWhenAllNodesAreThere) {
  CoordinatorStory story(fixed(3));
  story.join_all({"node10", "node2", "node1"});
  EXPECT_EQ(story.phase(), Phase::kRunning);
  EXPECT_EQ(story.round(), (RoundId{1, 1}));
  EXPECT_EQ(story.rank("node1"), 0);
  EXPECT_EQ(story.rank("node2"), 1);
  EXPECT_EQ(story.rank("node10"), 2);
  const Assignment& last = story.node("node10").assignment;
  EXPECT_EQ(last.node_count, 3);
  EXPECT_EQ(last.first_rank, 4);
  EXPECT_EQ(last.world, 6);
  EXPECT_EQ(last.restart_count, 0);
  EXPECT_EQ(story.last<Go>("node2").reason, "all 3 nodes are there");
}

TEST(CoordinatorRound, AsksRankZerosNodeAloneForTheStoreAndAdmitsAllAddresses) {
  CoordinatorStory story(fixed(2));
  story.join_all({"node0", "node1"});
  const Prepare& first = story.last<Prepare>("node0");
  EXPECT_TRUE(first.open_store);
  EXPECT_THAT(first.admitted, ElementsAre("10.0.0.1", "10.0.0.2", "192.168.0.1", "192.168.0.2"));
  EXPECT_FALSE(story.last<Prepare>("node1").open_store);
  EXPECT_TRUE(story.last<Prepare>("node1").admitted.empty());
  EXPECT_THAT(story.last<DialStore>("node0").addresses, ElementsAre("10.0.0.1"));
  EXPECT_EQ(story.last<DialStore>("node1").port, 4711);
}

TEST(CoordinatorRound, AdmitsEveryNodeOfAJobWithMoreAddressesThanOneMessageHolds) {
  constexpr int kNodes = 5000;
  constexpr int kAddresses = 32;
  TimePoint now{1000s};
  CoordinatorMachine machine(fixed(kNodes), std::nullopt, now);
  std::vector<CoordinatorEffect> effects;
  const auto step = [&](const CoordinatorEvent& event) {
    machine.step(event, now);
    for (CoordinatorEffect& effect : machine.take_effects()) effects.push_back(std::move(effect));
  };
  for (const CoordinatorEffect& effect : machine.take_effects()) effects.push_back(effect);
  step(StateSaved{std::get<SaveState>(effects.at(0)).ticket, ""});
  for (int node = 1; node <= kNodes; ++node) {
    const std::string place = std::to_string(node / 250) + "." + std::to_string(node % 250);
    Join join;
    join.host = "node" + std::to_string(node);
    join.workers = 1;
    for (int own = 0; own < kAddresses; ++own) join.addresses.push_back(std::to_string(own + 20) + ".1." + place);
    const auto connection = static_cast<ConnectionId>(node);
    step(PeerArrived{connection, AgentId{connection}, "10.2." + place});
    step(PeerSaid{connection, std::move(join)});
  }
  const auto is_order = [](const CoordinatorEffect& effect) {
    const auto* tell = std::get_if<Tell>(&effect);
    const auto* prepare = tell == nullptr ? nullptr : std::get_if<Prepare>(&tell->message);
    return prepare != nullptr && prepare->open_store;
  };
  const auto order = std::ranges::find_if(effects, is_order);
  ASSERT_NE(order, effects.end());
  const CoordinatorMessage& message = std::get<Tell>(*order).message;
  const auto read = decode_coordinator_message(encode(message));
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(read.value(), message) << "something was cut";
  const std::vector<std::string>& admitted = std::get<Prepare>(message).admitted;
  for (const std::string last = std::to_string(kNodes / 250) + "." + std::to_string(kNodes % 250);
       const std::string first : {"10.2.", "20.1.", "30.1."}) {
    EXPECT_TRUE(std::ranges::binary_search(admitted, first + last)) << first + last;
  }
}

TEST(CoordinatorRound, GoesOnlyWhenEveryNodeHasReachedTheStoreAndTheStateIsSaved) {
  CoordinatorStory story(fixed(2));
  story.answers_saves = false;
  story.node("node0");
  story.node("node1").answers = false;
  story.join_all({"node0", "node1"});
  const RoundId round = story.round();
  EXPECT_EQ(story.reason(), "preparing round 1: waiting for node1 to be ready");
  story.say("node1", Prepared{round, {}, 0});
  EXPECT_EQ(story.reason(), "preparing round 1: waiting for node1 to reach the store at 10.0.0.1, port 4711 on node0");
  story.say("node1", StoreReached{round, "10.0.0.1"});
  EXPECT_EQ(story.phase(), Phase::kPreparing);
  EXPECT_EQ(story.reason(), "preparing round 1: waiting for the coordinator's state to be saved");
  const SaveState& save = story.saves.back();
  EXPECT_EQ(save.state.newest, round);
  ASSERT_EQ(save.state.members.size(), 2u);
  EXPECT_EQ(save.state.members[1].host, "node1");
  story.step(StateSaved{save.ticket, ""});
  EXPECT_EQ(story.phase(), Phase::kRunning);
  EXPECT_EQ(story.count<Go>("node1"), 1u);
}

TEST(CoordinatorRound, PreparesNothingBeforeItsIncarnationIsSaved) {
  CoordinatorStory story(fixed(1), std::nullopt, "No space left on device");
  EXPECT_TRUE(story.said("No space left on device"));
  story.join("node0");
  EXPECT_EQ(story.phase(), Phase::kGathering);
  EXPECT_EQ(story.reason(), "waiting for the coordinator's state to be saved: No space left on device");
  story.save_error.clear();
  story.wait(1s);
  EXPECT_EQ(story.phase(), Phase::kRunning);
}

TEST(CoordinatorRound, TriesAgainToSaveItsStateBeforeItGivesUpARound) {
  CoordinatorStory story(fixed(1));
  story.save_error = "No space left on device";
  story.join("node0");
  EXPECT_EQ(story.phase(), Phase::kPreparing);
  EXPECT_TRUE(story.said("No space left on device"));
  story.save_error.clear();
  story.wait(1s);
  EXPECT_EQ(story.phase(), Phase::kRunning);
  EXPECT_EQ(story.round().number, 1u);
}

TEST(CoordinatorRound, IgnoresAnswersThatAreDoubleForeignOrOfAnotherRound) {
  CoordinatorStory story(fixed(2));
  story.node("node1").answers = false;
  story.join_all({"node0", "node1"});
  story.join("spare");
  const RoundId round = story.round();
  for (int times = 0; times < 3; ++times) {
    story.say("node0", Prepared{round, {"10.0.0.1"}, 4711});
    story.say("node0", StoreReached{round, "10.0.0.1"});
    story.say("spare", Prepared{round, {}, 0});
    story.say("spare", StoreReached{round, ""});
    story.say("node1", Prepared{{round.incarnation, round.number + 1}, {}, 0});
    story.say("node1", StoreReached{{0, 0}, ""});
    story.say("node1", NodeFinished{round});
    story.say("node1", NodeFailed{round, {CoordinatorStory::failure("node1")}});
    story.say("node1", NodeReaped{round});
  }
  EXPECT_EQ(story.phase(), Phase::kPreparing);
  EXPECT_EQ(story.round(), round);
}

TEST(CoordinatorRound, EndsTheJobWhenAllNodesHaveFinished) {
  CoordinatorStory story(fixed(2));
  story.join_all({"node0", "node1"});
  story.node("node1").answers = false;
  story.finish("node0");
  EXPECT_EQ(story.phase(), Phase::kRunning);
  story.finish("node1");
  EXPECT_EQ(story.phase(), Phase::kClosing);
  EXPECT_EQ(story.last<Close>("node0").end.kind, JobEnd::Kind::kSuccess);
  ASSERT_TRUE(story.saves.back().state.closed);
  EXPECT_FALSE(story.done) << "the coordinator leaves last";
  story.say("node1", Closed{});
  ASSERT_TRUE(story.done);
  EXPECT_EQ(story.done->end.exit_status, 0);
  EXPECT_EQ(story.phase(), Phase::kClosed);
}

TEST(CoordinatorRound, StopsEveryNodeAtOnceWhenAWorkerFails) {
  CoordinatorStory story(fixed(3, 1));
  story.join_all({"node0", "node1", "node2"});
  story.node("node2").answers = false;
  story.fail("node1");
  for (const char* name : {"node0", "node1", "node2"}) {
    EXPECT_EQ(story.last<Stop>(name).kind, StopKind::kFailure);
    EXPECT_EQ(story.last<Stop>(name).reason, "node1: a worker on node1 exited with code 3");
  }
  EXPECT_EQ(story.phase(), Phase::kStopping);
}

TEST(CoordinatorRound, RestartsAllNodesWithOneCountAndNewRound) {
  CoordinatorStory story(fixed(2, 1));
  story.join_all({"node0", "node1"});
  story.fail("node1");
  EXPECT_EQ(story.phase(), Phase::kRunning);
  EXPECT_EQ(story.round(), (RoundId{1, 2}));
  EXPECT_EQ(story.node("node0").assignment.restart_count, 1);
  EXPECT_EQ(story.node("node1").assignment.restart_count, 1);
  EXPECT_EQ(story.last<Go>("node0").reason, "node1: a worker on node1 exited with code 3");
}

TEST(CoordinatorRound, WaitsForTheLastOldWorkerBeforeItStartsAnotherRound) {
  CoordinatorStory story(fixed(2, 1));
  story.join_all({"node0", "node1"});
  story.node("node0").answers = false;
  story.fail("node1");
  story.say("node0", StopAcknowledged{{1, 1}, {}});
  story.wait(20s);
  EXPECT_EQ(story.phase(), Phase::kStopping);
  story.node("node0").answers = true;
  story.say("node0", NodeReaped{{1, 1}});
  EXPECT_EQ(story.phase(), Phase::kRunning);
}

TEST(CoordinatorRound, EndsTheJobWithTheRootCausesStatusWhenNoRestartIsLeft) {
  CoordinatorStory story(fixed(2));
  story.join_all({"node0", "node1"});
  story.fail("node1", FailureKind::kExit, 42);
  ASSERT_TRUE(story.done);
  EXPECT_EQ(story.done->end.kind, JobEnd::Kind::kFailed);
  EXPECT_EQ(story.done->end.exit_status, 42);
  EXPECT_THAT(story.done->end.report, ElementsAre("Root cause: node1: a worker on node1 exited with code 42"));
  EXPECT_EQ(story.last<Close>("node0").end, story.done->end);
}

TEST(CoordinatorRound, LetsTheAcknowledgementsOfTheStopDecideTheRootCause) {
  CoordinatorStory story(fixed(2));
  story.join_all({"node0", "node1"});
  story.wait(60s);
  story.node("node0").answers = false;
  story.fail("node1", FailureKind::kLostPeer, 1);
  story.now += 1ms;
  LocalFailure earlier = CoordinatorStory::failure("node0", FailureKind::kExit, 7);
  earlier.age = 500ms;
  story.say("node0", StopAcknowledged{{1, 1}, {earlier}});
  story.say("node0", Closed{});
  ASSERT_TRUE(story.done);
  EXPECT_EQ(story.done->end.exit_status, 7);
}

TEST(CoordinatorRound, DoesNotWaitLongForTheRootCause) {
  CoordinatorStory story(fixed(2));
  story.join_all({"node0", "node1"});
  story.node("node0").answers = false;
  story.fail("node1");
  EXPECT_EQ(story.phase(), Phase::kStopping);
  story.wait(199ms);
  EXPECT_EQ(story.phase(), Phase::kStopping);
  story.wait(1ms);
  EXPECT_EQ(story.phase(), Phase::kClosing);
}

TEST(CoordinatorRound, DoesNotRestartAProgramThatCannotBeExecuted) {
  CoordinatorStory story(fixed(2, 5));
  story.join_all({"node0", "node1"});
  story.fail("node1", FailureKind::kNotStarted, kExitUsage);
  ASSERT_TRUE(story.done);
  EXPECT_EQ(story.done->end.exit_status, kExitUsage);
}

TEST(CoordinatorRound, NeverReportsSuccessForAFailureWhateverAPeerSays) {
  CoordinatorStory story(fixed(2));
  story.join_all({"node0", "node1"});
  story.fail("node1", FailureKind::kExit, 0);
  ASSERT_TRUE(story.done);
  EXPECT_EQ(story.done->end.exit_status, 1);
}

TEST(CoordinatorRound, TakesAFailureWithoutDetailsForOne) {
  CoordinatorStory story(fixed(2));
  story.join_all({"node0", "node1"});
  LocalFailure foreign = CoordinatorStory::failure("node1");
  foreign.local_rank = 99;
  story.say("node1", NodeFailed{{1, 1}, {foreign}});
  ASSERT_TRUE(story.done);
  EXPECT_EQ(story.done->end.kind, JobEnd::Kind::kFailed);
}

TEST(CoordinatorRound, RunsFinishedNodesAgainWhenTheRoundFailsElsewhere) {
  CoordinatorStory story(fixed(2, 1));
  story.join_all({"node0", "node1"});
  story.finish("node0");
  story.fail("node1");
  EXPECT_EQ(story.phase(), Phase::kRunning);
  EXPECT_EQ(story.round().number, 2u);
  story.finish("node1");
  EXPECT_FALSE(story.done);
  story.finish("node0");
  EXPECT_TRUE(story.done);
}

TEST(CoordinatorRound, SaysNothingAfterTheEnd) {
  CoordinatorStory story(fixed(1));
  story.join("node0");
  story.finish("node0");
  ASSERT_TRUE(story.done);
  story.step(PeerArrived{77, AgentId{5}, "10.0.0.9"});
  story.step(PeerSaid{77, Join{}});
  story.step(CoordinatorStopped{SIGTERM});
  story.step(CoordinatorDeadline{});
  EXPECT_FALSE(story.machine.next_deadline());
}

TEST(CoordinatorRound, HearsTheLastWordsOfOthersBeforeItBlamesAVictim) {
  CoordinatorStory story(fixed(3));
  story.join_all({"node0", "node1", "node2"});
  story.wait(60s);
  for (const char* name : {"node0", "node1", "node2"}) story.node(name).answers = false;
  story.fail("node1", FailureKind::kLostPeer, 1);
  for (const char* name : {"node0", "node1", "node2"}) {
    EXPECT_EQ(story.last<Stop>(name).kind, StopKind::kLostPeer);
    story.say(name, StopAcknowledged{{1, 1}, {}});
  }
  story.wait(1500ms);
  EXPECT_EQ(story.phase(), Phase::kStopping) << "all have answered, and workers may still end by themselves";
  story.say("node0", NodeFailed{{1, 1}, {CoordinatorStory::failure("node0", FailureKind::kExit, 7)}});
  EXPECT_EQ(story.last<Stop>("node2").kind, StopKind::kFailure) << "nobody has to be waited for any more";
  for (const char* name : {"node0", "node1", "node2"}) story.say(name, StopAcknowledged{{1, 1}, {}});
  EXPECT_EQ(story.phase(), Phase::kClosing);
  EXPECT_EQ(story.last<Close>("node2").end.exit_status, 7);
}

CoordinatorConfig with_rule(int status, OnExit then, int max_restarts) {
  CoordinatorConfig config = fixed(2, max_restarts);
  config.restart.on_exit = {{status, status, false, then, std::to_string(status) + "=a rule"}};
  return config;
}

TEST(CoordinatorRound, HoldsTheNextAttemptBackForTheRestartDelay) {
  CoordinatorConfig config = fixed(2, 3);
  config.restart.delay = 4s;
  CoordinatorStory story(config);
  story.join_all({"node0", "node1"});
  story.fail("node1");
  EXPECT_EQ(story.phase(), Phase::kGathering);
  EXPECT_THAT(story.reason(), HasSubstr("(--restart-delay)"));
  story.wait(3999ms);
  EXPECT_EQ(story.round().number, 1u);
  story.wait(1001ms);
  EXPECT_EQ(story.round().number, 2u);
  EXPECT_EQ(story.phase(), Phase::kRunning);
  story.fail("node0");
  story.wait(7999ms);
  EXPECT_EQ(story.round().number, 2u) << "twice as long for the second in a row";
  story.wait(2001ms);
  EXPECT_EQ(story.round().number, 3u);
}

TEST(CoordinatorRound, DelaysNoRoundThatANodeCausesByComingOrGoing) {
  CoordinatorConfig config = CoordinatorStory::elastic(1, 3, 3);
  config.restart.delay = 60s;
  config.scale_interval = 0s;
  config.last_call = 0s;
  CoordinatorStory story(config);
  story.join_all({"node0", "node1"});
  story.wait(1s);
  const uint64_t before = story.round().number;
  story.wait(60s);
  story.kill("node1");
  EXPECT_EQ(story.phase(), Phase::kRunning);
  EXPECT_EQ(story.round().number, before + 1);
}

TEST(CoordinatorRound, EndsTheJobByARuleThoughRestartsAreLeft) {
  CoordinatorStory story(with_rule(3, OnExit::kStop, 5));
  story.join_all({"node0", "node1"});
  story.fail("node1");
  const JobEnd& end = story.last<Close>("node0").end;
  EXPECT_EQ(end.kind, JobEnd::Kind::kFailed);
  EXPECT_EQ(end.exit_status, 3);
  EXPECT_EQ(end.report.back(), "No restart: --on-exit=3=a rule");
}

TEST(CoordinatorRound, RestartsByARuleWithoutSpendingARestart) {
  CoordinatorStory story(with_rule(3, OnExit::kRestart, 0));
  story.join_all({"node0", "node1"});
  for (uint64_t round = 1; round < 4; ++round) {
    EXPECT_EQ(story.round().number, round);
    story.fail("node1");
    story.wait(1s);
  }
  EXPECT_EQ(story.phase(), Phase::kRunning);
  EXPECT_EQ(story.node("node0").assignment.restart_count, 0);
  EXPECT_TRUE(story.said("it is started again (--on-exit=3=a rule)"));
  story.fail("node1", FailureKind::kExit, 4);
  EXPECT_EQ(story.last<Close>("node0").end.exit_status, 4) << "no rule is for that one, and no restart is left";
}

}  // namespace
}  // namespace ferrun
