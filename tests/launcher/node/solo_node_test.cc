// A job of one node, from its first store to its end: the node machine with rounds of its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>

#include "rendezvous/job/job_status.h"
#include "tests/launcher/node/node_story.h"

namespace ferrun {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

const ExitStatus kSoloTerminated = ExitStatus::signaled(SIGTERM);

class SoloStory : public NodeStory {
 public:
  explicit SoloStory(int workers = 2, int max_restarts = 0) : NodeStory(config(workers, max_restarts)) {}

  static NodeConfig config(int workers, int max_restarts) {
    NodeConfig config = plain();
    config.solo = true;
    config.launch_id = "launch-1";
    config.stop.failure_grace = 5s;
    config.member.workers = workers;
    config.member.max_restarts = max_restarts;
    return config;
  }

  static NodeConfig with_policy(int max_restarts, const RestartPolicy& policy) {
    NodeConfig made = config(1, max_restarts);
    made.restart = policy;
    return made;
  }
  explicit SoloStory(const NodeConfig& made) : NodeStory(made) {}

  // An attempt of one worker that ends with `code`.
  std::vector<std::string> fail_attempt(int code) {
    run_attempt();
    exited(0, code);
    swept();
    gathered({left_by_nobody()});
    return effects();
  }
  static FailedWorker left_by_nobody() { return {0, {}, {}, false}; }

  void open_store() { step(StoreOpened{{1, ++opened_}, {"127.0.0.1"}, 4000}); }

  // From the preparation to all workers running.
  void run_attempt() {
    open_store();
    step(AttemptReady{machine.attempt()});
    const size_t workers = machine.group()->workers().size();
    for (size_t rank = 0; rank < workers; ++rank) started(static_cast<int>(rank));
    effects();
  }

  // What was asked for is told, as the driver does: nothing of those that are not named here.
  void gathered(std::vector<FailedWorker> workers) {
    for (const WorkerRecord& worker : machine.group()->workers()) {
      if (!worker.failed() || std::ranges::count(workers, worker.local_rank, &FailedWorker::local_rank) > 0) continue;
      workers.push_back({worker.local_rank, {}, {}, false});
    }
    step(EvidenceGathered{machine.attempt(), std::move(workers)});
  }

 private:
  uint64_t opened_ = 0;
};

FailedWorker left_by(int local_rank, std::optional<double> timestamp = {}, std::string message = "") {
  FailedWorker worker;
  worker.local_rank = local_rank;
  if (timestamp) {
    worker.evidence.error.state = ErrorFile::State::kRead;
    worker.evidence.error.timestamp = timestamp;
    worker.evidence.error.message = std::move(message);
  }
  return worker;
}

TEST(SoloNode, PreparesStartsSweepsAndSucceeds) {
  SoloStory story;
  EXPECT_THAT(story.effects(), ElementsAre("prepare 0", "open store"));
  story.open_store();
  EXPECT_THAT(story.effects(), IsEmpty()) << "the folders are not ready";
  story.step(AttemptReady{0});
  EXPECT_THAT(story.effects(),
              ElementsAre("info: starting 2 workers, ranks 0-1 of 2, round 1", "begin 0", "start 0/0"));
  EXPECT_EQ(story.begun->store, (StoreAddress{"127.0.0.1", 4000}));
  EXPECT_EQ(story.begun->launch_id, "launch-1");
  EXPECT_EQ(story.begun->assignment.world, 2);
  story.started(0);
  story.started(1);
  EXPECT_THAT(story.effects(), ElementsAre("start 0/1"));
  story.exited(0, 0);
  EXPECT_THAT(story.effects(), IsEmpty());
  story.exited(1, 0);
  EXPECT_THAT(story.effects(), ElementsAre("sweep 0")) << "also after success nothing of the job may be left";
  story.swept();
  EXPECT_THAT(story.effects(), ElementsAre("close store", "done 0"));
  EXPECT_THAT(story.done->lines, IsEmpty());
  EXPECT_EQ(story.machine.next_deadline(), std::nullopt);
}

TEST(SoloNode, EndsWithTheFailureWhenNoRestartIsLeft) {
  SoloStory story;
  story.run_attempt();
  story.now += 2s;
  story.exited(1, 3);
  EXPECT_THAT(story.effects(), ElementsAre("gather 1")) << "was it the first to fail?";
  story.step(EvidenceGathered{0, {left_by(1)}});
  EXPECT_THAT(story.effects(), ElementsAre("SIGTERM 0"));
  EXPECT_EQ(story.machine.next_deadline(), story.now + 5s) << "the failure's grace, as on several nodes";
  story.now += 2ms;
  story.ended(0, kSoloTerminated);
  EXPECT_THAT(story.effects(), ElementsAre("sweep 0"));
  story.swept();
  EXPECT_THAT(story.effects(), ElementsAre("gather 0 1")) << "when all that it wrote has arrived";
  story.gathered({left_by(1)});
  EXPECT_EQ(story.effects().back(), "done 3");
  const std::string rule(78, '=');
  EXPECT_THAT(story.done->lines,
              ElementsAre(rule, "ferrun: train.py FAILED on node1", "Stopped here by ferrun because of it:",
                          "  rank 0 (local_rank 0, pid 100) killed by SIGTERM (terminated), 2 ms later",
                          std::string(78, '-'), "Root cause: rank 1 (local_rank 1, pid 101) exited with code 3",
                          "  when:   2.00 s after its start", "  stderr: nothing was written to it",
                          "Hint: --max-restarts=N starts all workers again after a failure; it is 0.", rule));
  EXPECT_EQ(story.done->failed_local_rank, 1);
}

TEST(SoloNode, HintsAtAStoreThatNobodyWasAt) {
  const auto end_of = [](int workers, std::chrono::seconds after) {
    NodeConfig config = SoloStory::config(workers, 0);
    config.python = true;
    SoloStory story(config);
    story.run_attempt();
    story.now += after;
    story.exited(0, 1);
    if (workers == 2) {
      story.step(EvidenceGathered{0, {left_by(0)}});
      story.ended(1, kSoloTerminated);
    }
    story.swept();
    std::vector<FailedWorker> left = {left_by(0)};
    if (workers == 2) left.push_back(left_by(1));
    story.step(EvidenceGathered{0, std::move(left), true});
    EXPECT_EQ(story.effects().back(), "done 1");
    return story.done->lines;
  };
  EXPECT_THAT(end_of(2, 2s),
              Contains(StartsWith("Hint: no worker ever reached ferrun's store at 127.0.0.1, port 4000")));
  EXPECT_THAT(end_of(2, 0s), Each(Not(HasSubstr("store")))) << "no time to look for it";
  EXPECT_THAT(end_of(1, 2s), Each(Not(HasSubstr("store")))) << "nobody to meet";
}

TEST(SoloNode, StartsTheNextAttemptOnlyAfterTheSweep) {
  SoloStory story(2, 2);
  story.run_attempt();
  story.ended(0, ExitStatus::signaled(SIGKILL));
  story.ended(1, kSoloTerminated);
  EXPECT_THAT(story.effects(), ElementsAre("SIGTERM 1", "foresee 1", "sweep 0"));
  EXPECT_EQ(story.machine.attempt(), 0);
  story.swept();
  story.gathered({left_by(0)});
  EXPECT_THAT(story.effects(),
              ElementsAre("gather 0 1", "prepare 1",
                          "warning: rank 0 (local_rank 0, pid 100) killed by SIGKILL (killed); starting all workers "
                          "again (1 restart left)",
                          "open store"));
  story.open_store();
  story.step(AttemptReady{1});
  EXPECT_THAT(story.effects(), Contains("start 1/0"));
  EXPECT_EQ(story.begun->assignment.restart_count, 1);
  EXPECT_EQ(story.begun->launch_id, "launch-1");
}

TEST(SoloNode, ForeseesNoAttemptThatCannotCome) {
  SoloStory last(1, 0);
  last.run_attempt();
  last.exited(0, 1);
  EXPECT_THAT(last.effects(), ElementsAre("sweep 0")) << "no restart is left";

  SoloStory good(1, 1);
  good.run_attempt();
  good.exited(0, 0);
  EXPECT_THAT(good.effects(), ElementsAre("sweep 0")) << "it succeeded";

  SoloStory stopped(1, 1);
  stopped.run_attempt();
  stopped.step(SignalArrived{SIGTERM});
  stopped.effects();
  stopped.exited(0, 143);
  EXPECT_THAT(stopped.effects(), ElementsAre("sweep 0")) << "it is told to end";
}

TEST(SoloNode, SpendsTheWholeBudgetAndNoMore) {
  SoloStory story(1, 2);
  for (int attempt = 0; attempt < 3; ++attempt) {
    EXPECT_FALSE(story.machine.done());
    story.run_attempt();
    story.exited(0, 1);
    story.swept();
    story.gathered({left_by(0)});
  }
  EXPECT_EQ(story.effects().back(), "done 1");
  EXPECT_THAT(story.done->lines, Contains("All 2 restarts (--max-restarts) are spent."));
  EXPECT_THAT(story.done->lines, Contains(HasSubstr("in attempt 2 (the first is 0)")));
}

TEST(SoloNode, AsksTheWorkersAfterTheOtherCopyHadTimeToCome) {
  SoloStory story(2, 3);
  story.run_attempt();
  story.step(SignalArrived{SIGHUP});
  EXPECT_THAT(story.effects(), ElementsAre("warning: stopping the workers of round 1: got SIGHUP"));
  story.now = *story.machine.next_deadline();
  story.step(DeadlineArrived{});
  EXPECT_THAT(story.effects(), ElementsAre("SIGHUP 0", "SIGHUP 1"));
  story.exited(0, 0);
  story.exited(1, 1);
  story.swept();
  story.gathered({left_by(1)});
  EXPECT_EQ(story.effects().back(), "done 129") << "and spends no restart";
  EXPECT_THAT(story.done->lines, ElementsAre("ferrun: stopped by SIGHUP"));
}

TEST(SoloNode, WorkersThatWereSignalledWithItAreNotSignalledAgain) {
  SoloStory story(2);
  story.run_attempt();
  const TimePoint began = story.now;
  story.step(SignalArrived{SIGTERM, false, false, true});
  story.step(SignalArrived{SIGTERM, true, false, true});
  EXPECT_THAT(story.effects(), ElementsAre(StartsWith("warning: stopping the workers")));
  EXPECT_EQ(story.machine.next_deadline(), began + 30s) << "nothing but the grace";
  story.step(SignalArrived{SIGTERM});
  story.now += 10s;
  story.step(SignalArrived{SIGTERM});
  EXPECT_THAT(story.effects(), IsEmpty()) << "TERM, CONT, TERM at a time limit is one order";
  story.exited(0, 0);
  story.exited(1, 143);
  story.swept();
  story.gathered({left_by(1)});
  story.effects();
  EXPECT_THAT(story.done->lines, ElementsAre("ferrun: stopped by SIGTERM")) << "whoever ends on it has not failed";
}

TEST(SoloNode, WorkersThatMayHaveBeenMissedAreAskedInTheMiddleOfTheGrace) {
  SoloStory story(2);
  story.run_attempt();
  story.step(SignalArrived{SIGTERM});
  story.step(SignalArrived{SIGTERM, true});
  story.exited(0, 143);
  story.effects();
  story.now += 15s;
  story.step(DeadlineArrived{});
  EXPECT_THAT(story.effects(), ElementsAre("SIGTERM 1"));
}

TEST(SoloNode, CtrlCAsksAtOnceAndAgainLaterKills) {
  SoloStory story(2);
  story.run_attempt();
  story.step(SignalArrived{SIGINT, false, true});
  EXPECT_THAT(story.effects(), ElementsAre(HasSubstr("got SIGINT"), "SIGINT 0", "SIGINT 1"));
  story.now += 100ms;
  story.step(SignalArrived{SIGINT, false, true});
  EXPECT_THAT(story.effects(), IsEmpty());
  story.now += 1s;
  story.step(SignalArrived{SIGINT, false, true});
  EXPECT_THAT(story.effects(),
              ElementsAre("warning: killing the workers of round 1: got SIGINT again", "SIGKILL 0", "SIGKILL 1"));
  story.ended(0, ExitStatus::signaled(SIGKILL));
  story.ended(1, ExitStatus::signaled(SIGKILL));
  story.swept();
  story.gathered({});
  EXPECT_EQ(story.effects().back(), "done 130");
}

TEST(SoloNode, PassesUserSignalsOnAndGoesOn) {
  SoloStory story(2);
  story.run_attempt();
  story.step(SignalArrived{SIGUSR1});
  story.now = *story.machine.next_deadline();
  story.step(DeadlineArrived{});
  EXPECT_THAT(story.effects(),
              ElementsAre("warning: got SIGUSR1: passing it on to the workers", "SIGUSR1 0", "SIGUSR1 1"));
  story.ended(0, ExitStatus::signaled(SIGUSR1));
  EXPECT_THAT(story.effects(), ElementsAre("SIGTERM 1"));
  story.ended(1, kSoloTerminated);
  story.swept();
  story.gathered({left_by(0)});
  story.effects();
  EXPECT_THAT(story.done->lines, Contains(HasSubstr("Root cause: rank 0 (local_rank 0, pid 100) killed by SIGUSR1")));
}

TEST(SoloNode, ASignalDuringAFailureStopCancelsTheRestartAndTheReportStillShowsIt) {
  SoloStory story(2, 3);
  story.run_attempt();
  story.exited(0, 1);
  story.effects();
  story.step(SignalArrived{SIGTERM, false, true});
  story.ended(1, kSoloTerminated);
  story.swept();
  story.gathered({left_by(0)});
  EXPECT_EQ(story.effects().back(), "done 143");
  EXPECT_THAT(story.done->lines, Contains("ferrun: train.py was stopped after a failure on node1"));
  EXPECT_THAT(story.done->lines, Contains("Root cause: rank 0 (local_rank 0, pid 100) exited with code 1"));
  EXPECT_EQ(story.done->lines.back(), "ferrun: stopped by SIGTERM");
}

TEST(SoloNode, ASignalDuringTheSweepCancelsTheRestart) {
  SoloStory story(1, 3);
  story.run_attempt();
  story.exited(0, 1);
  story.step(SignalArrived{SIGINT});
  story.swept();
  story.gathered({left_by(0)});
  EXPECT_EQ(story.effects().back(), "done 130");
}

TEST(SoloNode, ASignalAfterSuccessChangesNothing) {
  SoloStory story(1);
  story.run_attempt();
  story.exited(0, 0);
  story.step(SignalArrived{SIGINT});
  story.swept();
  EXPECT_EQ(story.effects().back(), "done 0");
}

TEST(SoloNode, ASignalBeforeTheFirstStartStartsNothing) {
  SoloStory story;
  story.step(SignalArrived{SIGTERM});
  EXPECT_THAT(story.effects(), ElementsAre("prepare 0", "open store", "close store", "done 143"));
  story.step(AttemptReady{0});
  EXPECT_THAT(story.effects(), IsEmpty());
  SoloStory opened;
  opened.open_store();
  opened.step(SignalArrived{SIGTERM});
  EXPECT_EQ(opened.effects().back(), "done 143") << "the store is open, the folders are not made";
}

TEST(SoloNode, AStoreThatCannotBeOpenedEndsTheJob) {
  SoloStory story(2, 5);
  story.step(StoreNotOpened{{1, 1}, "port 29500 is in use", 75});
  EXPECT_EQ(story.effects().back(), "done 75");
  EXPECT_THAT(story.done->lines, ElementsAre("ferrun: port 29500 is in use"));
}

TEST(SoloNode, APreparationThatFailsEndsTheJob) {
  SoloStory story(2, 5);
  story.step(AttemptNotReady{0, Error{ErrorKind::kUser, "cannot create /logs"}});
  EXPECT_EQ(story.effects().back(), "done 2");
  EXPECT_THAT(story.done->lines, ElementsAre("ferrun: cannot create /logs"));
}

TEST(SoloNode, AProgramThatCannotBeExecutedIsNotTriedAgain) {
  SoloStory story(2, 5);
  story.open_store();
  story.step(AttemptReady{0});
  story.step(WorkerFact{0, RankNotStarted{0, Error{ErrorKind::kUser, "x has no #! line"}}});
  story.swept();
  story.gathered({left_by(0)});
  EXPECT_EQ(story.effects().back(), "done 2");
  EXPECT_THAT(story.done->lines, ElementsAre("ferrun: x has no #! line"));
}

TEST(SoloNode, AStartThatTheMachineRefusedIsTriedAgain) {
  SoloStory story(1, 1);
  for (const int attempt : {0, 1}) {
    story.open_store();
    story.step(AttemptReady{attempt});
    story.step(WorkerFact{attempt, RankNotStarted{0, Error{ErrorKind::kPlatform, "no process left"}}});
    story.swept();
    story.gathered({left_by(0)});
  }
  EXPECT_EQ(story.effects().back(), "done 75");
  EXPECT_THAT(story.done->lines, ElementsAre("ferrun: no process left"));
}

TEST(SoloNode, WhoOnlyLostItsPeerIsNotTheCauseHoweverEarlyItWasNoticed) {
  SoloStory story(2);
  story.run_attempt();
  story.exited(0, 1);
  story.now += 40ms;
  story.ended(1, ExitStatus::signaled(SIGSEGV));
  story.swept();
  FailedWorker casualty = left_by(0);
  casualty.evidence.stderr_tail = {"RuntimeError: Connection closed by peer"};
  story.gathered({casualty, left_by(1)});
  story.effects();
  EXPECT_THAT(story.done->lines, Contains(HasSubstr("Root cause: rank 1 (local_rank 1, pid 101) killed by SIGSEGV")));
  EXPECT_THAT(story.done->lines,
              Contains("  rank 0 (local_rank 0, pid 100) exited with code 1, before it, but only lost "
                       "its connection to another rank"));
  EXPECT_EQ(story.done->exit_status, 139);
}

TEST(SoloNode, TheErrorFilesTimesGiveTheOrder) {
  SoloStory story(2);
  story.run_attempt();
  story.exited(0, 1);
  story.now += 1ms;
  story.ended(1, ExitStatus::exited(4));
  story.swept();
  story.gathered({left_by(0, 1000.5, "the second"), left_by(1, 1000.25, "the first")});
  story.effects();
  EXPECT_EQ(story.done->exit_status, 4);
  EXPECT_THAT(story.done->lines, Contains(HasSubstr("exited with code 1, 0.1 s later")));
}

TEST(SoloNode, DropsFactsOfOtherAttemptsAndRounds) {
  SoloStory story(2, 1);
  story.run_attempt();
  story.exited(0, 1);
  story.ended(1, kSoloTerminated);
  story.swept();
  story.gathered({left_by(0)});
  story.run_attempt();
  story.step(WorkerFact{0, RankEnded{0, ExitStatus::exited(9)}});
  story.step(AttemptSwept{0});
  story.step(AttemptReady{0});
  story.step(StoreOpened{{1, 1}, {"127.0.0.1"}, 4000});
  story.step(StoreNotOpened{{1, 2}, "late"});
  EXPECT_THAT(story.effects(), IsEmpty());
}

TEST(SoloNode, HelpersOfTheDeadHaveTimeUnlessAllWasKilled) {
  const auto grace_of_the_sweep = [](SoloStory& story) {
    std::optional<Duration> grace;
    for (const NodeEffect& effect : story.machine.take_effects()) {
      if (const auto* sweep = std::get_if<SweepAttempt>(&effect)) grace = sweep->grace;
    }
    return grace;
  };
  SoloStory failing(1);
  failing.run_attempt();
  failing.exited(0, 1);
  EXPECT_EQ(grace_of_the_sweep(failing), Duration(1s));
  SoloStory succeeding(1);
  succeeding.run_attempt();
  succeeding.exited(0, 0);
  EXPECT_EQ(grace_of_the_sweep(succeeding), Duration(1s));
}

TEST(SoloNode, ShowsItsStatus) {
  SoloStory story(2, 3);
  story.run_attempt();
  story.step(StatusAsked{7});
  std::string json;
  for (const NodeEffect& effect : story.machine.take_effects()) {
    if (const auto* show = std::get_if<ShowStatus>(&effect)) json = show->json;
  }
  const Result<JobStatus> status = job_status_from_json(json);
  ASSERT_TRUE(status) << json;
  EXPECT_EQ(status->phase, "running");
  EXPECT_EQ(status->world, 2);
  EXPECT_EQ(status->max_restarts, 3);
  EXPECT_EQ(status->launch_id, "launch-1");
  ASSERT_EQ(status->nodes.size(), 1u);
  EXPECT_EQ(status->nodes[0].state, NodeState::kRunning);
}

TEST(SoloNode, ForksFromTheTemplateUntilItIsLost) {
  NodeConfig forking = SoloStory::config(1, 2);
  forking.with_template = true;
  NodeStory story(forking);
  EXPECT_THAT(story.effects(), Contains("prepare 0 with template"));
  story.step(StoreOpened{{1, 1}, {"127.0.0.1"}, 4000});
  story.step(AttemptReady{0});
  EXPECT_THAT(story.effects(), Contains("fork 0/0"));
  story.started(0);
  story.step(TemplateUnusable{"the template was killed"});
  EXPECT_THAT(story.effects(), ElementsAre("warning: the template was killed; workers are spawned from now on"));
  story.step(TemplateUnusable{"again"});
  EXPECT_THAT(story.effects(), IsEmpty()) << "said once";
  story.exited(0, 1);
  story.swept();
  story.step(EvidenceGathered{0, {left_by(0)}});
  EXPECT_THAT(story.effects(), Contains("prepare 1"));
}

TEST(SoloNode, LeavesNothingRunningWhenTheSentinelDies) {
  SoloStory story(1, 1);
  story.run_attempt();
  story.step(SentinelDied{});
  EXPECT_THAT(story.effects(), ElementsAre("kill everything", "done 70"));
  story.exited(0, 1);
  story.step(SignalArrived{SIGTERM});
  EXPECT_THAT(story.effects(), IsEmpty());
  EXPECT_EQ(story.machine.next_deadline(), std::nullopt);
}

TEST(SoloNode, StopsTheOthersOnlyWhenTheFirstToFailIsNoVictim) {
  SoloStory story(3);
  story.run_attempt();
  const TimePoint began = story.now;
  FailedWorker victim = left_by(0);
  victim.evidence.stderr_tail = {"RuntimeError: Connection closed by peer"};
  story.exited(0, 1);
  EXPECT_THAT(story.effects(), ElementsAre("gather 0"));
  story.step(EvidenceGathered{0, {victim}});
  EXPECT_THAT(story.effects(), IsEmpty());
  EXPECT_EQ(story.machine.next_deadline(), began + kLastWords);
  story.now += 1s;
  story.exited(1, 3);
  EXPECT_THAT(story.effects(), ElementsAre("gather 1"));
  story.step(EvidenceGathered{0, {left_by(1)}});
  EXPECT_THAT(story.effects(), ElementsAre("SIGTERM 2"));
  story.ended(2, kSoloTerminated);
  story.swept();
  EXPECT_THAT(story.effects(), ElementsAre("sweep 0", "gather 0 1 2")) << "all that they wrote has arrived by now";
  story.gathered({victim, left_by(1)});
  story.effects();
  EXPECT_EQ(story.done->exit_status, 3);
  EXPECT_EQ(story.done->failed_local_rank, 1) << "whose error file ferrun's own parent gets";
}

TEST(SoloNode, AVictimWhoseOthersSayNothingIsTheCause) {
  SoloStory story(2);
  story.run_attempt();
  FailedWorker victim = left_by(0);
  victim.evidence.error.state = ErrorFile::State::kRead;
  victim.evidence.error.cause = ErrorFile::Cause::kLostPeer;
  story.exited(0, 1);
  story.step(EvidenceGathered{0, {victim}});
  story.effects();
  story.now = *story.machine.next_deadline();
  story.step(DeadlineArrived{});
  EXPECT_THAT(story.effects(), ElementsAre("SIGTERM 1"));
  story.ended(1, kSoloTerminated);
  story.swept();
  story.gathered({victim});
  story.effects();
  EXPECT_THAT(story.done->lines, Contains(HasSubstr("Root cause: rank 0")));
  EXPECT_THAT(story.done->lines, Contains(HasSubstr("rank 1 (local_rank 1, pid 101) killed by SIGTERM")));
}

RestartPolicy rule_for(int status, OnExit then) {
  return {{{status, status, false, then, std::to_string(status) + "=a rule"}}, {}, 300s, 0};
}

TEST(SoloNode, EndsByARuleThoughRestartsAreLeft) {
  SoloStory story(SoloStory::with_policy(5, rule_for(3, OnExit::kStop)));
  EXPECT_EQ(story.fail_attempt(3).back(), "done 3");
  const std::vector<std::string>& lines = story.done->lines;
  EXPECT_EQ(lines[lines.size() - 2], "No restart: --on-exit=3=a rule");
}

TEST(SoloNode, RestartsByARuleWithoutSpendingARestart) {
  SoloStory story(SoloStory::with_policy(0, rule_for(3, OnExit::kRestart)));
  for (int attempt = 0; attempt < 3; ++attempt) {
    EXPECT_THAT(story.fail_attempt(3), Contains(HasSubstr("(--on-exit=3=a rule)")));
    EXPECT_EQ(story.begun->assignment.restart_count, 0);
    ASSERT_TRUE(story.machine.next_deadline()) << "it must not race";
    story.now = *story.machine.next_deadline();
    story.step(DeadlineArrived{});
    EXPECT_THAT(story.effects(), ElementsAre("open store"));
  }
  EXPECT_EQ(story.fail_attempt(4).back(), "done 4") << "no rule is for that one, and no restart is left";
}

TEST(SoloNode, WaitsForTheRestartDelayWhichGrowsWhileAttemptsAreShort) {
  SoloStory story(SoloStory::with_policy(9, {{}, 4s, 300s, 0}));
  const auto delay_after = [&story](Duration lasts) {
    story.run_attempt();
    story.now += lasts;
    story.exited(0, 3);
    story.swept();
    story.gathered({SoloStory::left_by_nobody()});
    EXPECT_THAT(story.effects(), Not(Contains("open store")));
    const TimePoint due = story.machine.next_deadline().value_or(story.now);
    const Duration delay = due - story.now;
    story.now = due;
    story.step(DeadlineArrived{});
    EXPECT_THAT(story.effects(), Contains("open store"));
    return delay;
  };
  EXPECT_GE(delay_after(1s), 4s);
  EXPECT_GE(delay_after(1s), 8s);
  EXPECT_GE(delay_after(29s), 16s);
  EXPECT_LE(delay_after(31s), 5s) << "it has run for --min-uptime";
}

TEST(SoloNode, EndsAtOnceOnASignalWhileTheNextAttemptIsHeldBack) {
  SoloStory story(SoloStory::with_policy(9, {{}, 60s, 300s, 0}));
  story.fail_attempt(3);
  story.step(StatusAsked{1});
  EXPECT_THAT(story.effects(), ElementsAre("status 1"));
  story.step(SignalArrived{SIGTERM, true, false, true});
  EXPECT_EQ(story.effects().back(), "done 143");
  EXPECT_EQ(story.machine.next_deadline(), std::nullopt);
}

}  // namespace
}  // namespace ferrun
