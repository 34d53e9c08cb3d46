// Who is named where a rank loses its connection to one that fails, and ends before it. The ranks are plain Python
// programs without error files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>

#include "tests/e2e/nodes_run.h"

namespace ferrun::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class RootCause : public Nodes {
 protected:
  void SetUp() override {
    if (std::system("python3 -c '' > /dev/null 2>&1") != 0) GTEST_SKIP() << "python3 is not installed";
  }

  static Words rank(const std::string& how) {
    return {"--no-python", "python3", FERRUN_SOURCE_DIR "/tests/e2e/root_cause_rank.py", how};
  }
  std::unique_ptr<Program> one_node(const std::string& how, Words options = {}) const {
    options.insert(options.begin(), {"--nproc-per-node=3", "--redirects=2"});
    const Words program = rank(how);
    options.insert(options.end(), program.begin(), program.end());
    return ferrun(options);
  }
};

const auto kNamesRankOne = AllOf(HasSubstr("rank 1 (local_rank "), HasSubstr("ValueError: bad label in sample 17"),
                                 ::testing::ContainsRegex("  .*rank 0 .*before it, but only lost its connection"));

TEST_F(RootCause, IsTheRankThatEndsAfterItsVictim) {
  const auto job = one_node("ends");
  EXPECT_EQ(job->wait(), ExitStatus::exited(1));
  EXPECT_THAT(job->err(), AllOf(kNamesRankOne, HasSubstr("Root cause: rank 1")));
}

TEST_F(RootCause, IsTheRankThatFerrunsSignalMeetsOnItsWayOut) {
  const auto job = one_node("hangs", {"--failure-grace=1"});
  EXPECT_EQ(job->wait(), ExitStatus::exited(1)) << "the exception's, not the signal's";
  EXPECT_THAT(job->err(), AllOf(kNamesRankOne, HasSubstr("was ending by an exception when ferrun's SIGTERM met it"),
                                HasSubstr("Root cause: rank 1")));
}

TEST_F(RootCause, OfSeveralNodesIsTheRankThatEndsAfterItsVictim) {
  for (const std::string how : {"ends", "hangs"}) {
    const Words options = {"--redirects=2", "--failure-grace=1"};
    const auto first = agent("3", options, rank(how));
    const auto second = agent("3", options, rank(how));
    const auto third = agent("3", options, rank(how));
    for (const auto* each : {&first, &second, &third}) {
      EXPECT_NE((*each)->wait(), ExitStatus::exited(0));
      EXPECT_THAT((*each)->err(), AllOf(kNamesRankOne, ::testing::ContainsRegex("Root cause: [^\n]*rank 1 ")));
    }
  }
}

TEST_F(RootCause, IsLookedForInEveryAttempt) {
  const auto job = one_node("ends", {"--max-restarts=1"});
  EXPECT_EQ(job->wait(), ExitStatus::exited(1));
  EXPECT_THAT(job->err(), AllOf(::testing::ContainsRegex("rank 1 [^\n]*exited with code 1; starting all workers again"),
                                Not(::testing::ContainsRegex("rank 0 [^\n]*; starting all workers again"))));
}

}  // namespace
}  // namespace ferrun::testing
