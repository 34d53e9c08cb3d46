#include "launcher/io/node/node_claim.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <optional>

#include "tests/temporary_directory.h"

namespace ferrun {
namespace {

constexpr AgentId kNode{0x1234};
constexpr AgentId kOther{0x5678};

class NodeClaimTest : public ::testing::Test {
 protected:
  NodeClaim take(AgentId agent) const {
    Result<NodeClaim> claim = NodeClaim::take(folder.path(), agent);
    EXPECT_TRUE(claim) << claim.error().message;
    return std::move(*claim);
  }
  size_t files() const {
    const std::filesystem::directory_iterator all(folder.path());
    return static_cast<size_t>(std::distance(begin(all), end(all)));
  }
  void make_old(const std::string& name) const {
    const timespec times[2] = {{1, 0}, {1, 0}};
    ASSERT_EQ(utimensat(AT_FDCWD, folder.file(name).c_str(), times, 0), 0);
  }

  const testing::TemporaryDirectory folder;
};

TEST_F(NodeClaimTest, TellsOfNobodyWhoWasNeverHere) { EXPECT_EQ(remains_of(folder.path(), kNode), Remains::kUnknown); }

// The sentinel's duplicate is as good as the agent's own descriptor.
TEST_F(NodeClaimTest, IsHeldUntilTheLastOfItsHoldersIsGone) {
  std::optional<NodeClaim> claim = take(kNode);
  const int sentinels = dup(claim->descriptor());
  EXPECT_EQ(remains_of(folder.path(), kNode), Remains::kUnknown);
  claim.reset();
  EXPECT_EQ(remains_of(folder.path(), kNode), Remains::kUnknown);
  close(sentinels);
  EXPECT_EQ(remains_of(folder.path(), kNode), Remains::kDying) << "nobody has said that all is gone";
}

TEST_F(NodeClaimTest, TellsThatNothingIsLeftOnlyOnceItsHoldersAreGone) {
  std::optional<NodeClaim> claim = take(kNode);
  ASSERT_EQ(write(claim->descriptor(), "gone\n", 5), 5);
  EXPECT_EQ(remains_of(folder.path(), kNode), Remains::kUnknown);
  claim.reset();
  EXPECT_EQ(remains_of(folder.path(), kNode), Remains::kNone);
}

TEST_F(NodeClaimTest, LeavesNothingInGoodOrderAndTakesAlongWhatDeadAgentsLeftLongAgo) {
  take(kOther);
  NodeClaim living = take(AgentId{7});
  NodeClaim claim = take(kNode);
  make_old("node-" + to_string(AgentId{7}));
  claim.remove();
  EXPECT_EQ(files(), 2u) << "the other one has been dead for too short a time";
  make_old("node-" + to_string(kOther));
  take(kNode).remove();
  EXPECT_EQ(files(), 1u) << "and this one lives";
  living.remove();
  EXPECT_EQ(files(), 0u);
}

TEST_F(NodeClaimTest, FollowsNoLinkAndSaysWhyThereIsNone) {
  ASSERT_EQ(symlink("/etc/passwd", folder.file("node-" + to_string(kNode)).c_str()), 0);
  const Result<NodeClaim> claim = NodeClaim::take(folder.path(), kNode);
  ASSERT_FALSE(claim);
  EXPECT_EQ(remains_of(folder.path(), kNode), Remains::kUnknown);
}

}  // namespace
}  // namespace ferrun
