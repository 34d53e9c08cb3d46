// What a node tells of its failed workers, and what it prints at the end of a job of several nodes.
#include "launcher/report/job_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "launcher/report/local_failure.h"

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

constexpr TimePoint kEnd{1000s};

WorkerRecord record(ExitStatus status, std::vector<int> sent = {}) {
  WorkerRecord record;
  record.local_rank = 1;
  record.pid = 4711;
  record.state = WorkerRecord::State::kEnded;
  record.status = status;
  record.ended_at = kEnd;
  record.sent_signals = std::move(sent);
  return record;
}

FailedWorker wrote(std::vector<std::string> stderr_tail) {
  FailedWorker worker;
  worker.local_rank = 1;
  worker.evidence.stderr_tail = std::move(stderr_tail);
  return worker;
}

size_t bytes_of(const LocalFailure& failure) {
  size_t bytes = 0;
  for (const std::string& line : failure.report) bytes += line.size() + 1;
  return bytes;
}

TEST(FailureKinds, FollowFromTheEndAndTheEvidence) {
  const WorkerEvidence none;
  WorkerEvidence memory;
  memory.out_of_memory = "the cgroup's oom_kill count rose to 1";
  const WorkerEvidence peer = wrote({"RuntimeError: Connection closed by peer"}).evidence;
  EXPECT_EQ(failure_kind(record(ExitStatus::exited(3)), none), FailureKind::kExit);
  EXPECT_EQ(failure_kind(record(ExitStatus::exited(1)), peer), FailureKind::kLostPeer);
  EXPECT_EQ(failure_kind(record(ExitStatus::signaled(SIGABRT)), peer), FailureKind::kLostPeer);
  EXPECT_EQ(failure_kind(record(ExitStatus::signaled(SIGSEGV)), peer), FailureKind::kSignal);
  EXPECT_EQ(failure_kind(record(ExitStatus::signaled(SIGKILL)), none), FailureKind::kSignal);
  EXPECT_EQ(failure_kind(record(ExitStatus::signaled(SIGKILL)), memory), FailureKind::kOutOfMemory);
  EXPECT_EQ(failure_kind(record(ExitStatus::exited(137)), memory), FailureKind::kExit)
      << "another process's want of memory";
  memory.memory_of_the_job = true;
  EXPECT_EQ(failure_kind(record(ExitStatus::exited(137)), memory), FailureKind::kOutOfMemory)
      << "as a shell tells of its command's SIGKILL";
  EXPECT_EQ(failure_kind(record(ExitStatus::exited(1)), memory), FailureKind::kExit);
  WorkerRecord never_started;
  never_started.start_error = Error{ErrorKind::kPlatform, "no process left"};
  EXPECT_EQ(failure_kind(never_started, none), FailureKind::kNotStarted);
}

TEST(LocalFailures, NameTheRankAsTheJobCountsAndBringTheEvidence) {
  FailedWorker worker = wrote({"Traceback", "\x1B[31mValueError: bad \xFF\x1B[0m"});
  worker.evidence.error.state = ErrorFile::State::kRead;
  worker.evidence.error.message = "ValueError: bad label";
  worker.evidence.out_of_memory = "";
  worker.stderr_file = "/logs/1/stderr.log";
  const LocalFailure failure = local_failure(record(ExitStatus::exited(3)), worker, {4, 0}, kEnd + 30ms);
  EXPECT_EQ(failure.local_rank, 1);
  EXPECT_EQ(failure.rank, 5);
  EXPECT_EQ(failure.age, 30ms);
  EXPECT_EQ(failure.status, ExitStatus::exited(3));
  EXPECT_THAT(failure.report,
              ElementsAre("rank 5 (local_rank 1, pid 4711) exited with code 3", StartsWith("  when: "),
                          "  error:  ValueError: bad label", "  log:    /logs/1/stderr.log",
                          "  stderr, its last lines:", "    Traceback", "    ValueError: bad \xEF\xBF\xBD"));
}

TEST(LocalFailures, ShowTheKernelsWord) {
  FailedWorker worker = wrote({});
  worker.evidence.out_of_memory = "the cgroup's oom_kill count rose to 1";
  EXPECT_THAT(local_failure(record(ExitStatus::signaled(SIGKILL)), worker, {}, kEnd).report,
              Contains("  memory: the cgroup's oom_kill count rose to 1"));
}

TEST(LocalFailures, KeepTheLastLinesOfMuchEvidence) {
  std::vector<std::string> lines;
  for (int at = 0; at < 500; ++at) lines.push_back("line " + std::to_string(at) + std::string(80, '.'));
  const LocalFailure failure = local_failure(record(ExitStatus::exited(3)), wrote(lines), {4, 0}, kEnd);
  EXPECT_LE(bytes_of(failure), LocalFailure::kReportBytes);
  EXPECT_GT(bytes_of(failure), LocalFailure::kReportBytes - 200);
  EXPECT_THAT(failure.report.front(), HasSubstr("rank 5"));
  EXPECT_EQ(failure.report[1], "    (...)");
  EXPECT_THAT(failure.report.back(), HasSubstr("line 499"));
}

TEST(LocalFailures, CutEndlessLines) {
  std::string line;
  while (line.size() < 100000) line += "\xC3\xA4";
  const LocalFailure failure =
      local_failure(record(ExitStatus::exited(3)), wrote(std::vector<std::string>(40, line)), {4, 0}, kEnd);
  EXPECT_LE(bytes_of(failure), LocalFailure::kReportBytes);
  EXPECT_THAT(failure.report.back(), ::testing::EndsWith("\xC3\xA4..."));
}

TEST(LocalFailures, OfAStartTellWhyAndTheStatusThatFerrunGivesIt) {
  const LocalFailure failure = start_failure(Error{ErrorKind::kUser, "/bin/x: no such file"}, 4);
  EXPECT_EQ(failure.kind, FailureKind::kNotStarted);
  EXPECT_EQ(failure.rank, 4);
  EXPECT_EQ(failure.status, ExitStatus::exited(2));
  EXPECT_THAT(failure.report, ElementsAre("rank 4 (local_rank 0) did not start: /bin/x: no such file"));
}

std::vector<StoppedWorker> stopped(int first, int last) {
  std::vector<StoppedWorker> workers;
  for (int rank = first; rank <= last; ++rank) {
    workers.push_back({rank, "rank " + std::to_string(rank) + " killed by SIGTERM", 12ms});
  }
  return workers;
}

TEST(JobReport, HasTheRootCauseLastAndWhoWasStoppedApart) {
  const JobEnd end{JobEnd::Kind::kFailed,
                   3,
                   {"Failed as well:", "  node2: rank 8 exited with code 1, 12 ms later",
                    "Root cause: node1: rank 5 exited with code 3", "    ValueError"}};
  const NodeReport node{"train.py", "fer", "node2", 3, 2, stopped(9, 10)};
  const std::string rule(78, '=');
  EXPECT_THAT(job_report(end, node),
              ElementsAre(rule, "ferrun: train.py (job fer) FAILED on 3 nodes; this one is node2",
                          "Stopped here by ferrun because of it:", "  rank 9 killed by SIGTERM, 12 ms later",
                          "  rank 10 killed by SIGTERM, 12 ms later", std::string(78, '-'),
                          "Failed as well:", "  node2: rank 8 exited with code 1, 12 ms later",
                          "Root cause: node1: rank 5 exited with code 3", "    ValueError",
                          "All 2 restarts (--max-restarts) are spent.", rule));
}

TEST(JobReport, SumsUpALargeGroup) {
  std::vector<StoppedWorker> many = stopped(0, 20);
  many.erase(many.begin() + 17);
  const NodeReport node{"train.py", "fer", "node2", 3, 2, many};
  EXPECT_THAT(job_report({JobEnd::Kind::kFailed, 3, {"Root cause: x"}}, node),
              Contains("Stopped here by ferrun because of it: ranks 0-16 and 18-20"));
}

TEST(JobReport, OfOneNodeNeedsNoJobAndNoNumberOfNodes) {
  NodeReport node{"train.py", "fer", "node2", 1, 0, {}};
  node.solo = true;
  EXPECT_THAT(job_report({JobEnd::Kind::kFailed, 3, {"Root cause: x"}}, node),
              Contains("ferrun: train.py FAILED on node2"));
}

TEST(JobReport, IsShortForEveryOtherEnd) {
  const NodeReport node{"train.py", "fer", "node2", 3, 2, stopped(8, 8)};
  EXPECT_THAT(job_report(JobEnd{}, node), IsEmpty());
  EXPECT_THAT(job_report({JobEnd::Kind::kStopped, 143, {"stopped by SIGTERM"}}, node),
              ElementsAre("ferrun: stopped by SIGTERM"));
  EXPECT_THAT(job_report({JobEnd::Kind::kRendezvous, 75, {"no group", "node3 is missing"}}, node),
              ElementsAre("ferrun: no group", "ferrun: node3 is missing"));
  EXPECT_THAT(job_report({JobEnd::Kind::kRefused, 2, {}}, node), Not(IsEmpty())) << "no silent failure";
}

TEST(JobReport, OfAStopShowsTheFailureThatCameBefore) {
  const NodeReport node{"train.py", "fer", "node2", 3, 2, {}};
  const std::vector<std::string> lines =
      job_report({JobEnd::Kind::kStopped, 143, {"Root cause: rank 1", "stopped by SIGTERM"}}, node);
  EXPECT_THAT(lines, Contains("Root cause: rank 1"));
  EXPECT_THAT(lines, Contains(HasSubstr("was stopped after a failure on 3 nodes")));
  EXPECT_THAT(lines, Not(Contains(HasSubstr("--max-restarts"))));
  EXPECT_EQ(lines.back(), "ferrun: stopped by SIGTERM");
}

TEST(JobReport, IsSafeForATerminalWhateverTheCoordinatorSends) {
  std::vector<std::string> lines(100000, "\x1B]0;title\a\xFFx");
  lines.push_back("root cause");
  const std::vector<std::string> report = job_report({JobEnd::Kind::kFailed, 3, lines}, {});
  EXPECT_LT(report.size(), 300u);
  EXPECT_THAT(report, Contains("root cause"));
  EXPECT_THAT(report, Each(Not(HasSubstr("\x1B"))));
}

TEST(TerminationMessage, IsTheEndOfTheReportInWholeLines) {
  EXPECT_EQ(termination_message({}), "");
  EXPECT_EQ(termination_message({"ferrun: FAILED", "Root cause: rank 1"}), "ferrun: FAILED\nRoot cause: rank 1\n");
  std::vector<std::string> lines(100, std::string(99, 'x'));
  lines.emplace_back("Root cause: rank 1");
  const std::string message = termination_message(lines);
  EXPECT_LE(message.size(), 4096U);
  EXPECT_GT(message.size(), 3900U);
  EXPECT_TRUE(message.starts_with("xxx") && message.ends_with("\nRoot cause: rank 1\n"));
  EXPECT_EQ(termination_message({std::string(5000, 'x')}).size(), 4096U);
}

TEST(RanksText, SumsUpNeighbours) {
  EXPECT_EQ(ranks_text({3}), "rank 3");
  EXPECT_EQ(ranks_text({3, 4}), "ranks 3-4");
  EXPECT_EQ(ranks_text({0, 2, 3, 4, 7}), "ranks 0, 2-4 and 7");
}

}  // namespace
}  // namespace ferrun
