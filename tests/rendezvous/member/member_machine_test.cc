#include "rendezvous/member/member_machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "tests/rendezvous/member/member_story.h"

namespace ferrun {
namespace {

using namespace std::chrono_literals;
using Phase = MemberMachine::Phase;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const RoundId kFirst{1, 1};
const RoundId kSecond{1, 2};

LocalFailure failure(int local_rank, int code, Duration age = {}) {
  LocalFailure failure;
  failure.local_rank = local_rank;
  failure.rank = local_rank + 2;
  failure.status = ExitStatus::exited(code);
  failure.age = age;
  failure.report = {"rank " + std::to_string(failure.rank) + " exited with code " + std::to_string(code)};
  return failure;
}

// --- The way of a job without trouble. ---

TEST(MemberMachine, JoinsPreparesStartsFinishesAndEnds) {
  MemberStory story;
  EXPECT_THAT(story.effects(), ElementsAre("dial"));
  EXPECT_EQ(story.machine.phase(), Phase::kSeeking);
  story.reach();
  EXPECT_THAT(story.effects(), ElementsAre("tell Join"));
  EXPECT_EQ(story.last_join->host, "node1");
  EXPECT_EQ(story.last_join->past.work, Work::kNone);
  story.hear(MemberStory::hosted());
  EXPECT_EQ(story.machine.phase(), Phase::kWaiting);
  story.hear(Prepare{MemberStory::second_of_two(1), false, {}});
  EXPECT_THAT(story.effects(), ElementsAre("tell Prepared 1"));
  EXPECT_EQ(story.machine.phase(), Phase::kPreparing);
  story.hear(DialStore{kFirst, {"10.0.0.1"}, 4000});
  EXPECT_THAT(story.effects(), ElementsAre("reach store 1 at 10.0.0.1:4000"));
  story.step(StoreAnswered{kFirst, "10.0.0.1"});
  EXPECT_THAT(story.effects(), ElementsAre("tell StoreReached 1 10.0.0.1"));
  story.hear(Go{kFirst, "all are there"});
  EXPECT_THAT(story.effects(), ElementsAre("hold lease", "start 1 with 10.0.0.1:4000"))
      << "the sentinel knows the lease before anything runs";
  EXPECT_EQ(story.machine.phase(), Phase::kRunning);
  story.step(OneWorkerSucceeded{kFirst});
  story.step(OneWorkerSucceeded{kFirst});
  EXPECT_THAT(story.effects(), ElementsAre("tell WorkerSucceeded 1"));
  story.step(AllWorkersSucceeded{kFirst});
  EXPECT_THAT(story.effects(),
              ElementsAre("tell NodeFinished 1", HasSubstr("waiting for the other nodes"), "no lease"));
  EXPECT_EQ(story.machine.phase(), Phase::kFinished);
  story.hear(Close{JobEnd{}});
  EXPECT_THAT(story.effects(), ElementsAre("tell Closed", "hang up", "done 0"));
  EXPECT_EQ(story.machine.phase(), Phase::kDone);
  EXPECT_EQ(story.machine.next_deadline(), std::nullopt);
}

TEST(MemberMachine, OpensTheStoreOfRankZerosNode) {
  MemberStory story;
  story.join();
  Assignment first = MemberStory::second_of_two(1);
  first.node_rank = first.first_rank = first.first_role_rank = 0;
  story.hear(Prepare{first, true, {"10.0.0.1", "10.0.0.2"}});
  EXPECT_THAT(story.effects(), ElementsAre("open store 1"));
  story.step(StoreOpened{kFirst, {"10.0.0.2", "fd00::2"}, 4000});
  EXPECT_THAT(story.effects(), ElementsAre("tell Prepared 1 10.0.0.2 fd00::2:4000"));
}

TEST(MemberMachine, SaysWhyItCannotPrepare) {
  MemberStory story;
  story.join();
  Assignment first = MemberStory::second_of_two(1);
  story.hear(Prepare{first, true, {}});
  story.effects();
  story.step(StoreNotOpened{kFirst, "port 29500 is taken"});
  EXPECT_THAT(story.effects(), Contains("tell NotPrepared 1: the store could not be opened: port 29500 is taken"));
  EXPECT_EQ(story.machine.phase(), Phase::kWaiting);
  story.hear(Prepare{MemberStory::second_of_two(2), false, {}});
  story.hear(DialStore{kSecond, {"10.0.0.1"}, 4000});
  story.step(StoreUnreachable{kSecond, "10.0.0.1 refused"});
  EXPECT_THAT(story.effects(),
              Contains("tell NotPrepared 2: the store of rank 0's node is out of reach: 10.0.0.1 refused"));
}

// --- Stops. ---

TEST(MemberMachine, AcknowledgesAStopAtOnceAndReportsTheEmptyNode) {
  MemberStory story;
  story.join();
  story.run_round(1);
  story.hear(Stop{kFirst, StopKind::kMembership, "node3 joined"});
  EXPECT_THAT(story.effects(), ElementsAre("tell StopAcknowledged 1 with 0", "stop 1 (membership, SIGTERM)"));
  EXPECT_EQ(story.machine.reason(), "node3 joined");
  story.step(WorkersGone{kFirst});
  EXPECT_THAT(story.effects(), ElementsAre("tell NodeReaped 1", "no lease"));
  EXPECT_EQ(story.machine.phase(), Phase::kWaiting);
  story.run_round(2);
  EXPECT_EQ(story.machine.phase(), Phase::kRunning);
}

TEST(MemberMachine, AsksAgainOnlyWhenTheStopBecomesStricter) {
  MemberStory story;
  story.join();
  story.run_round(1);
  story.hear(Stop{kFirst, StopKind::kMembership, "node3 joined"});
  story.hear(Stop{kFirst, StopKind::kMembership, "node3 joined"});
  story.effects();
  story.hear(Stop{kFirst, StopKind::kFailure, "rank 0 failed"});
  EXPECT_THAT(story.effects(), ElementsAre("tell StopAcknowledged 1 with 0", "stop 1 (failure, SIGTERM)"));
  story.hear(Stop{kFirst, StopKind::kMembership, "node3 joined"});
  EXPECT_THAT(story.effects(), ElementsAre("tell StopAcknowledged 1 with 0"));
}

TEST(MemberMachine, TellsItsFailuresWithTheirAges) {
  MemberStory story;
  story.join();
  story.run_round(1);
  story.step(WorkersFailed{kFirst, {failure(0, 3, 2ms)}});
  EXPECT_THAT(story.effects(), ElementsAre("tell NodeFailed 1"));
  EXPECT_EQ(story.last_failures.at(0).age, 2ms);
  story.now += 40ms;
  story.step(WorkersFailed{kFirst, {failure(1, 4)}});
  story.now += 60ms;
  story.hear(Stop{kFirst, StopKind::kFailure, "rank 2 failed"});
  EXPECT_THAT(story.effects(), ElementsAre("tell NodeFailed 1", "tell StopAcknowledged 1 with 2"))
      << "its owner has begun the stop";
  EXPECT_EQ(story.last_failures.at(0).age, 102ms);
  EXPECT_EQ(story.last_failures.at(1).age, 60ms);
  story.step(WorkersGone{kFirst});
  EXPECT_THAT(story.effects(), ElementsAre("tell NodeReaped 1", "no lease"));
}

TEST(MemberMachine, StopsARoundThatWasOnlyPrepared) {
  MemberStory story;
  story.join();
  story.hear(Prepare{MemberStory::second_of_two(1), true, {}});
  story.effects();
  story.hear(Stop{kFirst, StopKind::kMembership, "node3 is lost"});
  EXPECT_THAT(story.effects(), ElementsAre("close store", "tell StopAcknowledged 1 with 0", "tell NodeReaped 1"));
  story.step(StoreOpened{kFirst, {"10.0.0.2"}, 4000});
  EXPECT_THAT(story.effects(), IsEmpty()) << "too late";
  story.hear(Go{kFirst, ""});
  EXPECT_THAT(story.effects(), ElementsAre("tell NodeReaped 1"));
  EXPECT_EQ(story.machine.phase(), Phase::kWaiting);
}

TEST(MemberMachine, RunsAgainAfterItHadFinished) {
  MemberStory story;
  story.join();
  story.run_round(1);
  story.step(AllWorkersSucceeded{kFirst});
  story.effects();
  story.hear(Stop{kFirst, StopKind::kFailure, "rank 0 failed"});
  EXPECT_THAT(story.effects(), ElementsAre("tell StopAcknowledged 1 with 0", "tell NodeReaped 1"));
  story.run_round(2);
  EXPECT_EQ(story.machine.phase(), Phase::kRunning);
}

TEST(MemberMachine, AStopThatMeetsTheEndOfAllWorkersLeavesNothingFinished) {
  MemberStory story;
  story.join();
  story.run_round(1);
  story.hear(Stop{kFirst, StopKind::kMembership, "node3 joined"});
  story.effects();
  story.step(AllWorkersSucceeded{kFirst});
  EXPECT_THAT(story.effects(), ElementsAre("tell NodeReaped 1", "no lease"));
  EXPECT_EQ(story.machine.phase(), Phase::kWaiting);
}

// --- What a coordinator may not do. ---

TEST(MemberMachine, StopsOldWorkersBeforeItPreparesTheNextRound) {
  MemberStory story;
  story.join();
  story.run_round(1);
  story.hear(Prepare{MemberStory::second_of_two(2), true, {}});
  EXPECT_THAT(story.effects(), ElementsAre("stop 1 (membership, SIGTERM)"));
  story.hear(Stop{kSecond, StopKind::kMembership, "changed its mind"});
  EXPECT_THAT(story.effects(), ElementsAre("tell StopAcknowledged 2 with 0")) << "round 1 is not gone yet";
  story.step(WorkersGone{kFirst});
  EXPECT_THAT(story.effects(), ElementsAre("tell NodeReaped 1", "tell NodeReaped 2", "no lease"));
}

TEST(MemberMachine, RefusesRoundsThatAreNotNewer) {
  MemberStory story;
  story.join();
  story.run_round(2);
  story.hear(Prepare{MemberStory::second_of_two(1), false, {}});
  EXPECT_THAT(story.effects(),
              Contains("tell NotPrepared 1: round 1 is not newer than round 2, which this node has accepted"));
  EXPECT_EQ(story.machine.phase(), Phase::kRunning) << "and does not mind";
  story.hear(Go{kFirst, ""});
  story.hear(DialStore{kFirst, {"10.0.0.1"}, 4000});
  EXPECT_THAT(story.effects(), IsEmpty());
  story.hear(Stop{kFirst, StopKind::kFailure, ""});
  EXPECT_THAT(story.effects(), ElementsAre("tell StopAcknowledged 1 with 0", "tell NodeReaped 1"));
  EXPECT_EQ(story.machine.phase(), Phase::kRunning);
}

TEST(MemberMachine, RefusesAnAssignmentWithoutAPlaceForItsWorkers) {
  const auto answer_to = [](const std::function<void(Assignment&)>& change) {
    MemberStory story;
    story.join();
    Assignment assignment = MemberStory::second_of_two(1);
    change(assignment);
    story.hear(Prepare{assignment, false, {}});
    return story.effects();
  };
  const auto refused = Contains(HasSubstr("leaves no place for 2 workers"));
  EXPECT_THAT(answer_to([](Assignment&) {}), Not(refused));
  EXPECT_THAT(answer_to([](Assignment& a) { a.first_rank = 3; }), refused);
  EXPECT_THAT(answer_to([](Assignment& a) { a.first_rank = -1; }), refused);
  EXPECT_THAT(answer_to([](Assignment& a) { a.node_rank = 2; }), refused);
  EXPECT_THAT(answer_to([](Assignment& a) { a.node_rank = -1; }), refused);
  EXPECT_THAT(answer_to([](Assignment& a) { a.world = 1; }), refused);
  EXPECT_THAT(answer_to([](Assignment& a) { a.role_world = 9; }), refused);
  EXPECT_THAT(answer_to([](Assignment& a) { a.first_role_rank = 2147483647; }), refused);
  EXPECT_THAT(answer_to([](Assignment& a) { a.restart_count = -1; }), refused);
}

TEST(MemberMachine, DoesNotStartWhatItHasNotPrepared) {
  MemberStory story;
  story.join();
  story.hear(Go{kFirst, ""});
  EXPECT_THAT(story.effects(), ElementsAre("tell NodeReaped 1"));
  story.hear(Prepare{MemberStory::second_of_two(1), false, {}});
  story.hear(Go{kFirst, ""});
  EXPECT_THAT(story.effects(), Contains("tell NotPrepared 1: it is not prepared here yet"));
  story.hear(DialStore{kFirst, {"10.0.0.1"}, 4000});
  story.step(StoreAnswered{kFirst, "10.0.0.1"});
  story.hear(Go{kFirst, ""});
  EXPECT_THAT(story.effects(), Contains("start 1 with 10.0.0.1:4000"));
}

TEST(MemberMachine, AnswersWhatIsSaidAgain) {
  MemberStory story;
  story.join();
  const Prepare prepare{MemberStory::second_of_two(1), false, {}};
  const DialStore dial{kFirst, {"10.0.0.1"}, 4000};
  story.hear(prepare);
  story.hear(prepare);
  EXPECT_THAT(story.effects(), ElementsAre("tell Prepared 1", "tell Prepared 1"));
  story.hear(dial);
  story.hear(dial);
  story.step(StoreAnswered{kFirst, "10.0.0.1"});
  story.hear(dial);
  EXPECT_THAT(story.effects(), ElementsAre("reach store 1 at 10.0.0.1:4000", "tell StoreReached 1 10.0.0.1",
                                           "tell StoreReached 1 10.0.0.1"));
  story.hear(Go{kFirst, ""});
  story.hear(Go{kFirst, ""});
  story.hear(MemberStory::hosted());
  EXPECT_THAT(story.effects(), ElementsAre("hold lease", "start 1 with 10.0.0.1:4000"));
}

TEST(MemberMachine, HearsNothingBeforeItIsWelcomeNorOnAnOldConnection) {
  MemberStory story;
  story.reach();
  story.effects();
  story.hear(Prepare{MemberStory::second_of_two(1), false, {}});
  story.hear(Stop{kFirst, StopKind::kFailure, ""});
  EXPECT_THAT(story.effects(), IsEmpty());
  story.hear(MemberStory::hosted());
  story.step(CoordinatorSaid{story.connection + 1, Close{JobEnd{}}});
  story.step(CoordinatorGone{story.connection + 1, LossKind::kEndOfStream, ""});
  EXPECT_THAT(story.effects(), IsEmpty());
  EXPECT_EQ(story.machine.phase(), Phase::kWaiting);
}

TEST(MemberMachine, DropsFactsOfOtherRounds) {
  MemberStory story;
  story.join();
  story.run_round(2);
  for (const RoundId& round : {kFirst, RoundId{1, 3}, RoundId{2, 2}}) {
    story.step(StoreOpened{round, {}, 1});
    story.step(StoreNotOpened{round, ""});
    story.step(StoreAnswered{round, ""});
    story.step(StoreUnreachable{round, ""});
    story.step(OneWorkerSucceeded{round});
    story.step(AllWorkersSucceeded{round});
    story.step(WorkersFailed{round, {failure(0, 1)}});
    story.step(WorkersGone{round});
  }
  EXPECT_THAT(story.effects(), IsEmpty());
  EXPECT_EQ(story.machine.phase(), Phase::kRunning);
}

}  // namespace
}  // namespace ferrun
