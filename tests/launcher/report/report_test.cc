// Error files, what became of a worker, and how its report reads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "launcher/report/error_file.h"
#include "launcher/report/failure_report.h"
#include "launcher/report/local_failure.h"
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

TEST(ErrorFile, SaysWhoseFailureItIsInBothForms) {
  using Cause = ErrorFile::Cause;
  const auto cause = [](const char* bytes) { return parse_error_file(bytes).cause; };
  EXPECT_EQ(cause(R"({"message": "m", "ferrun": {"kind": "own"}})"), Cause::kOwn);
  EXPECT_EQ(cause(R"({"message": {"message": "m"}, "ferrun": {"kind": "lost_peer"}})"), Cause::kLostPeer);
  for (const char* other : {R"({"message": "m"})", R"({"message": "m", "ferrun": {"kind": "newer"}})",
                            R"({"message": "m", "ferrun": {}})", R"({"message": "m", "ferrun": "own"})"}) {
    EXPECT_EQ(cause(other), Cause::kUnsaid) << other;
  }
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

TEST(ErrorFile, OfWhichTheBeginningWasReadSaysWhatIsThere) {
  const ErrorFile file = parse_error_beginning(
      R"({"message": {"message": "ValueError: bad", "extraInfo": {"py_callstack": "Traceback\nline 1\nli)");
  EXPECT_EQ(file.state, ErrorFile::State::kRead);
  EXPECT_TRUE(file.is_beginning);
  EXPECT_EQ(file.message, "ValueError: bad");
  EXPECT_EQ(file.callstack, "Traceback\nline 1\nli");
  EXPECT_EQ(parse_error_beginning(R"({"message": "77777)").message, "77777");
  EXPECT_EQ(parse_error_beginning(R"({"other": "77777)").problem, "its beginning is that of no error file");
  EXPECT_EQ(parse_error_beginning("core dump").state, ErrorFile::State::kUnreadable);
}

TEST(ErrorFile, NamesFunctionsOfACrashAsAPersonReadsThem) {
  const ErrorFile file = parse_error_file(
      R"({"message": {"message": "SIGSEGV", "extraInfo": {"py_callstack":)"
      R"( "#0 _ZN5probe12read_nothingEPVi+0x5 (/bin/probe+0x1249)\n#1 main+0x7 (/bin/_Z+0x1)\n#2 _Zwhatever+0x1"}}})");
  EXPECT_EQ(
      file.callstack,
      "#0 probe::read_nothing(int volatile*)+0x5 (/bin/probe+0x1249)\n#1 main+0x7 (/bin/_Z+0x1)\n#2 _Zwhatever+0x1");
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

const ExitStatus kTerminated = ExitStatus::signaled(SIGTERM);

WorkerRecord ended(ExitStatus status, std::vector<int> sent = {}) {
  WorkerRecord worker;
  worker.local_rank = 1;
  worker.pid = 101;
  worker.state = WorkerRecord::State::kEnded;
  worker.status = status;
  worker.ended_at = TimePoint(5s);
  worker.sent_signals = std::move(sent);
  return worker;
}

WorkerEvidence with_error(const std::string& message) {
  WorkerEvidence evidence;
  evidence.error.state = ErrorFile::State::kRead;
  evidence.error.message = message;
  return evidence;
}

TEST(Victims, EndByFerrunsSignalOrByTheirHandlersExit) {
  EXPECT_TRUE(is_victim(ended(kTerminated, {SIGTERM}), {}));
  EXPECT_TRUE(is_victim(ended(ExitStatus::signaled(SIGKILL), {SIGTERM, SIGKILL}), {}));
  EXPECT_TRUE(is_victim(ended(ExitStatus::exited(1), {SIGTERM}), {}));
  EXPECT_FALSE(is_victim(ended(ExitStatus::exited(3)), {})) << "nobody had signalled it";
  EXPECT_FALSE(is_victim(ended(ExitStatus::exited(1), {SIGTERM}), with_error("AssertionError: shapes differ")))
      << "it has a story of its own";
  EXPECT_FALSE(is_victim(ended(ExitStatus::signaled(SIGSEGV), {SIGTERM}), {})) << "a crash after the signal";
}

TEST(Victims, AreNotThoseThatFailedBeforeFerrunsSignalHitThem) {
  const WorkerRecord terminated = ended(kTerminated, {SIGTERM});
  EXPECT_FALSE(is_victim(terminated, with_error("ValueError: bad label"))) << "an interpreter takes long to end";
  EXPECT_TRUE(is_victim(terminated, with_error("RuntimeError: Connection closed by peer")));
  WorkerEvidence told = with_error("cannot read broken.jpg");
  told.error.cause = ErrorFile::Cause::kLostPeer;
  EXPECT_TRUE(is_victim(terminated, told)) << "the failure of another rank, which tells it";
}

// Its exit status alone would say that somebody stopped it.
TEST(LocalFailure, OfARankThatFerrunsSignalMetOnItsWayOutIsTheExceptions) {
  FailedWorker left;
  left.local_rank = 1;
  left.evidence.error.state = ErrorFile::State::kRead;
  left.evidence.error.message = "ValueError: bad label";
  const auto failure = [&left](const WorkerRecord& record) {
    return local_failure(record, left, {0, 0}, TimePoint(5s));
  };
  const LocalFailure met = failure(ended(ExitStatus::signaled(SIGTERM), {SIGTERM}));
  EXPECT_THAT(met.report.front(), HasSubstr(") was ending by an exception when ferrun's SIGTERM met it"));
  EXPECT_EQ(met.status, ExitStatus::exited(1));
  EXPECT_EQ(met.kind, FailureKind::kExit);
  const LocalFailure by_another = failure(ended(ExitStatus::signaled(SIGTERM)));
  EXPECT_THAT(by_another.report.front(), HasSubstr("killed by SIGTERM"));
  EXPECT_EQ(by_another.status, ExitStatus::signaled(SIGTERM));
  EXPECT_EQ(by_another.kind, FailureKind::kSignal);

  left.evidence.error.callstack = "#0 raise\n#1 main";
  const LocalFailure crash = failure(ended(ExitStatus::signaled(SIGKILL), {SIGTERM, SIGKILL}));
  EXPECT_THAT(crash.report.front(), HasSubstr(") was ending by a crash when ferrun's SIGKILL met it"));
  EXPECT_EQ(crash.status, ExitStatus::signaled(SIGKILL)) << "by which signal it would have ended is not told";

  left.evidence.error = {};
  EXPECT_THAT(failure(ended(ExitStatus::signaled(SIGTERM), {SIGTERM})).report.front(), HasSubstr("killed by SIGTERM"));
  left.evidence.stderr_before_stop = {"terminate called after throwing an instance of 'std::runtime_error'",
                                      "  what():  bad label"};
  EXPECT_EQ(failure(ended(ExitStatus::signaled(SIGKILL), {SIGTERM, SIGKILL})).status, ExitStatus::signaled(SIGABRT));
}

TEST(FailureKind, IsWhatTheWorkerSaysBeforeWhatItsWordsSay) {
  WorkerEvidence evidence = with_error("lost the connection to rank 3");
  evidence.error.cause = ErrorFile::Cause::kLostPeer;
  EXPECT_EQ(failure_kind(ended(ExitStatus::exited(1)), evidence), FailureKind::kLostPeer);
  EXPECT_EQ(failure_kind(ended(ExitStatus::signaled(SIGSEGV)), evidence), FailureKind::kLostPeer)
      << "a crash on the way out";
  evidence = with_error("the file server: connection refused");
  evidence.error.cause = ErrorFile::Cause::kOwn;
  EXPECT_EQ(failure_kind(ended(ExitStatus::exited(1)), evidence), FailureKind::kExit);
}

TEST(FailureKind, KnowsTorchsWordsForALostPeer) {
  for (const char* message :
       {"torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:3690, remote process exited or there "
        "was a network error",
        "torch.distributed.DistNetworkError: failed to recv, got 0 bytes",
        "torch.distributed.DistStoreError: wait timeout after 300000ms, keys: /default_pg/0//cpu//0/0",
        "RuntimeError: [gloo/transport/tcp/pair.cc:547] Connection closed by peer [10.0.0.7]:4711",
        "RuntimeError: [gloo/transport/tcp/unbound_buffer.cc:81] Timed out waiting 1800000ms for recv operation",
        "RuntimeError: Application timeout caused pair closure",
        "DistBackendError: [Rank 1] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=3)"}) {
    EXPECT_EQ(failure_kind(ended(ExitStatus::exited(1)), with_error(message)), FailureKind::kLostPeer) << message;
  }
}

TEST(FailureKind, GoesByTheExceptionThatEndedAPythonProgramNotByWhatItsLibrariesSayAfterwards) {
  WorkerEvidence evidence;
  evidence.stderr_tail = {
      "[rank1]: Traceback (most recent call last):", "[rank1]:   File \"train.py\", line 3, in <module>",
      "[W1128 TCPStore.cpp:125] [c10d] recvValue failed: Connection was likely closed",
      "[rank1]: ValueError: bad label", "[W1128 ProcessGroup.cpp:1] Connection reset by peer"};
  EXPECT_EQ(failure_kind(ended(ExitStatus::exited(1)), evidence), FailureKind::kExit);
  evidence.stderr_tail[3] = "[rank1]: RuntimeError: Connection reset by peer";
  EXPECT_EQ(failure_kind(ended(ExitStatus::exited(1)), evidence), FailureKind::kLostPeer);
  evidence.stderr_tail = {"Traceback (most recent call last):", "  File \"train.py\", line 3"};
  EXPECT_EQ(failure_kind(ended(ExitStatus::exited(1)), evidence), FailureKind::kExit) << "its end is missing";
}

TEST(FailureKind, AnErrorFileSaysMoreOfALostConnectionThanTheStderr) {
  WorkerEvidence evidence;
  evidence.stderr_tail = {"what():  Connection reset by peer"};
  EXPECT_EQ(failure_kind(ended(ExitStatus::signaled(SIGABRT)), evidence), FailureKind::kLostPeer);
  evidence.error = with_error("AssertionError: shapes differ").error;
  EXPECT_EQ(failure_kind(ended(ExitStatus::signaled(SIGABRT)), evidence), FailureKind::kSignal);
  evidence.error = with_error("RuntimeError: [pair.cc:534] Connection closed by peer [127.0.0.1]:999").error;
  EXPECT_EQ(failure_kind(ended(ExitStatus::exited(1)), evidence), FailureKind::kLostPeer);
}

std::vector<std::string> report_of(const WorkerEvidence& evidence, const std::string& stderr_file = "") {
  FailedWorker left_behind;
  left_behind.local_rank = 1;
  left_behind.evidence = evidence;
  left_behind.stderr_file = stderr_file;
  left_behind.stderr_inherited = stderr_file.empty();
  return local_failure(ended(ExitStatus::exited(3)), left_behind, {}, TimePoint(5s)).report;
}

TEST(WorkerReport, TellsWhereItsStderrWent) {
  EXPECT_THAT(report_of({}),
              ElementsAre("rank 1 (local_rank 1, pid 101) exited with code 3", "  when:   5.00 s after its start",
                          "  stderr: went to ferrun's own; --tee=2 or --redirects=2 keeps it and shows its last lines "
                          "here"));
}

TEST(WorkerReport, ShowsMessageLogAndLastLines) {
  WorkerEvidence evidence = with_error("ValueError: bad label\n");
  evidence.stderr_tail = {"Traceback", "\x1B[31mValueError: bad \xFF\x1B[0m"};
  EXPECT_THAT(
      report_of(evidence, "/logs/1/stderr.log"),
      ::testing::IsSupersetOf({std::string("  error:  ValueError: bad label"),
                               std::string("  log:    /logs/1/stderr.log"), std::string("  stderr, its last lines:"),
                               std::string("    Traceback"), std::string("    ValueError: bad \xEF\xBF\xBD")}));
}

TEST(WorkerReport, ShowsTheTracebackWhenTheStderrIsNotThere) {
  WorkerEvidence evidence = with_error("one\ntwo");
  evidence.error.callstack = "Traceback:\n  line 3\n";
  EXPECT_THAT(report_of(evidence),
              ::testing::IsSupersetOf({std::string("  error:"), std::string("    one"), std::string("    two"),
                                       std::string("  traceback:"), std::string("      line 3")}));
  evidence.stderr_tail = {"Traceback:"};
  EXPECT_THAT(report_of(evidence), Not(Contains("  traceback:")));
}

TEST(WorkerReport, ShowsTheFirstFramesOfACrashBesideItsStderr) {
  WorkerEvidence evidence = with_error("SIGSEGV (segmentation fault)");
  for (int frame = 0; frame < 30; ++frame)
    evidence.error.callstack += "#" + std::to_string(frame) + " f+0x1 (/bin/p)\n";
  evidence.stderr_tail = {"terminate called"};
  const std::vector<std::string> report = report_of(evidence);
  EXPECT_THAT(report,
              ::testing::IsSupersetOf({std::string("  backtrace:"), std::string("    #0 f+0x1 (/bin/p)"),
                                       std::string("    #15 f+0x1 (/bin/p)"), std::string("    (14 lines more)")}));
  EXPECT_THAT(report, Not(Contains("    #16 f+0x1 (/bin/p)")));
}

TEST(WorkerReport, ShowsTheBeginningOfAMessageThatIsTooLarge) {
  WorkerEvidence evidence;
  std::string text = R"({"message": "ValueError: bad\n)";
  for (int line = 0; line < 100; ++line) text += "line " + std::to_string(line) + "\\n";
  evidence.error = parse_error_beginning(text);
  EXPECT_THAT(report_of(evidence),
              ::testing::IsSupersetOf(
                  {std::string("    ValueError: bad"), std::string("    line 18"), std::string("    (81 lines more)"),
                   std::string("    (its error file is too large to be read whole: this is its beginning)")}));
}

TEST(WorkerReport, SaysWhenTheErrorFileIsCorrupt) {
  WorkerEvidence evidence;
  evidence.error = parse_error_file("{\"mess");
  EXPECT_THAT(report_of(evidence), Contains("  error:  its error file cannot be read: it is not JSON, or was cut off"));
}

// What Python's json writes, and reads.
TEST(WorkerReport, TakesPythonsNumbersAndHalvesOfSurrogatePairs) {
  const auto message = [](const std::string& text) { return parse_error_file(text).message; };
  EXPECT_EQ(
      message(R"({"message": {"message": "caf\udce9.jpg", "extraInfo": {"timestamp": 1.5, "v": [NaN, -Infinity]}}})"),
      "caf\uFFFD.jpg");
  EXPECT_EQ(message(R"({"message": "smile \ud83d\ude00, half \ud83d, NaN \\udce9", "v": Infinity})"),
            "smile \U0001F600, half \uFFFD, NaN \\udce9");
  EXPECT_EQ(parse_error_file("{\"message\": NaNa}").state, ErrorFile::State::kUnreadable);
  const std::string for_parent =
      error_file_for_parent(R"({"message": {"message": "caf\udce9", "extraInfo": {}}})", "x", 3);
  EXPECT_THAT(for_parent, ::testing::HasSubstr("caf"));
}

TEST(RestartsHint, SaysWhetherRestartsWereSpent) {
  EXPECT_THAT(restarts_hint(0), StartsWith("Hint: --max-restarts=N"));
  EXPECT_EQ(restarts_hint(1), "The one restart (--max-restarts) is spent.");
  EXPECT_EQ(restarts_hint(2), "All 2 restarts (--max-restarts) are spent.");
}

TEST(OrderByErrorFiles, KeepsTheMomentsAndGivesThemToWhoFailedFirst) {
  const auto worker = [](int rank, Duration ended_at, std::optional<double> stamp) {
    ExaminedWorker examined{ended(ExitStatus::exited(1)), {}};
    examined.record.local_rank = rank;
    examined.record.ended_at = TimePoint(ended_at);
    examined.left_behind.evidence.error.timestamp = stamp;
    return examined;
  };
  std::vector<ExaminedWorker> workers = {worker(0, 3s, 1002.0), worker(1, 4s, 1001.0), worker(2, 1s, std::nullopt)};
  order_by_error_files(workers);
  EXPECT_EQ(workers[0].record.ended_at, TimePoint(4s));
  EXPECT_EQ(workers[1].record.ended_at, TimePoint(3s));
  EXPECT_EQ(workers[2].record.ended_at, TimePoint(1s)) << "it says nothing of its time";
}

std::vector<std::string> traceback(const std::string& exception) {
  return {"Traceback (most recent call last):", "  File \"train.py\", line 7, in <module>", exception};
}

TEST(Victims, AreNotThoseThatFerrunsSignalMetWhileTheyEndedByAnException) {
  const WorkerRecord terminated = ended(kTerminated, {SIGTERM});
  WorkerEvidence evidence;
  evidence.stderr_tail = traceback("ValueError: bad label");
  EXPECT_TRUE(is_victim(terminated, evidence)) << "its handler may have raised it";
  EXPECT_FALSE(is_victim(ended(ExitStatus::exited(1), {SIGTERM}), evidence)) << "an exit code of its own";
  EXPECT_TRUE(is_victim(ended(ExitStatus::exited(143), {SIGTERM}), evidence)) << "its handler's";
  evidence.stderr_before_stop = evidence.stderr_tail;
  EXPECT_FALSE(is_victim(terminated, evidence));
  EXPECT_EQ(failure_kind(terminated, evidence), FailureKind::kCutShort);
  EXPECT_EQ(failure_kind(ended(ExitStatus::exited(1), {SIGTERM}), evidence), FailureKind::kCutShort);
  EXPECT_EQ(failure_kind(ended(ExitStatus::signaled(SIGSEGV), {SIGTERM}), evidence), FailureKind::kSignal);
  EXPECT_EQ(failure_kind(ended(ExitStatus::exited(1)), evidence), FailureKind::kExit) << "nobody stopped it";
  evidence.stderr_before_stop = {"terminate called after throwing an instance of 'std::runtime_error'",
                                 "  what():  bad label"};
  EXPECT_FALSE(is_victim(terminated, evidence));
}

TEST(Victims, AreThoseWhoseExceptionWasALostPeerOrTheStopItself) {
  const WorkerRecord terminated = ended(kTerminated, {SIGTERM});
  for (const char* exception :
       {"RuntimeError: Connection closed by peer", "KeyboardInterrupt",
        "torch.distributed.elastic.multiprocessing.api.SignalException: Process 7 got signal: 15"}) {
    WorkerEvidence evidence;
    evidence.stderr_tail = evidence.stderr_before_stop = traceback(exception);
    EXPECT_TRUE(is_victim(terminated, evidence)) << exception;
    EXPECT_TRUE(is_victim(ended(ExitStatus::exited(1), {SIGTERM}), evidence)) << exception;
  }
  WorkerEvidence thrown;
  thrown.stderr_before_stop = {"terminate called after throwing an instance of 'gloo::IoException'",
                               "  what():  Connection closed by peer [10.0.0.2]:4711"};
  EXPECT_TRUE(is_victim(terminated, thrown));
  thrown.stderr_before_stop = {"step 7: loss 2.1"};
  EXPECT_TRUE(is_victim(terminated, thrown));
}

TEST(FailureKind, CanBeALostPeersOnlyAfterAnExitOrAnAbort) {
  EXPECT_TRUE(may_have_lost_its_peer(ExitStatus::exited(1)));
  EXPECT_TRUE(may_have_lost_its_peer(ExitStatus::signaled(SIGABRT)));
  EXPECT_FALSE(may_have_lost_its_peer(ExitStatus::signaled(SIGKILL)));
  EXPECT_FALSE(may_have_lost_its_peer(ExitStatus::exited(0)));
}

}  // namespace
}  // namespace ferrun
