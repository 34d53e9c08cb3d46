#include "rendezvous/io/coordinator/state_claim.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <optional>

#include "rendezvous/coordinator/coordinator_state_codec.h"
#include "rendezvous/io/coordinator/state_file.h"
#include "tests/temporary_directory.h"

namespace ferrun {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

class StateClaimTest : public ::testing::Test {
 protected:
  StateClaim claim(const std::string& job_id, bool is_private = false) const {
    StateOwner owner;
    owner.path = path;
    owner.is_private = is_private;
    owner.job_id = job_id;
    owner.patience = std::chrono::hours(1);
    return StateClaim::take(std::move(owner));
  }

  const testing::TemporaryDirectory directory;
  const std::string path = directory.file("state");
};

TEST_F(StateClaimTest, KeepsOthersOffAndNamesTheJobThatHasTheFile) {
  StateClaim first = claim("one");
  EXPECT_TRUE(first.held());
  EXPECT_TRUE(first.take_verdict().usable);
  StateClaim second = claim("two");
  EXPECT_FALSE(second.held());
  const StateVerdict verdict = second.take_verdict();
  EXPECT_FALSE(verdict.usable);
  EXPECT_THAT(verdict.line, AllOf(HasSubstr("--state-file=" + path), HasSubstr("job 'one'"), HasSubstr("job 'two'")));
  EXPECT_FALSE(claim("one").held()) << "of the same job neither";
}

TEST_F(StateClaimTest, EndsWithItsHolder) {
  { const StateClaim first = claim("one"); }
  StateClaim second = claim("a job with a longer name");
  EXPECT_TRUE(second.held());
  EXPECT_THAT(claim("three").take_verdict().line, HasSubstr("job 'a job with a longer name'"));
}

TEST_F(StateClaimTest, FindsWhatWasLeft) {
  CoordinatorState state;
  state.launch_id = "launch";
  state.job_id = "one";
  ASSERT_EQ(replace_file(path, encode_state(state)), "");
  EXPECT_EQ(claim("one").take_verdict().state, state);
  StateClaim another = claim("two");
  EXPECT_FALSE(another.held()) << "it is not this one's";
  EXPECT_THAT(another.take_verdict().line, AllOf(HasSubstr("job 'one'"), HasSubstr("job 'two'")));
  StateClaim kept = claim("two", true);
  EXPECT_TRUE(kept.held());
  const StateVerdict aside = kept.take_verdict();
  EXPECT_FALSE(aside.state);
  EXPECT_THAT(aside.line, HasSubstr("left aside"));
}

TEST_F(StateClaimTest, LeavesNothingWhenTheJobIsOver) {
  StateClaim only = claim("one");
  ASSERT_EQ(replace_file(path, "text"), "");
  only.remove();
  EXPECT_TRUE(fs::is_empty(directory.path()));
  EXPECT_TRUE(claim("two").held());
}

TEST_F(StateClaimTest, SaysWhereItCannotBeMade) {
  StateOwner owner;
  owner.path = directory.file("no/such/folder");
  StateClaim claim = StateClaim::take(owner);
  EXPECT_FALSE(claim.held());
  EXPECT_THAT(claim.take_verdict().line,
              AllOf(HasSubstr("--state-file=" + owner.path), HasSubstr("No such file or directory")));
}

}  // namespace
}  // namespace ferrun
