#include "worker/train/checkpoint_note.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/temporary_directory.h"

namespace ferrun::train {
namespace {

namespace fs = std::filesystem;

class CheckpointNoteTest : public ::testing::Test {
 protected:
  const testing::TemporaryDirectory directory_;
  const std::string launch_ = directory_.file("launch");
};

TEST_F(CheckpointNoteTest, IsOneForEachRunOfALaunch) {
  const CheckpointNote here(launch_, "runs/a"), there(launch_, "runs/b");
  EXPECT_EQ(here.saved_on(), std::nullopt);
  ASSERT_TRUE(here.leave("node7"));
  EXPECT_EQ(CheckpointNote(launch_, "runs/a").saved_on(), "node7");
  EXPECT_EQ(there.saved_on(), std::nullopt);
  ASSERT_TRUE(here.leave("n8"));
  EXPECT_EQ(here.saved_on(), "n8");
  EXPECT_EQ(fs::status(launch_).permissions(), fs::perms::owner_all);
}

TEST_F(CheckpointNoteTest, IsThereAlsoWhereItsWriterWasKilled) {
  ASSERT_TRUE(CheckpointNote(launch_, "runs/a").leave("node7"));
  for (const fs::directory_entry& note : fs::directory_iterator(launch_)) std::ofstream(note.path()).flush();
  EXPECT_EQ(CheckpointNote(launch_, "runs/a").saved_on(), "");
}

TEST_F(CheckpointNoteTest, IsNowhereWithoutALaunchFolder) {
  const CheckpointNote none("", "runs/a");
  EXPECT_TRUE(none.leave("node7"));
  EXPECT_EQ(none.saved_on(), std::nullopt);
}

TEST_F(CheckpointNoteTest, SaysWhichFileCannotBeWritten) {
  std::ofstream(launch_) << "in the way";
  const Status left = CheckpointNote(launch_, "runs/a").leave("node7");
  ASSERT_FALSE(left);
  EXPECT_THAT(left.error().message, ::testing::StartsWith("cannot write " + launch_ + "/checkpoint-"));
}

}  // namespace
}  // namespace ferrun::train
