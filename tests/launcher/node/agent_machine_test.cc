#include "launcher/node/agent_machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "tests/launcher/node/agent_story.h"

namespace ferrun {
namespace {

using namespace std::chrono_literals;
using Phase = AgentMachine::Phase;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

AgentConfig config(int workers, int max_restarts) { return {workers, max_restarts, 30s, false}; }

TEST(AgentMachine, PreparesStartsSweepsAndSucceeds) {
  AgentStory story(config(2, 0));
  EXPECT_THAT(story.effects(), ElementsAre("prepare 0"));
  story.step(AttemptReady{0});
  EXPECT_THAT(story.effects(), ElementsAre("info: starting 2 workers, attempt 0", "start 0/0"));
  story.started(0);
  story.started(1);
  EXPECT_THAT(story.effects(), ElementsAre("start 0/1"));
  story.exited(0, 0);
  EXPECT_THAT(story.effects(), IsEmpty());
  story.exited(1, 0);
  EXPECT_THAT(story.effects(), ElementsAre("sweep 0")) << "also after success nothing of the job may be left";
  story.step(AttemptSwept{0});
  EXPECT_THAT(story.effects(), ElementsAre("finish: success"));
  EXPECT_EQ(story.machine.phase(), Phase::kFinished);
}

TEST(AgentMachine, EndsWithTheFailureWhenNoRestartIsLeft) {
  AgentStory story(config(2, 0));
  story.run_attempt();
  story.exited(1, 3);
  EXPECT_THAT(story.effects(), ElementsAre("SIGTERM 100"));
  story.ended(0, ExitStatus::signaled(SIGTERM));
  EXPECT_THAT(story.effects(), ElementsAre("sweep 0"));
  story.step(AttemptSwept{0});
  EXPECT_THAT(story.effects(), ElementsAre("finish: failed"));
  EXPECT_EQ(story.machine.group()->first_failure(), 1);
}

TEST(AgentMachine, StartsTheNextAttemptOnlyAfterTheSweep) {
  AgentStory story(config(2, 2));
  story.run_attempt();
  story.ended(0, ExitStatus::signaled(SIGKILL));
  story.ended(1, ExitStatus::signaled(SIGTERM));
  EXPECT_THAT(story.effects(), ElementsAre("SIGTERM 101", "sweep 0"));
  EXPECT_EQ(story.machine.attempt(), 0);
  story.step(AttemptSwept{0});
  EXPECT_THAT(
      story.effects(),
      ElementsAre(
          "warning: rank 0 (local_rank 0, pid 100) killed by SIGKILL (killed); starting all workers again (1 restart left)",
          "prepare 1"));
  EXPECT_EQ(story.machine.attempt(), 1);
  story.step(AttemptReady{1});
  EXPECT_THAT(story.effects(), ElementsAre("info: starting 2 workers, attempt 1", "start 1/0"));
}

TEST(AgentMachine, SpendsTheWholeBudgetAndNoMore) {
  AgentStory story(config(1, 2));
  for (int attempt = 0; attempt < 3; ++attempt) {
    story.run_attempt();
    story.exited(0, 1);
    story.step(AttemptSwept{attempt});
  }
  EXPECT_EQ(story.effects().back(), "finish: failed");
  EXPECT_EQ(story.machine.attempt(), 2);
}

TEST(AgentMachine, DropsFactsOfOtherAttempts) {
  AgentStory story(config(2, 1));
  story.run_attempt();
  story.exited(0, 1);
  story.ended(1, ExitStatus::signaled(SIGTERM));
  story.step(AttemptSwept{0});
  story.run_attempt();
  story.step(WorkerFact{0, RankEnded{0, ExitStatus::exited(9)}});
  story.step(AttemptSwept{0});
  story.step(AttemptReady{0});
  story.step(AttemptNotReady{0, Error{}});
  story.step(WorkerFact{2, RankEnded{0, ExitStatus::exited(9)}});
  EXPECT_THAT(story.effects(), IsEmpty());
  EXPECT_EQ(story.machine.phase(), Phase::kRunning);
}

TEST(AgentMachine, ForwardsASignalAndEndsByIt) {
  AgentStory story(config(2, 3));
  story.run_attempt();
  story.step(SignalArrived{SIGHUP});
  EXPECT_THAT(story.effects(), ElementsAre(HasSubstr("got SIGHUP: forwarding"), "SIGHUP 100", "SIGHUP 101"));
  EXPECT_EQ(story.machine.next_deadline(), story.now + 30s);
  story.exited(0, 0);
  story.exited(1, 1);
  story.step(AttemptSwept{0});
  EXPECT_THAT(story.effects(), ElementsAre("sweep 0", "finish: stopped by SIGHUP")) << "and spends no restart";
}

TEST(AgentMachine, ASecondSignalKills) {
  AgentStory story(config(2, 0));
  story.run_attempt();
  story.step(SignalArrived{SIGTERM});
  story.effects();
  story.step(SignalArrived{SIGINT});
  EXPECT_THAT(story.effects(), ElementsAre(HasSubstr("second signal"), "SIGKILL 100", "SIGKILL 101"));
  story.ended(0, ExitStatus::signaled(SIGKILL));
  story.ended(1, ExitStatus::signaled(SIGKILL));
  story.step(AttemptSwept{0});
  EXPECT_EQ(story.effects().back(), "finish: stopped by SIGTERM") << "the first one is the reason";
}

TEST(AgentMachine, ASignalDuringAFailureStopCancelsTheRestart) {
  AgentStory story(config(2, 3));
  story.run_attempt();
  story.exited(0, 1);
  story.effects();
  story.step(SignalArrived{SIGTERM});
  EXPECT_THAT(story.effects(), ElementsAre(HasSubstr("got SIGTERM"), "SIGTERM 101"));
  story.ended(1, ExitStatus::signaled(SIGTERM));
  story.step(AttemptSwept{0});
  EXPECT_EQ(story.effects().back(), "finish: stopped by SIGTERM");
  EXPECT_EQ(story.machine.group()->first_failure(), 0) << "which the report still shows";
}

TEST(AgentMachine, ASignalDuringTheSweepCancelsTheRestart) {
  AgentStory story(config(1, 3));
  story.run_attempt();
  story.exited(0, 1);
  story.step(SignalArrived{SIGINT});
  story.step(AttemptSwept{0});
  EXPECT_EQ(story.effects().back(), "finish: stopped by SIGINT");
}

TEST(AgentMachine, ASignalAfterSuccessChangesNothing) {
  AgentStory story(config(1, 0));
  story.run_attempt();
  story.exited(0, 0);
  story.step(SignalArrived{SIGINT});
  story.step(AttemptSwept{0});
  EXPECT_EQ(story.effects().back(), "finish: success");
}

TEST(AgentMachine, ASignalBeforeTheFirstStartStartsNothing) {
  AgentStory story(config(2, 0));
  story.step(SignalArrived{SIGTERM});
  EXPECT_THAT(story.effects(), ElementsAre("prepare 0", "finish: stopped by SIGTERM"));
  story.step(AttemptReady{0});
  EXPECT_THAT(story.effects(), IsEmpty());
}

TEST(AgentMachine, APreparationThatFailsEndsTheJob) {
  AgentStory story(config(2, 5));
  story.step(AttemptNotReady{0, Error{ErrorKind::kPlatform, "port 29500 is in use"}});
  EXPECT_THAT(story.effects(), ElementsAre("prepare 0", "finish: cannot run: port 29500 is in use"));
}

TEST(AgentMachine, AProgramThatCannotBeExecutedIsNotTriedAgain) {
  AgentStory story(config(2, 5));
  story.step(AttemptReady{0});
  story.step(WorkerFact{0, RankNotStarted{0, Error{ErrorKind::kUser, "x has no #! line"}}});
  story.step(AttemptSwept{0});
  EXPECT_EQ(story.effects().back(), "finish: cannot run: x has no #! line");
}

TEST(AgentMachine, AStartThatTheMachineRefusedIsTriedAgain) {
  AgentStory story(config(1, 1));
  story.step(AttemptReady{0});
  story.effects();
  story.step(WorkerFact{0, RankNotStarted{0, Error{ErrorKind::kPlatform, "no process left"}}});
  story.step(AttemptSwept{0});
  EXPECT_THAT(
      story.effects(),
      ElementsAre("sweep 0", HasSubstr("warning: rank 0 (local_rank 0) did not start: no process left; starting"),
                  "prepare 1"));
  story.step(AttemptReady{1});
  story.step(WorkerFact{1, RankNotStarted{0, Error{ErrorKind::kPlatform, "no process left"}}});
  story.step(AttemptSwept{1});
  EXPECT_EQ(story.effects().back(), "finish: cannot run: no process left");
}

TEST(AgentMachine, ADeadlineOfTheGroupIsItsOwn) {
  AgentStory story(config(2, 0));
  EXPECT_EQ(story.machine.next_deadline(), std::nullopt);
  story.run_attempt();
  story.exited(0, 1);
  story.effects();
  ASSERT_TRUE(story.machine.next_deadline());
  story.now = *story.machine.next_deadline();
  story.step(DeadlineArrived{});
  EXPECT_THAT(story.effects(), ElementsAre(HasSubstr("warning: rank 1 did not end within 30 s"), "SIGKILL 101"));
  story.ended(1, ExitStatus::signaled(SIGKILL));
  EXPECT_EQ(story.machine.next_deadline(), std::nullopt);
}

TEST(AgentMachine, ForksFromTheTemplateUntilItIsLost) {
  AgentConfig forking = config(1, 2);
  forking.with_template = true;
  AgentStory story(forking);
  EXPECT_THAT(story.effects(), ElementsAre("prepare 0 with template"));
  story.step(AttemptReady{0});
  EXPECT_EQ(story.effects().back(), "fork 0/0");
  story.started(0);
  story.step(TemplateUnusable{"the template was killed"});
  EXPECT_THAT(story.effects(), ElementsAre("warning: the template was killed; workers are spawned from now on"));
  story.exited(0, 1);
  story.step(AttemptSwept{0});
  EXPECT_EQ(story.effects().back(), "prepare 1");
  story.step(AttemptReady{1});
  EXPECT_EQ(story.effects().back(), "start 1/0");
  story.step(TemplateUnusable{"again"});
  EXPECT_THAT(story.effects(), IsEmpty()) << "said once";
}

TEST(AgentMachine, ARankThatWasNotForkedIsSpawnedAndTheNextOneForked) {
  AgentConfig forking = config(2, 0);
  forking.with_template = true;
  AgentStory story(forking);
  story.step(AttemptReady{0});
  story.effects();
  story.step(WorkerFact{0, RankNotForked{0}});
  EXPECT_THAT(story.effects(), ElementsAre("start 0/0"));
  story.started(0);
  EXPECT_THAT(story.effects(), ElementsAre("fork 0/1"));
}

TEST(AgentMachine, ATemplateThatCannotStartMeansSpawning) {
  AgentConfig forking = config(1, 0);
  forking.with_template = true;
  AgentStory story(forking);
  story.step(TemplateUnusable{"it exited with code 1 before its fork point"});
  story.step(AttemptReady{0});
  EXPECT_EQ(story.effects().back(), "start 0/0");
}

TEST(AgentMachine, LeavesNothingRunningWhenTheSentinelDies) {
  const auto check = [](AgentStory& story) {
    story.effects();
    story.step(SentinelDied{});
    EXPECT_THAT(story.effects(), ElementsAre("kill everything", "finish: abandoned"));
  };
  AgentStory preparing(config(1, 1));
  check(preparing);
  AgentStory running(config(1, 1));
  running.run_attempt();
  check(running);
  AgentStory sweeping(config(1, 1));
  sweeping.run_attempt();
  sweeping.exited(0, 1);
  check(sweeping);
}

TEST(AgentMachine, IgnoresEverythingAfterTheEnd) {
  AgentStory story(config(1, 5));
  story.run_attempt();
  story.exited(0, 0);
  story.step(AttemptSwept{0});
  story.effects();
  for (const AgentEvent& event :
       std::vector<AgentEvent>{AttemptReady{0}, AttemptNotReady{0, Error{}}, AttemptSwept{0}, TemplateUnusable{"x"},
                               WorkerFact{0, RankEnded{0, ExitStatus::exited(1)}}, SignalArrived{SIGTERM},
                               SentinelDied{}, DeadlineArrived{}}) {
    story.step(event);
  }
  EXPECT_THAT(story.effects(), IsEmpty());
  EXPECT_EQ(story.machine.next_deadline(), std::nullopt);
}

}  // namespace
}  // namespace ferrun
