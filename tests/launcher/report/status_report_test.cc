#include "launcher/report/status_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rendezvous/job/job_status.h"

namespace ferrun {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

AgentStatus answer(const std::string& job, size_t nodes, const std::string& told_by) {
  JobStatus status;
  status.told_by = told_by;
  status.phase = "running";
  status.nodes.resize(nodes);
  return {job, 4711, to_json(status)};
}

TEST(StatusReport, ShowsTheOnlyJob) {
  const auto report = status_report({answer("run7", 2, "the coordinator")}, "", false);
  ASSERT_TRUE(report);
  EXPECT_THAT(report.value(), StartsWith("job run7\n"));
  EXPECT_THAT(report.value(), HasSubstr("told by the coordinator"));
}

TEST(StatusReport, BelievesTheAgentThatReachesTheCoordinator) {
  const auto report = status_report({answer("run7", 0, "an agent"), answer("run7", 2, "the coordinator")}, "", false);
  EXPECT_THAT(report.value(), HasSubstr("told by the coordinator"));
}

TEST(StatusReport, AsksForANameWhereSeveralJobsRun) {
  const std::vector<AgentStatus> answers = {answer("a", 1, "x"), answer("b", 1, "y")};
  EXPECT_EQ(status_report(answers, "", false).error().message, "several jobs run here, name one with --job: a, b");
  EXPECT_THAT(status_report(answers, "b", false).value(), StartsWith("job b\n"));
  EXPECT_EQ(status_report(answers, "c", false).error().message, "no job 'c' runs here; there is a, b");
}

TEST(StatusReport, SaysThatThereIsNone) {
  EXPECT_THAT(status_report({}, "", false).error().message, HasSubstr("no job runs on this machine"));
  EXPECT_THAT(status_report({}, "c", false).error().message, HasSubstr("no job runs on this machine"));
}

TEST(StatusReport, IsOneLineOfJson) {
  const AgentStatus one = answer("a\"b", 1, "x");
  EXPECT_EQ(status_report({one}, "", true).value(), "{\"job\":\"a\\\"b\",\"status\":" + one.status + "}\n");
}

}  // namespace
}  // namespace ferrun
