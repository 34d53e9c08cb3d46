#include "launcher/workers/group_machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <map>

namespace ferrun {
namespace {

using namespace std::chrono_literals;
using GroupPhase = GroupMachine::Phase;
using State = WorkerRecord::State;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr pid_t kFirstPid = 100;

// A group with a clock of its own; effects as text: "start 0", "SIGTERM 1", "say ...".
class Group {
 public:
  explicit Group(int workers, Duration grace = 30s) : machine(workers, grace) {}

  std::vector<std::string> effects() {
    std::vector<std::string> texts;
    for (const GroupEffect& effect : machine.take_effects()) {
      if (const auto* start = std::get_if<StartRank>(&effect))
        texts.push_back("start " + std::to_string(start->local_rank) + (start->afresh ? " afresh" : ""));
      if (const auto* send = std::get_if<SignalRank>(&effect)) {
        EXPECT_EQ(send->pid, kFirstPid + send->local_rank);
        if (send->signal == SIGCONT) continue;  // follows every signal that a stopped process would not take
        texts.push_back(signal_name(send->signal) + " " + std::to_string(send->local_rank));
      }
      if (const auto* tell = std::get_if<TellUser>(&effect)) texts.push_back("say " + tell->line);
    }
    return texts;
  }
  void step(const GroupEvent& event) { machine.step(event, now); }
  void started(int rank) { step(RankStarted{rank, kFirstPid + rank}); }
  void ended(int rank, ExitStatus status) { step(RankEnded{rank, status}); }
  void exited(int rank, int code) { ended(rank, ExitStatus::exited(code)); }
  void run_all() {
    for (const WorkerRecord& worker : machine.workers()) started(worker.local_rank);
    effects();
  }
  State state(int rank) const { return machine.workers()[static_cast<size_t>(rank)].state; }

  TimePoint now{1000s};
  GroupMachine machine;
};

TEST(GroupMachine, StartsWorkersOneAfterTheOther) {
  Group group(3);
  EXPECT_THAT(group.effects(), ElementsAre("start 0"));
  group.started(0);
  EXPECT_THAT(group.effects(), ElementsAre("start 1"));
  group.started(1);
  EXPECT_THAT(group.effects(), ElementsAre("start 2"));
  EXPECT_EQ(group.machine.phase(), GroupPhase::kStarting);
  group.started(2);
  EXPECT_THAT(group.effects(), IsEmpty());
  EXPECT_EQ(group.machine.phase(), GroupPhase::kRunning);
  EXPECT_EQ(group.machine.next_deadline(), std::nullopt);
}

TEST(GroupMachine, SucceedsWhenEveryWorkerExitedWithZero) {
  Group group(2);
  group.run_all();
  group.exited(1, 0);
  EXPECT_FALSE(group.machine.ended());
  group.exited(0, 0);
  EXPECT_TRUE(group.machine.succeeded());
  EXPECT_EQ(group.machine.first_failure(), std::nullopt);
  EXPECT_THAT(group.effects(), IsEmpty());
}

TEST(GroupMachine, AWorkerThatEndsWhileOthersStartDoesNotEndTheGroup) {
  Group group(2);
  group.started(0);
  group.exited(0, 0);
  EXPECT_FALSE(group.machine.ended());
  group.started(1);
  group.exited(1, 0);
  EXPECT_TRUE(group.machine.succeeded());
}

TEST(GroupMachine, AFailureStopsTheOthersOnce) {
  Group group(3);
  group.run_all();
  group.exited(1, 3);
  EXPECT_THAT(group.effects(), ElementsAre("SIGTERM 0", "SIGTERM 2"));
  EXPECT_EQ(group.machine.phase(), GroupPhase::kStopping);
  EXPECT_EQ(group.machine.next_deadline(), group.now + 30s);
  group.ended(0, ExitStatus::signaled(SIGTERM));
  EXPECT_THAT(group.effects(), IsEmpty());
  EXPECT_EQ(group.machine.next_deadline(), TimePoint{1000s} + 30s) << "one grace for all";
  group.exited(2, 0);
  EXPECT_TRUE(group.machine.ended());
  EXPECT_FALSE(group.machine.succeeded());
  EXPECT_EQ(group.machine.first_failure(), 1);
  EXPECT_EQ(group.machine.next_deadline(), std::nullopt);
}

TEST(GroupMachine, ASignalFollowedByContinueReachesAStoppedWorker) {
  Group group(2);
  group.run_all();
  group.exited(0, 1);
  std::vector<int> signals;
  for (const GroupEffect& effect : group.machine.take_effects()) signals.push_back(std::get<SignalRank>(effect).signal);
  EXPECT_THAT(signals, ElementsAre(SIGTERM, SIGCONT));
}

// The second failure waited to be noticed while the first one's signal was sent.
TEST(GroupMachine, ASignalThatCameTooLateIsNotCounted) {
  for (const bool told_first : {false, true}) {
    Group group(3);
    group.run_all();
    group.exited(1, 3);
    if (told_first) group.step(SignalMissed{0, SIGTERM});
    group.exited(0, 3);
    group.ended(2, ExitStatus::signaled(SIGTERM));
    EXPECT_TRUE(group.machine.ended());
    if (!told_first) group.step(SignalMissed{0, SIGTERM});
    EXPECT_TRUE(group.machine.ended());
    EXPECT_THAT(group.machine.workers()[0].sent_signals, IsEmpty());
    EXPECT_THAT(group.machine.workers()[2].sent_signals, ElementsAre(SIGTERM));
  }
}

TEST(GroupMachine, KillsWhatOutlivesTheGrace) {
  Group group(3, 5s);
  group.run_all();
  group.exited(0, 1);
  group.effects();
  group.exited(1, 0);
  group.now += 5s - 1ns;
  group.step(GraceOver{});
  EXPECT_THAT(group.effects(), IsEmpty()) << "too early";
  group.now += 1ns;
  group.step(GraceOver{});
  EXPECT_THAT(group.effects(), ElementsAre("say rank 2 did not end within 5 s: sending SIGKILL", "SIGKILL 2"));
  EXPECT_EQ(group.machine.phase(), GroupPhase::kKilling);
  EXPECT_EQ(group.machine.next_deadline(), std::nullopt);
  group.ended(2, ExitStatus::signaled(SIGKILL));
  EXPECT_TRUE(group.machine.ended());
}

TEST(GroupMachine, NoGraceMeansAnImmediateDeadline) {
  Group group(2, 0s);
  group.run_all();
  group.exited(0, 1);
  EXPECT_EQ(group.machine.next_deadline(), group.now);
  group.step(GraceOver{});
  EXPECT_THAT(group.effects(), ElementsAre("SIGTERM 1", HasSubstr("say rank 1"), "SIGKILL 1"));
}

TEST(GroupMachine, AStopForwardsItsSignalAndIsNoSuccess) {
  Group group(2);
  group.run_all();
  group.step(StopGroup{SIGINT, "got SIGINT"});
  EXPECT_THAT(group.effects(), ElementsAre("say got SIGINT", "SIGINT 0", "SIGINT 1"));
  group.exited(0, 0);
  group.exited(1, 0);
  EXPECT_TRUE(group.machine.ended());
  EXPECT_FALSE(group.machine.succeeded());
  EXPECT_EQ(group.machine.first_failure(), std::nullopt);
}

TEST(GroupMachine, AFailureAfterAStopIsNotTheFirstFailure) {
  Group group(2);
  group.run_all();
  group.step(StopGroup{SIGTERM, "stop"});
  group.exited(0, 1);
  group.exited(1, 1);
  EXPECT_EQ(group.machine.first_failure(), std::nullopt);
}

TEST(GroupMachine, AStopDuringAStopIsForwardedWithinTheSameGrace) {
  Group group(3);
  group.run_all();
  group.exited(0, 1);
  group.effects();
  group.now += 10s;
  group.step(StopGroup{SIGINT, "got SIGINT"});
  EXPECT_THAT(group.effects(), ElementsAre("say got SIGINT", "SIGINT 1", "SIGINT 2"));
  EXPECT_EQ(group.machine.next_deadline(), TimePoint{1030s});
  EXPECT_EQ(group.machine.first_failure(), 0);
}

TEST(GroupMachine, AStopMayHaveAGraceOfItsOwn) {
  Group group(1, 1s);
  group.run_all();
  group.step(StopGroup{SIGTERM, "node3 joined", 30s});
  EXPECT_THAT(group.effects(), ElementsAre("say node3 joined", "SIGTERM 0"));
  EXPECT_EQ(group.machine.next_deadline(), group.now + 30s);
  group.now += 30s;
  group.step(GraceOver{});
  EXPECT_THAT(group.effects(), ElementsAre("say rank 0 did not end within 30 s: sending SIGKILL", "SIGKILL 0"));
}

TEST(GroupMachine, AStricterStopShortensTheGraceAndNoStopProlongsIt) {
  Group group(1, 1s);
  group.run_all();
  group.step(StopGroup{SIGTERM, "node3 joined", 30s});
  group.effects();
  const TimePoint began = group.now;
  group.now += 10s;
  group.step(StopGroup{0, "rank 5 failed", 1500ms});
  EXPECT_THAT(group.effects(), ElementsAre("say rank 5 failed")) << "it has been asked already";
  EXPECT_EQ(group.machine.next_deadline(), began + 11500ms);
  group.step(StopGroup{SIGINT, "got SIGINT", 30s});
  EXPECT_THAT(group.effects(), ElementsAre("say got SIGINT", "SIGINT 0"));
  EXPECT_EQ(group.machine.next_deadline(), began + 11500ms);
  group.now = began + 11500ms;
  group.step(GraceOver{});
  EXPECT_THAT(group.effects(), ElementsAre("say rank 0 did not end within 1500 ms: sending SIGKILL", "SIGKILL 0"));
}

TEST(GroupMachine, NamesRanksAsTheWholeJobCountsThem) {
  GroupMachine machine(1, 0s, 8);
  machine.step(RankStarted{0, kFirstPid}, TimePoint{});
  machine.step(StopGroup{SIGTERM, "stop"}, TimePoint{});
  machine.take_effects();
  machine.step(GraceOver{}, TimePoint{});
  EXPECT_EQ(std::get<TellUser>(machine.take_effects().at(0)).line, "rank 8 did not end within 0 s: sending SIGKILL");
}

TEST(GroupMachine, AKillAsksNobody) {
  for (const bool stopping : {false, true}) {
    Group group(2);
    group.run_all();
    if (stopping) group.step(StopGroup{SIGTERM, "stop"});
    group.effects();
    group.step(KillGroup{"now"});
    EXPECT_THAT(group.effects(), ElementsAre("say now", "SIGKILL 0", "SIGKILL 1"));
    EXPECT_EQ(group.machine.phase(), GroupPhase::kKilling);
    group.step(StopGroup{SIGTERM, "again"});
    EXPECT_THAT(group.effects(), IsEmpty()) << "killing does not go back to asking";
  }
}

TEST(GroupMachine, StartsNothingMoreAfterAFailedStart) {
  Group group(3);
  group.started(0);
  group.effects();
  group.step(RankNotStarted{1, Error{ErrorKind::kUser, "no such program"}});
  EXPECT_THAT(group.effects(), ElementsAre("SIGTERM 0"));
  group.ended(0, ExitStatus::signaled(SIGTERM));
  EXPECT_TRUE(group.machine.ended());
  EXPECT_EQ(group.machine.first_failure(), 1);
  EXPECT_EQ(group.state(1), State::kFailedToStart);
  EXPECT_EQ(group.state(2), State::kWaiting);
}

TEST(GroupMachine, EndsAtOnceWhenTheFirstStartFails) {
  Group group(2);
  group.step(RankNotStarted{0, Error{ErrorKind::kUser, "no such program"}});
  EXPECT_TRUE(group.machine.ended());
  EXPECT_FALSE(group.machine.succeeded());
}

TEST(GroupMachine, StartsAfreshWhatTheTemplateDidNotFork) {
  Group group(2);
  group.effects();
  group.step(RankNotForked{0});
  EXPECT_THAT(group.effects(), ElementsAre("start 0 afresh"));
  EXPECT_EQ(group.machine.phase(), GroupPhase::kStarting);
  group.started(0);
  EXPECT_THAT(group.effects(), ElementsAre("start 1"));
  group.step(RankNotForked{0});
  EXPECT_THAT(group.effects(), IsEmpty()) << "it runs";
}

TEST(GroupMachine, LeavesWhatWasNotForkedWhenItIsStopped) {
  Group group(2);
  group.started(0);
  group.step(StopGroup{SIGTERM, "enough"});
  group.effects();
  group.step(RankNotForked{1});
  EXPECT_THAT(group.effects(), IsEmpty());
  EXPECT_EQ(group.state(1), State::kWaiting);
  group.ended(0, ExitStatus::signaled(SIGTERM));
  EXPECT_TRUE(group.machine.ended());
  EXPECT_EQ(group.machine.first_failure(), std::nullopt);
}

TEST(GroupMachine, SignalsAWorkerWhoseStartWasUnderWay) {
  Group group(2);
  group.started(0);
  group.exited(0, 1);
  group.effects();
  EXPECT_FALSE(group.machine.ended()) << "rank 1 may be running already";
  group.started(1);
  EXPECT_THAT(group.effects(), ElementsAre("SIGTERM 1"));

  Group killed(2);
  killed.step(KillGroup{"now"});
  killed.effects();
  killed.started(0);
  EXPECT_THAT(killed.effects(), ElementsAre("SIGKILL 0"));
  EXPECT_EQ(killed.state(1), State::kWaiting);
}

TEST(GroupMachine, RecordsWhatFerrunSentAndWhen) {
  Group group(2, 5s);
  group.run_all();
  group.now += 2s;
  group.exited(0, 1);
  group.now += 5s;
  group.step(GraceOver{});
  group.now += 1s;
  group.ended(1, ExitStatus::signaled(SIGKILL));
  const WorkerRecord& victim = group.machine.workers()[1];
  EXPECT_THAT(victim.sent_signals, ElementsAre(SIGTERM, SIGKILL));
  EXPECT_EQ(victim.started_at, TimePoint{1000s});
  EXPECT_EQ(victim.ended_at, TimePoint{1008s});
  EXPECT_THAT(group.machine.workers()[0].sent_signals, IsEmpty());
}

// Every event in every phase: what may not happen changes nothing.
TEST(GroupMachine, IgnoresFactsThatDoNotFit) {
  Group group(2);
  group.exited(0, 1);       // not started
  group.step(GraceOver{});  // no grace is running
  EXPECT_EQ(group.machine.phase(), GroupPhase::kStarting);
  group.run_all();
  group.started(0);                                                // twice
  group.step(RankNotStarted{0, Error{ErrorKind::kUser, "late"}});  // it runs
  group.step(GraceOver{});
  EXPECT_EQ(group.machine.phase(), GroupPhase::kRunning);
  EXPECT_THAT(group.effects(), IsEmpty());
  group.exited(0, 0);
  group.exited(0, 7);  // ended already
  group.exited(1, 0);
  for (const GroupEvent& event :
       std::vector<GroupEvent>{RankStarted{0, 5}, RankNotForked{0}, RankEnded{1, ExitStatus::exited(1)}, GraceOver{},
                               StopGroup{SIGTERM, "late"}, KillGroup{"late"}, RankNotStarted{1, Error{}}}) {
    group.step(event);
  }
  EXPECT_TRUE(group.machine.succeeded());
  EXPECT_THAT(group.effects(), IsEmpty());
}

// --- Failures that may only have followed from another's. ---

TEST(GroupMachine, AFailureInQuestionStopsTheOthersWhenItHasExplainedItself) {
  Group group(3, 5s);
  group.run_all();
  group.step(RankEnded{1, ExitStatus::exited(3), true});
  EXPECT_THAT(group.effects(), IsEmpty());
  EXPECT_TRUE(group.machine.waits_for_words());
  EXPECT_EQ(group.machine.next_deadline(), group.now + GroupMachine::kJudgement);
  group.now += 1ms;
  group.step(FailureJudged{true});
  EXPECT_THAT(group.effects(), ElementsAre("SIGTERM 0", "SIGTERM 2"));
  EXPECT_FALSE(group.machine.waits_for_words());
  EXPECT_EQ(group.machine.next_deadline(), TimePoint{1000s} + 5s) << "the grace began with the failure";
}

TEST(GroupMachine, AFailureInQuestionThatNobodyJudgesStopsTheOthersSoon) {
  Group group(2, 5s);
  group.run_all();
  group.step(RankEnded{1, ExitStatus::exited(3), true});
  group.now = *group.machine.next_deadline();
  group.step(GraceOver{});
  EXPECT_THAT(group.effects(), ElementsAre("SIGTERM 0"));
  group.step(FailureJudged{false});
  EXPECT_THAT(group.effects(), IsEmpty());
  EXPECT_EQ(group.machine.next_deadline(), TimePoint{1000s} + 5s);
}

TEST(GroupMachine, TheOthersOfAVictimMayEndByThemselvesForAWhile) {
  Group group(3, 5s);
  group.run_all();
  group.step(RankEnded{0, ExitStatus::exited(1), true});
  group.now += 1ms;
  group.step(FailureJudged{false});
  EXPECT_THAT(group.effects(), IsEmpty());
  EXPECT_EQ(group.machine.next_deadline(), TimePoint{1000s} + kLastWords);
  group.now += 1s;
  group.step(RankEnded{1, ExitStatus::exited(1), true});
  EXPECT_THAT(group.machine.workers()[1].sent_signals, IsEmpty()) << "nobody had asked it";
  group.step(FailureJudged{false});
  EXPECT_EQ(group.machine.next_deadline(), TimePoint{1000s} + kLastWords) << "each victim begins no new wait";
  group.now = TimePoint{1000s} + kLastWords;
  group.step(GraceOver{});
  EXPECT_THAT(group.effects(), ElementsAre("SIGTERM 2"));
  EXPECT_EQ(group.machine.next_deadline(), TimePoint{1000s} + 5s);
}

TEST(GroupMachine, ACrashAmongTheOthersOfAVictimEndsTheWait) {
  Group group(3, 5s);
  group.run_all();
  group.step(RankEnded{0, ExitStatus::exited(1), true});
  group.step(FailureJudged{false});
  group.step(RankEnded{1, ExitStatus::signaled(SIGSEGV), false});
  EXPECT_THAT(group.effects(), ElementsAre("SIGTERM 2"));
}

TEST(GroupMachine, TheWaitForWordsLeavesHalfOfTheGraceToThoseThatAreAsked) {
  Group group(2, 1s);
  group.run_all();
  group.step(RankEnded{0, ExitStatus::exited(1), true});
  group.step(FailureJudged{false});
  EXPECT_EQ(group.machine.next_deadline(), group.now + 500ms);
  Group without(2, 0s);
  without.run_all();
  without.step(RankEnded{0, ExitStatus::exited(1), true});
  EXPECT_THAT(without.effects(), ElementsAre("SIGTERM 1"));
}

TEST(GroupMachine, AStopForAnotherReasonEndsTheWaitForWords) {
  for (const int signal : {0, SIGINT}) {
    Group group(2, 5s);
    group.run_all();
    group.step(RankEnded{0, ExitStatus::exited(1), true});
    group.step(FailureJudged{false});
    group.step(StopGroup{signal, "stop"});
    EXPECT_THAT(group.effects(), ElementsAre("say stop", signal == 0 ? "SIGTERM 1" : "SIGINT 1"));
  }
}

TEST(GroupMachine, AStopBecauseOfAVictimElsewhereLeavesTimeForWordsButUnasksNobody) {
  Group group(2, 5s);
  group.run_all();
  group.step(StopGroup{SIGTERM, "rank 5 lost its peer", 4s, {}, true});
  EXPECT_THAT(group.effects(), ElementsAre("say rank 5 lost its peer"));
  EXPECT_EQ(group.machine.next_deadline(), group.now + kLastWords);
  group.step(RankEnded{1, ExitStatus::exited(3), true});
  EXPECT_THAT(group.machine.workers()[1].sent_signals, IsEmpty());
  group.step(FailureJudged{true});
  EXPECT_THAT(group.effects(), ElementsAre("SIGTERM 0"));
  group.step(StopGroup{SIGTERM, "rank 6 lost its peer", 4s, {}, true});
  EXPECT_THAT(group.effects(), ElementsAre("say rank 6 lost its peer"));
  EXPECT_EQ(group.machine.next_deadline(), group.now + 4s);
}

TEST(GroupMachine, MarksTheFirstSignalThatIsToEndAWorker) {
  Group group(1, 1s);
  group.run_all();
  group.step(PassSignal{SIGUSR1});
  group.step(StopGroup{SIGTERM, "stop"});
  group.step(StopGroup{SIGINT, "stop"});
  std::vector<int> first;
  for (const GroupEffect& effect : group.machine.take_effects()) {
    const auto* send = std::get_if<SignalRank>(&effect);
    if (send != nullptr && send->first) first.push_back(send->signal);
  }
  EXPECT_THAT(first, ElementsAre(SIGTERM));
}

}  // namespace
}  // namespace ferrun
