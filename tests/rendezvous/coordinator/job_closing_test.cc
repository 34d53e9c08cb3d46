#include "rendezvous/coordinator/job_closing.h"

#include <gtest/gtest.h>

#include "tests/rendezvous/coordinator/some_members.h"

namespace ferrun {
namespace {

constexpr AgentId kOne{1};
constexpr AgentId kTwo{2};
const JobEnd kFailedEnd{
    JobEnd::Kind::kFailed, 3, {"Failed as well:", "  node2: x", "Root cause: node1: rank 0 exited"}};

TEST(JobClosing, FinishesWhenAllWhoWereToldHaveAcknowledged) {
  JobClosing closing(kFailedEnd, kPartsStart + 30s);
  closing.note_saving(4);
  EXPECT_EQ(closing.step(kPartsStart), JobClosing::Step::kWait) << "nobody was told";
  EXPECT_FALSE(closing.note_saved(3));
  EXPECT_TRUE(closing.note_saved(4));
  EXPECT_FALSE(closing.note_saved(4));
  EXPECT_FALSE(closing.note_saved(0)) << "no ticket";
  closing.note_told();
  closing.await(kOne);
  closing.await(kTwo);
  closing.await(kTwo);
  closing.settle(kOne);
  EXPECT_EQ(closing.step(kPartsStart), JobClosing::Step::kWait);
  closing.settle(kTwo);
  EXPECT_EQ(closing.step(kPartsStart), JobClosing::Step::kFinish);
}

TEST(JobClosing, WaitsForMembersFromBeforeARestartToCome) {
  JobClosing closing(kFailedEnd, kPartsStart + 30s);
  closing.note_told();
  closing.expect(kOne);
  EXPECT_EQ(closing.step(kPartsStart), JobClosing::Step::kWait);
  closing.note_arrival(kOne);
  closing.await(kOne);
  EXPECT_EQ(closing.step(kPartsStart), JobClosing::Step::kWait);
  closing.settle(kOne);
  EXPECT_EQ(closing.step(kPartsStart), JobClosing::Step::kFinish);
}

TEST(JobClosing, WaitsOnlySoLong) {
  JobClosing closing(kFailedEnd, kPartsStart + 30s);
  closing.await(kOne);
  EXPECT_EQ(closing.step(kPartsStart + 30s - 1ns), JobClosing::Step::kWait);
  EXPECT_EQ(closing.step(kPartsStart + 30s), JobClosing::Step::kFinish);
}

TEST(JobClosing, SaysHowTheJobEndedAndForWhatItWaits) {
  JobClosing closing(kFailedEnd, kPartsStart);
  EXPECT_EQ(closing.words(), "the job has failed: node1: rank 0 exited; this is being saved");
  closing.note_told();
  closing.await(kOne);
  closing.expect(kTwo);
  EXPECT_EQ(closing.words(), "the job has failed: node1: rank 0 exited; waiting until 2 nodes have acknowledged it");
  EXPECT_EQ(end_words({}), "the job has succeeded");
  EXPECT_EQ(end_words({JobEnd::Kind::kStopped, 143, {"by SIGTERM"}}), "the job was stopped: by SIGTERM");
  EXPECT_EQ(end_words({JobEnd::Kind::kFailed, 1, {}}), "the job has failed");
}

}  // namespace
}  // namespace ferrun
