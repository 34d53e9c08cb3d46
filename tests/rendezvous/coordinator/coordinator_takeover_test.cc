// A coordinator after another one: saved and reported state, adopted rounds, the end of the job.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "tests/rendezvous/coordinator/coordinator_story.h"

namespace ferrun {
namespace {

using Phase = CoordinatorMachine::Phase;
using ::testing::HasSubstr;

// What the coordinator of a running job of `names` has saved, and the nodes as they were.
struct Before {
  CoordinatorState state;
  std::map<std::string, StoryNode> nodes;
};

Before before(const CoordinatorConfig& config, const std::vector<std::string>& names) {
  CoordinatorStory story(config);
  story.join_all(names);
  EXPECT_EQ(story.phase(), Phase::kRunning);
  for (auto& [name, node] : story.nodes) node.heard.clear();
  return {story.saves.back().state, story.nodes};
}

CoordinatorStory after(const CoordinatorConfig& config, const Before& old, bool state_is_kept = true) {
  CoordinatorStory story(config, state_is_kept ? std::optional(old.state) : std::nullopt);
  story.nodes = old.nodes;
  for (auto& [name, node] : story.nodes) node.connection = 0;
  return story;
}

CoordinatorConfig own_process(int nodes) {
  CoordinatorConfig config = CoordinatorStory::elastic(nodes, nodes + 2, 3);
  config.last_call = 0s;
  config.own_process = true;
  config.lease = 60s;
  return config;
}

TEST(CoordinatorTakeover, AdoptsTheRunningRoundWhenAllItsMembersComeBack) {
  const CoordinatorConfig config = own_process(2);
  CoordinatorStory story = after(config, before(config, {"node0", "node1"}));
  EXPECT_EQ(
      story.reason(),
      "a new coordinator has taken over: waiting for 2 of 2 nodes of round 1 to come back, or for their leases to "
      "end: node0 and node1 (62 s)");
  story.join_all({"node0", "node1"});
  EXPECT_EQ(story.phase(), Phase::kRunning);
  EXPECT_EQ(story.round(), (RoundId{1, 1}));
  EXPECT_TRUE(story.last<Welcome>("node1").resumed);
  EXPECT_EQ(story.last<Welcome>("node1").incarnation, 2u);
  story.wait(100s);
  EXPECT_EQ(story.count<Stop>("node0"), 0u);
  story.fail("node1");
  EXPECT_EQ(story.round(), (RoundId{2, 2}));
  EXPECT_EQ(story.node("node0").assignment.restart_count, 1);
}

TEST(CoordinatorTakeover, FormsNothingBeforeOneLeaseHasPassedWhenAMemberIsMissing) {
  const CoordinatorConfig config = own_process(2);
  CoordinatorStory story = after(config, before(config, {"node0", "node1"}));
  story.join_all({"node0", "new1", "new2"});
  story.wait(61599ms);
  EXPECT_EQ(story.count<Prepare>("new1"), 0u);
  EXPECT_EQ(story.count<Stop>("node0"), 0u) << "training goes on meanwhile";
  story.wait(1ms);
  EXPECT_EQ(story.last<Stop>("node0").reason, "node1 did not come back to the new coordinator");
  EXPECT_EQ(story.phase(), Phase::kRunning);
  EXPECT_EQ(story.round(), (RoundId{2, 2}));
  EXPECT_EQ(story.rank("node0"), 0);
  EXPECT_EQ(story.node("node0").assignment.restart_count, 0) << "a lost coordinator spends nothing";
}

TEST(CoordinatorTakeover, FormsAtOnceWhenAllMembersAreBackAndTheirWorkersAreGone) {
  CoordinatorConfig config = CoordinatorStory::fixed(2);
  Before old = before(config, {"node0", "node1"});
  for (auto& [name, node] : old.nodes) node.work = Work::kReaped;
  CoordinatorStory story = after(config, old);
  story.join("node1");
  EXPECT_FALSE(story.last<Welcome>("node1").resumed);
  EXPECT_EQ(story.phase(), Phase::kGathering);
  story.join("node0");
  EXPECT_EQ(story.round(), (RoundId{2, 2}));
  EXPECT_EQ(story.rank("node0"), 0);
  EXPECT_EQ(story.node("node0").assignment.restart_count, 0);
}

TEST(CoordinatorTakeover, StopsThoseWhoRunWhenOneComesBackWithoutWorkers) {
  const CoordinatorConfig config = own_process(2);
  Before old = before(config, {"node0", "node1"});
  old.nodes["node1"].work = Work::kReaped;
  CoordinatorStory story = after(config, old);
  story.join_all({"node0", "node1"});
  EXPECT_EQ(story.last<Stop>("node0").reason, "node1 came back without running workers");
  EXPECT_EQ(story.round(), (RoundId{2, 2}));
}

// All agents were killed, and others are started in their place.
TEST(CoordinatorTakeover, BeginsANewLaunchWhenNobodyComesBack) {
  CoordinatorConfig config = CoordinatorStory::fixed(2, 3);
  Before old = before(config, {"node0", "node1"});
  old.state.restarts = 2;
  for (auto& [name, node] : old.nodes) {
    node = StoryNode{{node.agent.value + 1000}, 0, true, true, {}, {}, {}, Work::kNone, node.join};
    node.join.past = {};
  }
  config.launch_id = "another launch";
  CoordinatorStory story = after(config, old);
  story.join_all({"node0", "node1"});
  story.wait(6s);
  EXPECT_EQ(story.count<Prepare>("node0"), 0u) << "leases of the old one may run";
  story.wait(100ms);
  EXPECT_EQ(story.round(), (RoundId{2, 2}));
  EXPECT_EQ(story.phase(), Phase::kRunning);
  EXPECT_TRUE(story.said("no node of the earlier launch launch has come back"));
  for (const char* name : {"node0", "node1"}) {
    EXPECT_EQ(story.last<Welcome>(name).launch_id, "another launch");
    EXPECT_EQ(story.node(name).assignment.restart_count, 0);
    EXPECT_EQ(story.count<Stop>(name), 0u);
  }
  EXPECT_EQ(story.saves.back().state.launch_id, "another launch");
  EXPECT_EQ(story.saves.back().state.restarts, 0);
}

TEST(CoordinatorTakeover, GoesOnWithTheSavedLaunchWhenOneOfItsNodesComesBack) {
  CoordinatorConfig config = CoordinatorStory::fixed(2, 3);
  Before old = before(config, {"node0", "node1"});
  old.state.restarts = 2;
  old.nodes["node1"].work = Work::kReaped;
  config.launch_id = "another launch";
  CoordinatorStory story = after(config, old);
  story.start_anew("node0");
  story.join("node0");
  EXPECT_EQ(story.last<Welcome>("node0").launch_id, "another launch");
  EXPECT_EQ(story.saves.back().state.launch_id, "launch") << "until it is known, the saved one is kept";
  story.join("node1");
  EXPECT_EQ(story.last<Welcome>("node1").launch_id, "launch");
  EXPECT_EQ(story.node("node0").connection, 0u) << "it has to learn the right one";
  EXPECT_TRUE(story.last<Refused>("node0").try_again);
  EXPECT_EQ(story.last<Refused>("node0").reason, "an earlier launch of this job goes on, launch: joining again");
  story.node("node0").join.past.launch_id = "another launch";
  story.join("node0");
  EXPECT_EQ(story.last<Welcome>("node0").launch_id, "launch");
  story.wait(7s);
  EXPECT_EQ(story.phase(), Phase::kRunning);
  EXPECT_EQ(story.node("node0").assignment.restart_count, 2);
  EXPECT_EQ(story.saves.back().state.restarts, 2);
}

TEST(CoordinatorTakeover, GoesOnWithTheSavedLaunchThoughItsNodeComesLateWhereNothingCouldBegin) {
  CoordinatorConfig config = CoordinatorStory::fixed(2, 3);
  Before old = before(config, {"node0", "node1"});
  old.state.restarts = 1;
  old.nodes["node1"].work = Work::kReaped;
  config.launch_id = "another launch";
  CoordinatorStory story = after(config, old);
  story.start_anew("node0");
  story.join("node0");
  story.wait(20s);
  story.join("node1");
  story.join("node0");
  EXPECT_EQ(story.phase(), Phase::kRunning);
  EXPECT_EQ(story.last<Welcome>("node0").launch_id, "launch");
  EXPECT_EQ(story.node("node0").assignment.restart_count, 1);
}

TEST(CoordinatorTakeover, WaitsForNoLeaseWhenACoordinatorComesBackBeforeTheFirstRound) {
  CoordinatorConfig config = own_process(2);
  CoordinatorStory first(config);
  first.join("node0");
  config.launch_id = "another launch";
  CoordinatorStory story(config, first.saves.back().state);
  story.nodes = first.nodes;
  story.node("node0").join.past.launch_id = "launch";
  story.join_all({"node0", "node1"});
  EXPECT_EQ(story.phase(), Phase::kRunning);
  EXPECT_EQ(story.last<Welcome>("node1").launch_id, "launch");
}

TEST(CoordinatorTakeover, TakesTheLaunchOfANewerRoundForThatWhichGoesOn) {
  CoordinatorConfig config = CoordinatorStory::fixed(2, 3);
  Before old = before(config, {"node0", "node1"});
  old.state.restarts = 3;
  config.launch_id = "another launch";
  CoordinatorStory story(config, old.state);
  for (const char* name : {"new0", "new1"}) {
    story.node(name).agent.value += 1000;
    story.node(name).accepted = {4, 9};
    story.node(name).work = Work::kReaped;
    story.node(name).join.past.launch_id = "a later launch";
    story.join(name);
  }
  story.wait(7s);
  EXPECT_EQ(story.phase(), Phase::kRunning);
  EXPECT_EQ(story.last<Welcome>("new1").launch_id, "a later launch");
  EXPECT_EQ(story.node("new1").assignment.restart_count, 0);
}

TEST(CoordinatorTakeover, RebuildsItsStateOfWhatMembersRemember) {
  const CoordinatorConfig config = own_process(2);
  Before old = before(config, {"node0", "node1"});
  for (auto& [name, node] : old.nodes) {
    node.join.past.restarts = 2;
    node.join.past.launch_id = "the old launch";
  }
  CoordinatorStory story = after(config, old, false);
  story.join("node1");
  EXPECT_TRUE(story.last<Welcome>("node1").resumed);
  EXPECT_EQ(story.last<Welcome>("node1").incarnation, 2u);
  EXPECT_EQ(story.last<Welcome>("node1").launch_id, "the old launch");
  EXPECT_THAT(story.reason(), HasSubstr("waiting for 1 of 2 nodes of round 1 to come back"));
  story.join("node0");
  EXPECT_EQ(story.round(), (RoundId{1, 1}));
  story.fail("node0");
  EXPECT_EQ(story.node("node0").assignment.restart_count, 3);
  story.fail("node0");
  EXPECT_TRUE(story.done) << "the budget was known";
}

TEST(CoordinatorTakeover, SendsThoseAwayForAMomentWhoWereToldAnotherLaunchId) {
  const CoordinatorConfig config = own_process(3);
  Before old = before(config, {"node0", "node1", "node2"});
  for (auto& [name, node] : old.nodes) node.join.past.launch_id = "the old launch";
  CoordinatorStory story = after(config, old, false);
  story.join("new");
  EXPECT_EQ(story.last<Welcome>("new").launch_id, "launch");
  story.join("node0");
  EXPECT_EQ(story.node("new").connection, 0u);
  story.join("new");
  EXPECT_EQ(story.last<Welcome>("new").launch_id, "the old launch");
}

TEST(CoordinatorTakeover, StaysAboveEveryRoundThatAMemberHasAccepted) {
  CoordinatorStory story(CoordinatorStory::fixed(2));
  story.node("node0").accepted = {7, 40};
  story.node("node0").work = Work::kReaped;
  story.join("node0");
  EXPECT_EQ(story.last<Welcome>("node0").incarnation, 8u);
  story.join("node1");
  story.wait(10s);
  EXPECT_EQ(story.round(), (RoundId{8, 41}));
  EXPECT_EQ(story.phase(), Phase::kRunning);
}

TEST(CoordinatorTakeover, WithoutItsStateLetsLeasesEndThoughOnlySparesTellOfAnotherCoordinator) {
  CoordinatorStory story(CoordinatorStory::fixed(1));
  story.node("spare").join.past.launch_id = "another";
  story.join("spare");
  EXPECT_THAT(story.reason(), HasSubstr("knows nothing of the rounds of an earlier one"));
  story.wait(6s);
  EXPECT_EQ(story.phase(), Phase::kGathering);
  story.wait(100ms);
  EXPECT_EQ(story.phase(), Phase::kRunning);
}

TEST(CoordinatorTakeover, ShowsTheRoundThatRunsAndNotANewerOneOfWhichAMemberTells) {
  CoordinatorStory story(CoordinatorStory::fixed(1));
  story.join("node0");
  story.wait(10s);
  story.node("spare").accepted = {2, 3};
  story.node("spare").work = Work::kReaped;
  story.join("spare");
  EXPECT_THAT(story.machine.status_json(story.now), HasSubstr(R"("round":{"incarnation":1,"number":1})"));
}

TEST(CoordinatorTakeover, IsNotHeldUpForLongByALieAboutOldRounds) {
  CoordinatorStory story(CoordinatorStory::fixed(2));
  story.node("liar").accepted = {5, 5};
  story.node("liar").assignment.node_count = 1 << 30;
  story.node("liar").assignment.node_rank = -3;
  story.node("liar").work = Work::kRunning;
  story.join_all({"liar", "node1"});
  story.wait(6100ms);
  EXPECT_EQ(story.phase(), Phase::kRunning);
  EXPECT_EQ(story.round(), (RoundId{6, 6}));
}

TEST(CoordinatorTakeover, TellsEverybodyOfAJobThatHasEndedHowItEnded) {
  const CoordinatorConfig config = own_process(2);
  Before old = before(config, {"node0", "node1"});
  old.state.closed = JobEnd{JobEnd::Kind::kFailed, 3, {"root cause"}};
  CoordinatorStory story = after(config, old);
  EXPECT_EQ(story.phase(), Phase::kClosing);
  story.join("node0");
  EXPECT_EQ(story.last<Close>("node0").end, *old.state.closed);
  EXPECT_FALSE(story.done);
  story.join("node1");
  ASSERT_TRUE(story.done);
  EXPECT_EQ(story.done->end, *old.state.closed);
}

// --- The end of the job. ---

TEST(CoordinatorClose, SavesTheEndBeforeAnybodyIsTold) {
  CoordinatorStory story(CoordinatorStory::fixed(1));
  story.join("node0");
  story.answers_saves = false;
  story.finish("node0");
  EXPECT_EQ(story.count<Close>("node0"), 0u);
  EXPECT_EQ(story.reason(), "the job has succeeded; this is being saved");
  story.step(StateSaved{story.saves.back().ticket, ""});
  EXPECT_EQ(story.count<Close>("node0"), 1u);
  EXPECT_TRUE(story.done);
}

TEST(CoordinatorClose, EndsTheJobThoughTheEndCannotBeSaved) {
  CoordinatorStory story(CoordinatorStory::fixed(1));
  story.join("node0");
  story.save_error = "No space left on device";
  story.finish("node0");
  EXPECT_TRUE(story.done);
  EXPECT_TRUE(story.said("No space left on device"));
}

TEST(CoordinatorClose, TellsSparesAndLateNodesOfSuccess) {
  CoordinatorStory story(CoordinatorStory::fixed(1));
  story.join_all({"node0", "spare"});
  story.node("node0").answers = false;
  story.finish("node0");
  EXPECT_EQ(story.last<Close>("spare").end.exit_status, 0);
  story.join("late");
  EXPECT_EQ(story.last<Close>("late").end.exit_status, 0);
  EXPECT_FALSE(story.done);
  story.kill("node0");
  EXPECT_TRUE(story.done) << "a node that is gone need not acknowledge";
}

TEST(CoordinatorClose, WaitsForAcknowledgementsOnlySoLong) {
  CoordinatorStory story(CoordinatorStory::fixed(2));
  story.join_all({"node0", "node1"});
  story.node("node1").answers = false;
  story.finish("node0");
  story.finish("node1");
  story.wait(30s - 1ms);
  EXPECT_FALSE(story.done);
  story.wait(1ms);
  EXPECT_TRUE(story.done);
}

TEST(CoordinatorClose, DoesNotWaitForTheSilent) {
  CoordinatorStory story(CoordinatorStory::fixed(2));
  story.join_all({"node0", "node1"});
  story.node("node1").answers = story.node("node1").beats = false;
  story.finish("node0");
  story.finish("node1");
  story.wait(6s);
  EXPECT_TRUE(story.done);
}

TEST(CoordinatorClose, WaitsForTheSilentOnceTheyAreHeardAgain) {
  CoordinatorStory story(CoordinatorStory::fixed(2));
  story.join_all({"node0", "node1"});
  story.node("node0").answers = story.node("node1").answers = story.node("node1").beats = false;
  story.finish("node0");
  story.finish("node1");
  story.wait(6s);
  story.say("node1", Heartbeat{1});
  story.say("node0", Closed{});
  EXPECT_FALSE(story.done);
  story.say("node1", Closed{});
  EXPECT_TRUE(story.done);
}

TEST(CoordinatorStop, EndsTheJobUnderACoordinatorOfItsOwn) {
  const CoordinatorConfig config = own_process(1);
  CoordinatorStory story(config);
  story.join("node0");
  story.wait(0s);
  story.step(CoordinatorStopped{SIGTERM});
  EXPECT_EQ(story.last<Close>("node0").end.kind, JobEnd::Kind::kStopped);
  ASSERT_TRUE(story.done);
  EXPECT_EQ(story.done->end.exit_status, 143);
}

TEST(CoordinatorStop, ObeysASecondSignalAtOnce) {
  CoordinatorStory story(own_process(1));
  story.join("node0");
  story.node("node0").answers = false;
  story.step(CoordinatorStopped{SIGTERM});
  EXPECT_FALSE(story.done);
  story.step(CoordinatorStopped{SIGINT});
  EXPECT_TRUE(story.done);
}

TEST(CoordinatorStop, LeavesWithTheAgentThatHostsItAndEndsNothing) {
  CoordinatorConfig config = CoordinatorStory::elastic(1, 2);
  config.host_agent.value = 101;
  CoordinatorStory story(config);
  story.join_all({"node0", "node1"});
  story.step(CoordinatorStopped{SIGTERM});
  story.say("node0", Goodbye{SIGTERM, ""});
  EXPECT_EQ(story.last<Stop>("node1").reason, "node0 leaves (SIGTERM)");
  story.wait(5s);
  EXPECT_EQ(story.round().number, 1u) << "nothing forms any more";
  EXPECT_FALSE(story.done);
  story.kill("node0");
  ASSERT_TRUE(story.done);
  EXPECT_EQ(story.count<Close>("node1"), 0u);
  EXPECT_EQ(story.node("node1").connection, 0u);
}

// Their lease is the coordinator's to give.
TEST(CoordinatorStop, StaysForNodesThatLeaveTooUntilTheirWorkersAreGone) {
  CoordinatorConfig config = CoordinatorStory::elastic(1, 2);
  config.host_agent.value = 101;
  CoordinatorStory story(config);
  story.join_all({"node0", "node1"});
  for (const char* name : {"node0", "node1"}) story.node(name).answers = false;
  story.step(CoordinatorStopped{SIGTERM});
  for (const char* name : {"node0", "node1"}) story.say(name, Goodbye{SIGTERM, ""});
  story.kill("node0");
  EXPECT_FALSE(story.done);
  story.say("node1", Heartbeat{7});
  EXPECT_EQ(story.last<HeartbeatAnswer>("node1").number, 7u);
  story.kill("node1");
  EXPECT_TRUE(story.done);
}

TEST(CoordinatorStop, AwaitsTheLastWordOfANodeThatWasLeavingBefore) {
  CoordinatorStory story(own_process(2));
  story.join_all({"node0", "node1"});
  story.node("node1").answers = false;
  story.say("node1", Goodbye{SIGTERM, ""});
  story.step(CoordinatorStopped{SIGTERM});
  EXPECT_EQ(story.last<Close>("node1").end.kind, JobEnd::Kind::kStopped);
  EXPECT_FALSE(story.done);
  story.kill("node1");
  EXPECT_TRUE(story.done);
}

// Of the next coordinator nobody waits for the lease of a node whose workers are known to be gone.
TEST(CoordinatorStop, TellsItsSuccessorWhoIsGone) {
  CoordinatorConfig config = CoordinatorStory::elastic(1, 3);
  config.last_call = 0s;
  config.host_agent.value = 101;
  config.has_successors = true;
  config.lease = 60s;
  CoordinatorStory story(config);
  for (const char* name : {"node0", "node1", "node2"}) story.node(name);
  story.join_all({"node0", "node1", "node2"});
  story.wait(31s);
  ASSERT_EQ(story.node("node2").assignment.node_count, 3);
  EXPECT_TRUE(story.last<Welcome>("node1").own_process) << "workers outlive it";
  story.node("node2").answers = false;
  story.step(CoordinatorStopped{SIGTERM});
  story.say("node0", Goodbye{SIGTERM, ""});
  story.answers_saves = false;
  story.kill("node0");
  EXPECT_FALSE(story.done) << "its last word is not saved yet";
  const SaveState last = story.saves.back();
  story.step(StateSaved{last.ticket, ""});
  ASSERT_TRUE(story.done);
  EXPECT_FALSE(story.machine.job_is_over());
  ASSERT_EQ(last.state.members.size(), 3u);
  for (const CoordinatorState::Member& member : last.state.members) {
    EXPECT_EQ(member.remains, member.host == "node2" ? Remains::kUnknown : Remains::kNone) << member.host;
  }

  config.host_agent.value = 102;
  CoordinatorStory next = after(config, {last.state, story.nodes});
  next.node("node2").answers = true;
  next.node("node2").work = Work::kReaped;
  next.join("node2");
  next.wait(1s);
  EXPECT_GT(next.round(), last.state.newest) << next.reason();
}

TEST(CoordinatorTakeover, WaitsNoLongerForWhomIsFoundToBeGone) {
  const CoordinatorConfig config = own_process(2);
  CoordinatorStory story = after(config, before(config, {"node0", "node1"}));
  story.join("node0");
  story.wait(5s);
  story.step(RemainsFound{story.node("node1").agent, Remains::kDying});
  EXPECT_EQ(story.count<Stop>("node0"), 0u);
  story.wait(config.stop_bound);
  EXPECT_EQ(story.last<Stop>("node0").reason, "node1 did not come back to the new coordinator");
}

// What a member remembers makes the coordinator claim a number while no round is there whose nodes could be saved.
TEST(CoordinatorClaim, SavesANewNumberAfterARoundThatCouldNotStart) {
  CoordinatorStory story(CoordinatorStory::elastic(2, 3));
  story.node("node0");
  story.node("node1").answers = false;
  story.join_all({"node0", "node1"});
  story.wait(30s);
  ASSERT_EQ(story.phase(), CoordinatorMachine::Phase::kPreparing);
  story.node("node1").answers = true;
  story.kill("node1");
  ASSERT_EQ(story.phase(), CoordinatorMachine::Phase::kGathering);
  StoryNode& stranger = story.node("stranger");
  stranger.accepted = {5, 9};
  stranger.work = Work::kReaped;
  story.join("stranger");
  story.wait(31s);
  EXPECT_EQ(story.round(), (RoundId{6, 10}));
  const auto claim =
      std::ranges::find(story.saves, uint64_t{6}, [](const SaveState& save) { return save.state.incarnation; });
  ASSERT_NE(claim, story.saves.end());
  EXPECT_EQ(claim->state.newest, (RoundId{5, 9}));
  EXPECT_TRUE(claim->state.members.empty());
}

}  // namespace
}  // namespace ferrun
