// Error files, root cause and the text of the failure report.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "launcher/report/error_file.h"
#include "launcher/report/failure_report.h"
#include "launcher/report/root_cause.h"

namespace ferrun {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST(ErrorFile, ReadsTheFormOfTorchsRecord) {
  const ErrorFile file = parse_error_file(
      R"({"message": {"message": "ValueError: bad", "extraInfo": {"py_callstack": "Traceback...\n", "timestamp": "1700000000"}}})");
  EXPECT_EQ(file.state, ErrorFile::State::kRead);
  EXPECT_EQ(file.message, "ValueError: bad");
  EXPECT_EQ(file.callstack, "Traceback...\n");
  EXPECT_EQ(file.timestamp, 1700000000);
}

TEST(ErrorFile, ReadsTheSimpleForm) {
  const ErrorFile file = parse_error_file(R"({"message": "out of patience", "timestamp": 1700000000})");
  EXPECT_EQ(file.message, "out of patience");
  EXPECT_EQ(file.timestamp, 1700000000);
  EXPECT_EQ(parse_error_file(R"({"message": "no time"})").timestamp, std::nullopt);
}

TEST(ErrorFile, NoFileAndAnEmptyOneAreNoError) {
  EXPECT_EQ(parse_error_file(std::nullopt).state, ErrorFile::State::kAbsent);
  EXPECT_EQ(parse_error_file("").state, ErrorFile::State::kAbsent);
}

TEST(ErrorFile, AnythingElseIsUnreadableAndNeverFatal) {
  for (const char* bytes :
       {"{\"message\": \"cut o", "[]", "3", "null", "{}", "{\"message\": 3}", "\xff\xfe", "{\"message\": null}"}) {
    const ErrorFile file = parse_error_file(bytes);
    EXPECT_EQ(file.state, ErrorFile::State::kUnreadable) << bytes;
    EXPECT_FALSE(file.problem.empty());
  }
  EXPECT_EQ(parse_error_file(R"({"message": {"message": 5, "extraInfo": [1]}})").message, "5");
  EXPECT_EQ(parse_error_file(R"({"message": {"extraInfo": {"timestamp": "soon"}}})").timestamp, std::nullopt);
}

TEST(ErrorFile, GoesToTheParentWithTheExitCode) {
  const auto structured = nlohmann::json::parse(
      error_file_for_parent(R"({"message": {"message": "m", "extraInfo": {"timestamp": "1"}}})", "unused", 3));
  EXPECT_EQ(structured["message"]["errorCode"], 3);
  EXPECT_EQ(structured["message"]["message"], "m");
  const auto simple = nlohmann::json::parse(error_file_for_parent(R"({"message": "m"})", "unused", 3));
  EXPECT_EQ(simple["message"], "m");
  for (const std::optional<std::string>& none : {std::optional<std::string>(), std::optional<std::string>("{")}) {
    const auto made = nlohmann::json::parse(error_file_for_parent(none, "rank 1 \xff died", 139));
    EXPECT_THAT(made["message"]["message"].get<std::string>(), HasSubstr("died"));
    EXPECT_EQ(made["message"]["errorCode"], 139);
  }
}

// A group of workers that ended some time after 0 s.
class Ends {
 public:
  explicit Ends(size_t count) : workers(count), evidence(count) {
    for (size_t rank = 0; rank < count; ++rank) {
      WorkerRecord& worker = workers[rank];
      worker.local_rank = static_cast<int>(rank);
      worker.pid = 100 + worker.local_rank;
      worker.state = WorkerRecord::State::kEnded;
      worker.status = ExitStatus::exited(0);
    }
  }
  Ends& end(size_t rank, ExitStatus status, Duration after, std::vector<int> sent = {}) {
    workers[rank].status = status;
    workers[rank].ended_at = TimePoint(after);
    workers[rank].sent_signals = std::move(sent);
    return *this;
  }
  Ends& error(size_t rank, const std::string& message, std::optional<double> timestamp = std::nullopt) {
    evidence[rank].error.state = ErrorFile::State::kRead;
    evidence[rank].error.message = message;
    evidence[rank].error.timestamp = timestamp;
    return *this;
  }
  Ends& wrote(size_t rank, std::vector<std::string> lines) {
    evidence[rank].stderr_tail = std::move(lines);
    return *this;
  }
  Diagnosis diagnosis() const { return diagnose(workers, evidence); }

  std::vector<WorkerRecord> workers;
  std::vector<WorkerEvidence> evidence;
};

const ExitStatus kTerminated = ExitStatus::signaled(SIGTERM);

TEST(Diagnose, TheFirstFailureIsTheCauseAndTheOthersAreVictims) {
  Ends ends(3);
  ends.end(1, ExitStatus::exited(3), 5s)
      .end(0, kTerminated, 6s, {SIGTERM})
      .end(2, ExitStatus::signaled(SIGKILL), 36s, {SIGTERM, SIGKILL});
  const Diagnosis diagnosis = ends.diagnosis();
  EXPECT_EQ(diagnosis.root_cause, 1);
  EXPECT_EQ(diagnosis.reason, "it was the first to fail");
  EXPECT_THAT(diagnosis.parts, ElementsAre(Part::kVictim, Part::kRootCause, Part::kVictim));
}

TEST(Diagnose, AHandlersExitAfterASignalIsAVictimsAnExitOfZeroIsNone) {
  Ends ends(3);
  ends.end(0, ExitStatus::exited(3), 5s)
      .end(1, ExitStatus::exited(1), 6s, {SIGTERM})
      .end(2, ExitStatus::exited(0), 6s, {SIGTERM});
  EXPECT_THAT(ends.diagnosis().parts, ElementsAre(Part::kRootCause, Part::kVictim, Part::kNone));
  ends.error(1, "AssertionError: shapes differ");
  EXPECT_THAT(ends.diagnosis().parts, ElementsAre(Part::kRootCause, Part::kFailedToo, Part::kNone))
      << "it has a story of its own";
}

TEST(Diagnose, ACrashAfterASignalIsAFailureOfItsOwn) {
  Ends ends(2);
  ends.end(0, ExitStatus::exited(3), 5s).end(1, ExitStatus::signaled(SIGSEGV), 6s, {SIGTERM});
  EXPECT_THAT(ends.diagnosis().parts, ElementsAre(Part::kRootCause, Part::kFailedToo));
}

TEST(Diagnose, ALostConnectionIsNotTheCauseWhenAnotherFailedByItself) {
  Ends ends(2);
  ends.end(0, ExitStatus::exited(1), 5s)
      .error(0, "RuntimeError: [pair.cc:534] Connection closed by peer [127.0.0.1]:999");
  ends.end(1, ExitStatus::signaled(SIGSEGV), 7s, {SIGTERM});
  const Diagnosis diagnosis = ends.diagnosis();
  EXPECT_EQ(diagnosis.root_cause, 1);
  EXPECT_EQ(diagnosis.reason, "rank 0 failed before it, but only lost its connection to a peer");
  EXPECT_THAT(diagnosis.parts, ElementsAre(Part::kFailedToo, Part::kRootCause));
}

TEST(Diagnose, StderrTellsOfALostConnectionWhereThereIsNoErrorFile) {
  Ends ends(2);
  ends.end(0, ExitStatus::signaled(SIGABRT), 5s).wrote(0, {"what():  Connection reset by peer"});
  ends.end(1, ExitStatus::signaled(SIGKILL), 5s + 1ms);
  EXPECT_EQ(ends.diagnosis().root_cause, 1);
  ends.error(0, "AssertionError: shapes differ");
  EXPECT_EQ(ends.diagnosis().root_cause, 0) << "an error file says more than the stderr";
}

TEST(Diagnose, ALostConnectionAloneIsTheCause) {
  Ends ends(2);
  ends.end(0, ExitStatus::exited(1), 5s).error(0, "Connection refused").end(1, kTerminated, 6s, {SIGTERM});
  EXPECT_EQ(ends.diagnosis().root_cause, 0);
}

TEST(Diagnose, OfFailuresNoticedTogetherTheErrorFilesTimesDecide) {
  Ends ends(3);
  ends.end(0, ExitStatus::exited(1), 5s)
      .error(0, "later", 1002)
      .end(1, ExitStatus::exited(1), 5s)
      .error(1, "first", 1001);
  ends.end(2, ExitStatus::exited(1), 5s);
  const Diagnosis diagnosis = ends.diagnosis();
  EXPECT_EQ(diagnosis.root_cause, 1);
  EXPECT_THAT(diagnosis.reason, HasSubstr("rank 0 ended in the same moment"));
  ends.end(0, ExitStatus::exited(1), 4s);
  EXPECT_EQ(ends.diagnosis().root_cause, 0) << "a worker's clock does not win over what ferrun saw";
}

class FailureReport : public ::testing::Test {
 protected:
  FailureReport() : ends_(2) { ends_.end(1, ExitStatus::exited(3), 5s).end(0, kTerminated, 5s + 12ms, {SIGTERM}); }

  std::vector<std::string> lines(int attempt = 0, int max_restarts = 0) {
    const FailedRun run{"train.py",    "node7",        attempt,      max_restarts,        stopped_by_user_,
                        ends_.workers, ends_.evidence, stderr_file_, stderr_file_.empty()};
    return failure_report(run, ends_.diagnosis());
  }

  Ends ends_;
  std::filesystem::path stderr_file_;
  bool stopped_by_user_ = false;
};

TEST_F(FailureReport, NamesTheCauseLastAndTheVictimsApart) {
  const std::string rule(78, '=');
  EXPECT_THAT(
      lines(),
      ElementsAre(rule, "ferrun: train.py FAILED on node7", "Stopped by ferrun because rank 1 failed:",
                  "  rank 0 (local_rank 0, pid 100) killed by SIGTERM (terminated), 12 ms later", std::string(78, '-'),
                  "Root cause: rank 1 (local_rank 1, pid 101) exited with code 3",
                  "  when:   5.00 s after its start; it was the first to fail",
                  "  stderr: went to ferrun's own; --tee=2 or --redirects=2 keeps it and shows its last lines here",
                  "Hint: --max-restarts=N starts all workers again after a failure; it is 0.", rule));
}

TEST_F(FailureReport, ShowsMessageLogAndLastLines) {
  stderr_file_ = "/logs/1/stderr.log";
  ends_.error(1, "ValueError: bad label\n").wrote(1, {"Traceback", "\x1B[31mValueError: bad \xFF\x1B[0m"});
  EXPECT_THAT(lines(), ::testing::IsSupersetOf({std::string("  error:  ValueError: bad label"),
                                                std::string("  log:    /logs/1/stderr.log"),
                                                std::string("  stderr, its last lines:"), std::string("    Traceback"),
                                                std::string("    ValueError: bad \xEF\xBF\xBD")}));
}

TEST_F(FailureReport, ShowsTheTracebackWhenTheStderrIsNotThere) {
  ends_.error(1, "one\ntwo");
  ends_.evidence[1].error.callstack = "Traceback:\n  line 3\n";
  EXPECT_THAT(lines(), ::testing::IsSupersetOf({std::string("  error:"), std::string("    one"), std::string("    two"),
                                                std::string("  traceback:"), std::string("      line 3")}));
  ends_.wrote(1, {"Traceback:"});
  EXPECT_THAT(lines(), Not(Contains("  traceback:")));
}

TEST_F(FailureReport, SaysWhenTheErrorFileIsCorrupt) {
  ends_.evidence[1].error = parse_error_file("{\"mess");
  EXPECT_THAT(lines(), Contains("  error:  its error file cannot be read: it is not JSON, or was cut off"));
}

TEST_F(FailureReport, SaysWhetherRestartsWereSpent) {
  EXPECT_THAT(lines(2, 2), Contains("All 2 restarts (--max-restarts) are spent."));
  EXPECT_THAT(lines(2, 2), Contains(HasSubstr("in attempt 2 (the first is 0)")));
  EXPECT_THAT(lines(1, 1), Contains("The one restart (--max-restarts) is spent."));
  stopped_by_user_ = true;
  EXPECT_THAT(lines(), Not(Contains(StartsWith("Hint"))));
}

TEST_F(FailureReport, DoesNotListALargeGroupInFull) {
  Ends many(40);
  for (size_t rank = 0; rank < 40; ++rank) many.end(rank, kTerminated, 6s, {SIGTERM});
  many.end(17, ExitStatus::signaled(SIGKILL), 5s);
  ends_ = many;
  const std::vector<std::string> report = lines();
  EXPECT_THAT(report, Contains("  and 31 more"));
  EXPECT_LT(report.size(), 20u);
  EXPECT_THAT(report, Contains(StartsWith("Root cause: rank 17 (local_rank 17, pid 117) killed by SIGKILL")));
}

TEST_F(FailureReport, NamesAWorkerThatNeverStarted) {
  WorkerRecord& worker = ends_.workers[1];
  worker.status.reset();
  worker.pid = 0;
  worker.start_error = Error{ErrorKind::kPlatform, "no process left"};
  EXPECT_THAT(lines(), Contains("Root cause: rank 1 (local_rank 1) did not start: no process left"));
}

}  // namespace
}  // namespace ferrun
