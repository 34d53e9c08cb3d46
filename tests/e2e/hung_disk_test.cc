// Agents whose log folder lies on a disk that does not answer: they serve, keep their leases and end as if it did.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "tests/e2e/nodes_run.h"

namespace ferrun::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class HungDisk : public Nodes {
 protected:
  void SetUp() override {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "a sanitizer has to be loaded first";
#endif
  }

  Words log_options() const { return {"--log-dir=" + file("hung"), "--redirects=3"}; }
  Words variables() const {
    return {"LD_PRELOAD=" FERRUN_TEST_BIN_DIR "/libhung_disk.so", "FERRUN_TEST_HUNG_DISK=" + file("hung"),
            "FERRUN_TEST_HUNG_NOTES=" + directory.path().string()};
  }
};

TEST_F(HungDisk, KeepsNobodyFromStoppingAJob) {
  Words words = log_options();
  words.insert(words.end(), {"--no-python", "true"});
  const auto job = ferrun(words, variables());
  ASSERT_TRUE(eventually_exists("hangs"));
  job->signal(SIGTERM);
  EXPECT_EQ(job->wait().shell_code(), 128 + SIGTERM) << job->err();
}

TEST_F(HungDisk, EndsWithItsSentinel) {
  Words words = log_options();
  words.insert(words.end(), {"--no-python", "true"});
  const auto job = ferrun(words, variables());
  ASSERT_TRUE(eventually_exists("hangs"));
  const pid_t agent = agent_of(*job);
  job->signal(SIGKILL);
  EXPECT_TRUE(eventually([agent] { return !process_exists(agent); }));
}

// The agent that hangs coordinates the job: for twice as long as a lease is, the other one hears from it.
TEST_F(HungDisk, CostsNoNodeItsLease) {
  Words options = log_options();
  options.push_back("--verbose");
  const auto hosting = agent("2", options, {"true"}, variables());
  ASSERT_TRUE(hosting->wait_for_output("this agent coordinates the job"));
  const auto other = agent("2", {"--verbose"}, {"true"});
  EXPECT_TRUE(hosting->wait_for_output("still waiting for the log folder"));
  touch("answers");
  EXPECT_TRUE(hosting->wait().success()) << hosting->err();
  EXPECT_TRUE(other->wait().success()) << other->err();
  EXPECT_THAT(hosting->err(), Not(HasSubstr("round 2"))) << "one round was enough";
  EXPECT_THAT(other->err(), Not(HasSubstr("round 2")));
}

}  // namespace
}  // namespace ferrun::testing
