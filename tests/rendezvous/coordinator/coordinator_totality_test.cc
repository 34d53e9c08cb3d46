// Every event in every phase: it is answered or ignored, never a crash, a deadline in the past or a worse state than
// before.
#include <gtest/gtest.h>

#include <csignal>
#include <functional>
#include <limits>

#include "tests/rendezvous/coordinator/coordinator_story.h"

namespace ferrun {
namespace {

using Phase = CoordinatorMachine::Phase;

constexpr int kHuge = std::numeric_limits<int>::max();

CoordinatorConfig config() {
  CoordinatorConfig config = CoordinatorStory::elastic(2, 3, 2);
  config.last_call = 1s;
  return config;
}

// Stories that have come to each phase, the nodes quiet from then on.
CoordinatorStory at(Phase phase) {
  CoordinatorStory story(config());
  const auto quiet = [&story] {
    for (const char* name : {"node0", "node1"}) story.node(name).answers = false;
  };
  if (phase == Phase::kPreparing) quiet();
  story.join("node0");
  if (phase != Phase::kGathering) story.join("node1");
  if (phase != Phase::kGathering) story.wait(1s);
  quiet();
  if (phase == Phase::kStopping) story.fail("node0");
  if (phase == Phase::kClosing || phase == Phase::kClosed) {
    story.finish("node0");
    story.finish("node1");
  }
  if (phase == Phase::kClosed) story.wait(31s);
  EXPECT_EQ(story.phase(), phase);
  return story;
}

std::vector<RoundId> rounds(const RoundId& newest) {
  constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();
  return {
      {0, 0}, {newest.incarnation, newest.number - 1}, newest, {newest.incarnation, newest.number + 1}, {kMost, kMost}};
}

LocalFailure strange_failure(int local_rank) {
  LocalFailure failure;
  failure.local_rank = local_rank;
  failure.rank = kHuge;
  failure.kind = FailureKind::kOutOfMemory;
  failure.age = Duration::max();
  failure.report = {std::string(100, '\n'), "\x1b[2J"};
  return failure;
}

std::vector<CoordinatorEvent> events(const CoordinatorStory& story, ConnectionId connection) {
  std::vector<CoordinatorEvent> events;
  const auto say = [&](MemberMessage message) { events.push_back(PeerSaid{connection, std::move(message)}); };
  for (const RoundId& round : rounds(story.round())) {
    say(Prepared{round, {}, 0});
    say(Prepared{round, {"10.0.0.1"}, 1});
    say(NotPrepared{round, "no\nway"});
    say(StoreReached{round, ""});
    say(WorkerSucceeded{round});
    say(NodeFinished{round});
    say(NodeFailed{round, {}});
    say(NodeFailed{round, {strange_failure(0), strange_failure(-1), strange_failure(kHuge)}});
    say(StopAcknowledged{round, {strange_failure(1)}});
    say(NodeReaped{round});
    for (const Work work : {Work::kNone, Work::kRunning, Work::kStopping, Work::kReaped, Work::kFinished}) {
      Join join;
      join.past.round = round;
      join.past.work = work;
      join.past.assignment.node_count = kHuge;
      join.past.assignment.first_rank = -kHuge;
      join.past.restarts = kHuge;
      join.node_rank = kHuge;
      say(join);
    }
  }
  say(Heartbeat{std::numeric_limits<uint64_t>::max()});
  say(Goodbye{SIGTERM, "so\nlong"});
  say(Goodbye{-1, ""});
  say(Closed{});
  say(StatusRequest{0});
  for (const LossKind kind : {LossKind::kEndOfStream, LossKind::kReset, LossKind::kLocal}) {
    events.push_back(PeerLost{connection, kind, "because"});
  }
  for (const uint64_t agent : {0, 101, 102, 999}) {
    events.push_back(PeerArrived{connection, AgentId{agent}, "10.0.0.1"});
    events.push_back(PeerArrived{1000 + agent, AgentId{agent}, ""});
  }
  for (const uint64_t ticket : {0, 1, 2, 3, 4, 99}) {
    events.push_back(StateSaved{ticket, ""});
    events.push_back(StateSaved{ticket, "no space"});
  }
  for (const Remains remains : {Remains::kUnknown, Remains::kDying, Remains::kNone}) {
    for (const uint64_t agent : {101, 999}) events.push_back(RemainsFound{AgentId{agent}, remains});
  }
  events.push_back(CoordinatorStopped{SIGTERM});
  events.push_back(CoordinatorStopped{-5});
  events.push_back(CoordinatorDeadline{});
  return events;
}

class CoordinatorTotality : public ::testing::TestWithParam<Phase> {};

TEST_P(CoordinatorTotality, AnswersEveryEventFromEveryConnection) {
  for (const ConnectionId connection : {ConnectionId{1}, ConnectionId{2}, ConnectionId{77}}) {
    const size_t count = events(at(GetParam()), connection).size();
    for (size_t index = 0; index < count; ++index) {
      SCOPED_TRACE("event " + std::to_string(index) + " from connection " + std::to_string(connection));
      CoordinatorStory story = at(GetParam());
      const RoundId before = story.round();
      const CoordinatorEvent event = events(story, connection)[index];
      story.step(event);
      story.step(event);  // and again
      EXPECT_GE(story.round(), before);
      EXPECT_FALSE(story.reason().empty());
      EXPECT_FALSE(story.machine.status_json(story.now).empty());
      for (const char* name : {"node0", "node1"}) story.node(name).answers = true;
      story.wait(100s);
      if (HasFailure()) return;
    }
  }
}

TEST_P(CoordinatorTotality, ComesToAnEndOfEveryPairOfEvents) {
  const size_t count = events(at(GetParam()), 1).size();
  for (size_t first = 0; first < count; ++first) {
    for (size_t second = first % 7; second < count; second += 7) {
      SCOPED_TRACE("events " + std::to_string(first) + " and " + std::to_string(second));
      CoordinatorStory story = at(GetParam());
      story.step(events(story, 1)[first]);
      story.step(events(story, 2)[second]);
      story.now += 3s;
      story.step(CoordinatorDeadline{});
      if (HasFailure()) return;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Phases, CoordinatorTotality,
                         ::testing::Values(Phase::kGathering, Phase::kPreparing, Phase::kRunning, Phase::kStopping,
                                           Phase::kClosing, Phase::kClosed));

}  // namespace
}  // namespace ferrun
