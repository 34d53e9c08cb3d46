#include "rendezvous/coordinator/job_record.h"

#include <gtest/gtest.h>

namespace ferrun {
namespace {

MemberPast past_in(const RoundId& round, int restarts = 0, const std::string& launch_id = "") {
  MemberPast past;
  past.round = round;
  past.restarts = restarts;
  past.launch_id = launch_id;
  return past;
}

TEST(JobRecord, CountsRoundsWithinItsIncarnation) {
  JobRecord record("launch", 3);
  EXPECT_TRUE(record.newest().none());
  EXPECT_FALSE(record.own_round());
  EXPECT_EQ(record.next_round(), (RoundId{1, 1}));
  EXPECT_EQ(record.next_round(), (RoundId{1, 2}));
  EXPECT_EQ(record.newest(), (RoundId{1, 2}));
  EXPECT_TRUE(record.own_round());
}

TEST(JobRecord, SpendsNoMoreRestartsThanThereAre) {
  JobRecord record("launch", 1);
  EXPECT_TRUE(record.restarts_left());
  EXPECT_TRUE(record.spend_restart());
  EXPECT_FALSE(record.restarts_left());
  EXPECT_FALSE(record.spend_restart());
  EXPECT_EQ(record.restarts(), 1);
}

TEST(JobRecord, GoesOnAfterWhatAnEarlierCoordinatorHasLeft) {
  CoordinatorState saved;
  saved.incarnation = 4;
  saved.newest = {4, 9};
  saved.restarts = 7;
  saved.launch_id = "saved";
  saved.members = {{AgentId{1}, "node1", 0}};
  JobRecord record("own", 3);
  record.restore(saved);
  EXPECT_EQ(record.incarnation(), 5u);
  EXPECT_EQ(record.saved_members(), saved.members);
  EXPECT_EQ(record.restarts(), 0) << "nobody has shown that its launch goes on";
  EXPECT_EQ(record.launch_id(), "own");
  ASSERT_TRUE(record.unproven());
  EXPECT_TRUE(record.take_up_saved_launch());
  EXPECT_FALSE(record.unproven());
  EXPECT_EQ(record.restarts(), 3) << "no more than there are";
  EXPECT_EQ(record.launch_id(), "saved");
  EXPECT_EQ(record.next_round(), (RoundId{5, 10}));
  saved.launch_id.clear();
  JobRecord nameless("own", 3);
  nameless.restore(saved);
  EXPECT_FALSE(nameless.take_up_saved_launch());
  EXPECT_EQ(nameless.launch_id(), "own");
}

TEST(JobRecord, ForgetsASavedLaunchWhenAMemberKnowsANewerRound) {
  CoordinatorState saved;
  saved.incarnation = 1;
  saved.newest = {1, 4};
  JobRecord record("own", 3);
  record.restore(saved);
  record.learn(past_in({1, 4}));
  EXPECT_TRUE(record.unproven());
  record.learn(past_in({1, 5}));
  EXPECT_FALSE(record.unproven());
}

TEST(JobRecord, LearnsWhatMembersRemember) {
  JobRecord record("own", 3);
  const JobRecord::Learned first = record.learn(past_in({2, 6}, 2, "theirs"));
  EXPECT_TRUE(first.newer_round);
  EXPECT_TRUE(first.other_launch);
  EXPECT_EQ(record.launch_id(), "theirs");
  EXPECT_EQ(record.restarts(), 2);
  EXPECT_EQ(record.incarnation(), 3u);
  const JobRecord::Learned older = record.learn(past_in({2, 5}, 1, "another"));
  EXPECT_FALSE(older.newer_round);
  EXPECT_FALSE(older.other_launch) << "the first one that is heard of counts";
  EXPECT_EQ(record.restarts(), 2);
  EXPECT_EQ(record.next_round(), (RoundId{3, 7}));
}

TEST(JobRecord, LearnsOnlyNumbersOnceItHasARoundOfItsOwn) {
  JobRecord record("own", 3);
  record.next_round();
  const JobRecord::Learned learned = record.learn(past_in({5, 8}, 2, "theirs"));
  EXPECT_FALSE(learned.newer_round);
  EXPECT_FALSE(learned.other_launch);
  EXPECT_EQ(record.restarts(), 0);
  EXPECT_EQ(record.launch_id(), "own");
  EXPECT_EQ(record.next_round(), (RoundId{6, 9}));
}

TEST(JobRecord, KnowsWhoWasWelcomedToAnotherLaunch) {
  const JobRecord record("own", 3);
  EXPECT_TRUE(record.is_of_another(past_in({}, 0, "theirs")));
  EXPECT_FALSE(record.is_of_another(past_in({}, 0, "own")));
  EXPECT_FALSE(record.is_of_another(past_in({})));
}

}  // namespace
}  // namespace ferrun
