// Redirects, tee, log files, and the report at the end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>

#include "tests/e2e/launcher_run.h"

namespace ferrun {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const char* const kTalk = "echo out $RANK; echo err $RANK >&2";

// The random part of the job's folder as "X".
std::vector<std::string> files_of_job(const ScratchFolder& folder) {
  std::vector<std::string> files;
  for (const std::string& file : folder.files()) {
    files.push_back(std::regex_replace(file, std::regex("job_[a-z0-9]{8}"), "job_X"));
  }
  return files;
}

TEST(LauncherOutput, IsInheritedByDefault) {
  const ScratchFolder folder;
  const Finished run = ferrun(folder, {"--nproc-per-node=2", "sh", "-c", kTalk});
  EXPECT_THAT(sorted_lines(run.out), ElementsAre("out 0", "out 1"));
  EXPECT_THAT(sorted_lines(run.err), ElementsAre("err 0", "err 1"));
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // which need room for themselves
// As under a container's limit of processes, or of memory: no output needs a thread, however welcome one is.
TEST(LauncherOutput, IsCarriedWhereThereIsNoRoomForAThread) {
  for (const char* const limit : {"14000", "18000", "22000"}) {
    const ScratchFolder folder;
    const Finished run = ferrun(
        folder,
        {"--no-python", "bash", "-c",
         std::string("ulimit -c 0; ulimit -v ") + limit +
             "; exec " FERRUN_BIN_DIR
             "/ferrun --no-python --nproc-per-node=2 --redirects=3 --tee=3 --log-dir=logs --max-restarts=1 sh -c "
             "'echo out $RANK; [ $TORCHELASTIC_RESTART_COUNT = 1 ] || exit 3'"});
    EXPECT_EQ(run.code(), 0) << limit << run.err;
    EXPECT_THAT(run.out, AllOf(HasSubstr("out 0\n"), HasSubstr("out 1\n"))) << limit;
    EXPECT_EQ(folder.read_one("attempt_1/0/stdout.log"), "out 0\n") << limit;
  }
}
#endif

TEST(LauncherOutput, IsRedirectedToTorchrunsTree) {
  const ScratchFolder folder;
  const Finished run = ferrun(
      folder, {"--nproc-per-node=2", "--log-dir=logs/deep", "--rdzv-id=job", "-r", "0:3,1:2", "sh", "-c", kTalk});
  EXPECT_EQ(run.code(), 0);
  EXPECT_EQ(run.out, "out 1\n");
  EXPECT_EQ(run.err, "");
  EXPECT_THAT(files_of_job(folder), ElementsAre("logs", "logs/deep", "logs/deep/job_X", "logs/deep/job_X/attempt_0",
                                                "logs/deep/job_X/attempt_0/0", "logs/deep/job_X/attempt_0/0/stderr.log",
                                                "logs/deep/job_X/attempt_0/0/stdout.log", "logs/deep/job_X/attempt_0/1",
                                                "logs/deep/job_X/attempt_0/1/stderr.log", "logs/deep/latest"));
  EXPECT_EQ(folder.read_one("0/stdout.log"), "out 0\n");
  EXPECT_EQ(folder.read_one("1/stderr.log"), "err 1\n");
}

TEST(LauncherOutput, IsTeedWithAPrefixForEveryLine) {
  const ScratchFolder folder;
  const Finished run = ferrun(folder, {"--nproc-per-node=2", "--log-dir=logs", "-t3", "--role=tr", "sh", "-c",
                                       "printf part; echo -whole $RANK; printf unfinished; echo err >&2"});
  EXPECT_THAT(sorted_lines(run.out),
              ElementsAre("[tr0]:part-whole 0", "[tr0]:unfinished", "[tr1]:part-whole 1", "[tr1]:unfinished"));
  EXPECT_THAT(sorted_lines(run.err), ElementsAre("[tr0]:err", "[tr1]:err"));
  EXPECT_EQ(folder.read_one("1/stdout.log"), "part-whole 1\nunfinished");
}

TEST(LauncherOutput, KeepsTheFilesOfEveryAttempt) {
  const ScratchFolder folder;
  ferrun(folder, {"--log-dir=logs", "-r1", "--max-restarts=2", "sh", "-c", "echo $TORCHELASTIC_RESTART_COUNT; exit 1"});
  for (const char* attempt : {"0", "1", "2"}) {
    EXPECT_EQ(folder.read_one(std::string("attempt_") + attempt + "/0/stdout.log"), std::string(attempt) + "\n");
  }
}

TEST(LauncherOutput, TheFilterHidesRanks) {
  const ScratchFolder folder;
  const Finished run = ferrun(folder, {"--nproc-per-node=3", "--local-ranks-filter=1", "sh", "-c", kTalk});
  EXPECT_EQ(run.out, "out 1\n");
  EXPECT_EQ(run.err, "err 1\n");
}

TEST(LauncherOutput, DevNullMeansNoFilesAtAll) {
  const ScratchFolder folder;
  const Finished run = ferrun(folder, {"--log-dir=/dev/null", "-r1", "-t2", "sh", "-c",
                                       "echo o; echo e >&2; echo \"[$TORCHELASTIC_ERROR_FILE]\" >&2"});
  EXPECT_EQ(run.out, "");
  EXPECT_THAT(split_lines(run.err), ElementsAre("[default0]:e", "[default0]:[]"));
  EXPECT_THAT(folder.files(), IsEmpty());
}

TEST(LauncherOutput, SurvivesAWorkerThatOpensItsStreamsAnew) {
  const ScratchFolder folder;
  const Finished run = ferrun(
      folder, {"--log-dir=logs", "-r3", "sh", "-c",
               "echo one; echo two > /dev/stdout; echo three; echo a >&2; echo b | tee /dev/stderr >&2; echo c >&2"});
  EXPECT_EQ(run.code(), 0) << run.err;
  EXPECT_EQ(folder.read_one("0/stdout.log"), "one\ntwo\nthree\n");
  EXPECT_EQ(folder.read_one("0/stderr.log"), "a\nb\nb\nc\n");
}

TEST(LauncherOutput, MakesFoldersAgainThatWereCleanedAwayWhileTheJobRan) {
  for (const char* where : {"--log-dir=logs", "--log-dir="}) {
    SCOPED_TRACE(where);
    const ScratchFolder folder;
    const Finished run = ferrun(folder, {where, "-r1", "--max-restarts=1", "sh", "-c",
                                         "[ $TORCHELASTIC_RESTART_COUNT = 1 ] && echo again && exit 0; "
                                         "rm -rf logs ferrun_*; exit 1"});
    EXPECT_EQ(run.code(), 0) << run.err;
    EXPECT_THAT(run.err,
                ::testing::ContainsRegex("ferrun: the log folder .* was removed while the job ran: made again"));
    EXPECT_EQ(folder.read_one("attempt_1/0/stdout.log"), "again\n");
  }
}

TEST(LauncherOutput, MakesTheFolderOfErrorFilesAgain) {
  const ScratchFolder folder;
  const Finished run = ferrun(folder, {"--max-restarts=1", "sh", "-c",
                                       "[ $TORCHELASTIC_RESTART_COUNT = 0 ] && rm -rf ferrun_* && exit 1; "
                                       "echo '{\"message\": \"told\"}' > $TORCHELASTIC_ERROR_FILE; exit 2"});
  EXPECT_EQ(run.code(), 2);
  EXPECT_THAT(run.err, HasSubstr("error:  told"));
}

TEST(LauncherOutput, LeavesNoFolderInWhichNothingWasWritten) {
  for (const char* streams : {"-r0", "-r3", "-t3"}) {
    for (const char* script : {"true", "exit 3", "kill -TERM $PPID; sleep 60"}) {
      SCOPED_TRACE(std::string(streams) + " " + script);
      const ScratchFolder folder;
      ferrun(folder, {streams, "--nproc-per-node=2", "sh", "-c", script});
      EXPECT_THAT(folder.files(), IsEmpty());
    }
  }
  const ScratchFolder folder;
  ferrun(folder, {"--log-dir=deep/logs", "true"});
  EXPECT_THAT(folder.files(), IsEmpty());
}

TEST(LauncherOutput, NothingIsLostAtTheEnd) {
  const ScratchFolder folder;
  const Finished run = ferrun(folder, {"--nproc-per-node=2", "-t1", "--log-dir=logs", "sh", "-c", "seq 1 20000"});
  EXPECT_EQ(split_lines(run.out).size(), 40000u);
  EXPECT_EQ(split_lines(folder.read_one("0/stdout.log")).size(), 20000u);
}

TEST(LauncherReport, IsTheLastThingOnTheScreen) {
  const ScratchFolder folder;
  const Finished run =
      ferrun(folder, {"--nproc-per-node=2", "-t2", "--log-dir=logs", "sh", "-c",
                      "[ $RANK = 0 ] && exec sleep 60; for i in 1 2 3; do echo line $i >&2; done; exit 3"});
  const std::vector<std::string> lines = split_lines(run.err);
  ASSERT_GT(lines.size(), 5u);
  EXPECT_EQ(lines.back(), std::string(78, '='));
  const std::string report = run.err.substr(run.err.find("===="));
  EXPECT_THAT(report, HasSubstr("ferrun: sh FAILED on "));
  EXPECT_THAT(report,
              ::testing::ContainsRegex("Root cause: rank 1 \\(local_rank 1, pid [0-9]+\\) exited with code 3\n"));
  EXPECT_THAT(report, ::testing::ContainsRegex("Stopped here by ferrun because of it:\n  rank 0 .* killed by SIGTERM"));
  EXPECT_THAT(report, HasSubstr("    line 1\n    line 2\n    line 3\n"));
  EXPECT_THAT(report, ::testing::ContainsRegex("log:    /.*/logs/.*/attempt_0/1/stderr.log"));
  EXPECT_THAT(report, HasSubstr("Hint: --max-restarts=N"));
  EXPECT_THAT(folder.read_one("ferrun.log"), HasSubstr("Root cause: rank 1"));
}

TEST(LauncherOutput, EventsAreLinesOfJson) {
  const ScratchFolder folder;
  const Finished run = ferrun(folder, {"--nproc-per-node=2", "--max-restarts=1", "--event-log=events", "sh", "-c",
                                       "[ $TORCHELASTIC_RESTART_COUNT = 1 ] || [ $RANK = 0 ] || exit 3"});
  EXPECT_EQ(run.code(), 0) << run.err;
  const std::vector<std::string> lines = split_lines(folder.read("events"));
  ASSERT_GT(lines.size(), 8u);
  for (const std::string& line : lines) EXPECT_TRUE(line.starts_with("{\"time\":") && line.ends_with("}")) << line;
  EXPECT_THAT(lines.front(), HasSubstr("\"event\":\"job\",\"state\":\"started\""));
  EXPECT_THAT(lines.back(), HasSubstr("\"event\":\"job\",\"state\":\"succeeded\",\"exit_status\":0"));
  EXPECT_THAT(lines, ::testing::Contains(HasSubstr("\"exit_code\":3,\"reason\":\"exited with code 3\"")));
  const Finished refused = ferrun(folder, {"--event-log=no/folder/events", "true"});
  EXPECT_EQ(refused.code(), 2);
  EXPECT_THAT(refused.err, HasSubstr("cannot open the event log no/folder/events: No such file or directory"));
}

TEST(LauncherOutput, TorchrunsEventsGoToStderr) {
  const ScratchFolder folder;
  const Finished run = ferrun(folder, {"--event-log-handler=console", "true"});
  EXPECT_EQ(run.code(), 0);
  const std::vector<std::string> lines = split_lines(run.err);
  ASSERT_EQ(lines.size(), 3u) << run.err;
  EXPECT_THAT(lines[0], HasSubstr("{\"name\":\"torchelastic.worker.status.START\",\"source\":\"WORKER\""));
  EXPECT_THAT(lines[1], HasSubstr("status.SUCCEEDED\",\"source\":\"WORKER\""));
  EXPECT_THAT(lines[2], HasSubstr("status.SUCCEEDED\",\"source\":\"AGENT\""));
}

// Written by hand what torch's client writes.
TEST(LauncherReport, NamesTheTimerThatAWorkerOverran) {
  const ScratchFolder folder;
  const std::string script =
      "[ $RANK = 0 ] || exec sleep 60\n"
      "printf '{\"version\": 1, \"pid\": %d, \"scope_id\": \"step\", \"expiration_time\": 1.5, \"signal\": 9}\\n' $$"
      " > $TORCHELASTIC_TIMER_FILE\n"
      "exec sleep 60";
  const Finished run =
      ferrun(folder, {"--nproc-per-node=2", "sh", "-c", script}, {{"TORCHELASTIC_ENABLE_FILE_TIMER", "1"}});
  EXPECT_EQ(run.code(), 137);
  EXPECT_THAT(run.err,
              ::testing::ContainsRegex("rank 0 .pid [0-9]+. overran its timer 'step': ending it with SIGKILL"));
  EXPECT_THAT(run.err, HasSubstr("  timer:  it overran its timer 'step' and was sent SIGKILL"));
  EXPECT_THAT(folder.files(), ::testing::Each(::testing::Not(HasSubstr("watchdog_timer"))));
}

TEST(LauncherReport, ShowsTheErrorFileOfEitherForm) {
  const ScratchFolder folder;
  const auto report_of = [&folder](const std::string& json) {
    return ferrun(folder, {"sh", "-c", "printf '%s' '" + json + "' > $TORCHELASTIC_ERROR_FILE; exit 1"}).err;
  };
  EXPECT_THAT(report_of(R"({"message": "simple words", "timestamp": 1})"), HasSubstr("error:  simple words"));
  EXPECT_THAT(
      report_of(
          R"({"message": {"message": "ValueError: x", "extraInfo": {"py_callstack": "Traceback", "timestamp": "1"}}})"),
      HasSubstr("error:  ValueError: x\n  traceback:\n    Traceback\n"));
  EXPECT_THAT(report_of(R"({"mess)"), HasSubstr("its error file cannot be read"));
}

TEST(LauncherReport, SaysWhatStandsInTheErrorFilesPlace) {
  const ScratchFolder folder;
  const auto report_of = [&folder](const std::string& script) {
    return ferrun(folder, {"sh", "-c", script + "; exit 1"}).err;
  };
  EXPECT_THAT(report_of("mkfifo $TORCHELASTIC_ERROR_FILE"),
              ::testing::ContainsRegex("its error file cannot be read: .*_error.json: it is a FIFO"));
  EXPECT_THAT(report_of("mkdir $TORCHELASTIC_ERROR_FILE"),
              ::testing::ContainsRegex("its error file cannot be read: .*_error.json: it is a folder"));
  EXPECT_THAT(report_of("truncate -s 5M $TORCHELASTIC_ERROR_FILE"),
              ::testing::ContainsRegex("its error file cannot be read: .*_error.json: it has more than 4 MiB"));
}

TEST(LauncherReport, SurvivesBytesThatAreNoText) {
  const ScratchFolder folder;
  const Finished run = ferrun(folder, {"-r2", "sh", "-c", "printf 'bad \\377\\033[31m byte\\n' >&2; exit 1"});
  EXPECT_EQ(run.code(), 1);
  EXPECT_THAT(run.err, HasSubstr("    bad \xEF\xBF\xBD byte\n"));
}

TEST(LauncherReport, NamesTheFlagWhenTheStderrWasInherited) {
  const ScratchFolder folder;
  EXPECT_THAT(ferrun(folder, {"false"}).err, HasSubstr("--tee=2 or --redirects=2"));
}

TEST(LauncherReport, BlamesTheCrashNotTheWorkerThatLostItsPeer) {
  const ScratchFolder folder;
  const Finished run =
      ferrun(folder, {"--nproc-per-node=2", "sh", "-c",
                      "ulimit -c 0; if [ $RANK = 0 ]; then while [ ! -e up ]; do sleep 0.01; done; "
                      "echo '{\"message\": \"Connection closed by peer\"}' > $TORCHELASTIC_ERROR_FILE; exit 1; fi; "
                      "trap 'kill -ABRT $$' TERM; sleep 60 & touch up; wait"});
  // Rank 1 is slow to die of a crash that cost rank 0 its connection; SIGTERM finds it on the way.
  EXPECT_EQ(run.code(), 128 + SIGABRT);
  EXPECT_THAT(run.err, HasSubstr("Root cause: rank 1"));
  EXPECT_THAT(run.err, ::testing::ContainsRegex("  rank 0 .* before it, but only lost its connection to another rank"));
}

TEST(LauncherReport, IsHandedToTheParentsErrorFile) {
  const ScratchFolder folder;
  const std::string mine = (folder.path() / "parent.json").string();
  ferrun(folder,
         {"sh", "-c", R"(echo '{"message": {"message": "m", "extraInfo": {}}}' > $TORCHELASTIC_ERROR_FILE; exit 5)"},
         {{"TORCHELASTIC_ERROR_FILE", mine}});
  const auto json = nlohmann::json::parse(folder.read("parent.json"));
  EXPECT_EQ(json["message"]["message"], "m");
  EXPECT_EQ(json["message"]["errorCode"], 5);
  ferrun(folder, {"sh", "-c", "exit 6"}, {{"TORCHELASTIC_ERROR_FILE", mine}});
  EXPECT_EQ(nlohmann::json::parse(folder.read("parent.json"))["message"]["errorCode"], 6);
}

TEST(LauncherReport, OwnLinesAreQuietUnlessAskedFor) {
  const ScratchFolder folder;
  EXPECT_EQ(ferrun(folder, {"--nproc-per-node=2", "true"}).err, "");
  EXPECT_THAT(ferrun(folder, {"--nproc-per-node=2", "--verbose", "true"}).err, HasSubstr("OMP_NUM_THREADS is not set"));
  EXPECT_THAT(ferrun(folder, {"true"}, {{"LOGLEVEL", "INFO"}}).err,
              HasSubstr("starting 1 worker, rank 0 of 1, round 1"));
  const Finished errors_only = ferrun(folder, {"--max-restarts=1", "false"}, {{"LOGLEVEL", "ERROR"}});
  EXPECT_THAT(errors_only.err, Not(HasSubstr("starting all workers again")));
  EXPECT_THAT(errors_only.err, HasSubstr("Root cause"));
}

TEST(LauncherStatus, ShowsAJobOfOneNode) {
  const ScratchFolder folder;
  const std::string runtime = folder.path().string();
  RunningFerrun run(
      folder,
      {"--nproc-per-node=2", "--rdzv-id=alone", "sh", "-c", "echo ready; while [ ! -e go ]; do sleep 0.02; done"},
      {{"XDG_RUNTIME_DIR", runtime}});
  run.wait_for("ready", 2);
  std::string shown;
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (shown.find("running") == std::string::npos && std::chrono::steady_clock::now() < limit) {
    shown = ferrun(folder, {"status", "--job=alone"}, {{"XDG_RUNTIME_DIR", runtime}}).out;
  }
  EXPECT_THAT(shown, HasSubstr("1 node of 1, 2 workers"));
  std::ofstream(folder.path() / "go");
  EXPECT_EQ(run.finish().code(), 0);
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "ferrun")) << "an empty runtime folder stays";
}

TEST(LauncherOutput, APromptIsShownBeforeItIsAnswered) {
  const ScratchFolder folder;
  RunningFerrun run(
      folder, {"--tee=1", "sh", "-c", "printf 'name? '; while [ ! -e answer ]; do sleep 0.01; done; echo thanks"});
  run.wait_for("[default0]:name? ");
  folder.write("answer", "");
  const Finished end = run.finish();
  EXPECT_EQ(end.code(), 0);
  EXPECT_EQ(end.out, "[default0]:name? thanks\n");
}

TEST(LauncherOutput, TheLinkLatestLeadsToTheJobThatWasStartedLast) {
  const ScratchFolder folder;
  const auto latest = [&folder] { return std::filesystem::read_symlink(folder.path() / "logs/latest").string(); };
  ferrun(folder, {"--log-dir=logs", "--rdzv-id=first", "-r1", "echo", "one"});
  EXPECT_THAT(latest(), ::testing::StartsWith("first_"));
  ferrun(folder, {"--log-dir=logs", "--rdzv-id=second", "-r1", "echo", "two"});
  EXPECT_THAT(latest(), ::testing::StartsWith("second_"));
  EXPECT_EQ(folder.read("logs/latest/attempt_0/0/stdout.log"), "two\n");
}

TEST(LauncherOutput, LeavesNoLinkToAJobThatHasWrittenNothingAndNoFileInItsPlace) {
  const ScratchFolder folder;
  ferrun(folder, {"--log-dir=logs", "true"});
  EXPECT_THAT(folder.files(), IsEmpty());
  std::filesystem::create_directory(folder.path() / "logs");
  folder.write("logs/latest", "mine");
  EXPECT_EQ(ferrun(folder, {"--log-dir=logs", "-r1", "echo", "one"}).code(), 0);
  EXPECT_EQ(folder.read("logs/latest"), "mine");
}

TEST(LauncherOutput, ReportJsonTellsProgramsOfTheRootCause) {
  const ScratchFolder folder;
  const Finished run =
      ferrun(folder, {"--nproc-per-node=2", "--log-dir=logs", "--rdzv-id=job", "--max-restarts=1", "-r2", "sh", "-c",
                      "[ $RANK = 0 ] && exec sleep 60; echo bad label >&2; "
                      "echo '{\"message\": \"its own words\", \"timestamp\": 12}' > "
                      "$TORCHELASTIC_ERROR_FILE; kill -SEGV $$"});
  EXPECT_EQ(run.code(), 139);
  const auto report = nlohmann::json::parse(folder.read("logs/latest/report.json"));
  EXPECT_EQ(report["job"], "job");
  EXPECT_EQ(report["state"], "failed");
  EXPECT_EQ(report["exit_status"], 139);
  EXPECT_EQ(report["attempt"], 1);
  const auto& cause = report["root_cause"];
  EXPECT_THAT(cause["text"].get<std::string>(),
              ::testing::MatchesRegex("rank 1 \\(local_rank 1, pid [0-9]+\\) killed by .*"));
  EXPECT_EQ(cause["rank"], 1);
  EXPECT_EQ(cause["signal"], "SIGSEGV");
  EXPECT_EQ(cause["kind"], "signal");
  EXPECT_EQ(cause["message"], "its own words");
  EXPECT_EQ(cause["stderr"], nlohmann::json::array({"bad label"}));
  EXPECT_THAT(cause["stderr_file"].get<std::string>(), ::testing::EndsWith("attempt_1/1/stderr.log"));
  EXPECT_THAT(cause["error_file"].get<std::string>(), ::testing::EndsWith("attempt_1/1/error.json"));
  EXPECT_EQ(report["failures"].size(), 1u);
  EXPECT_FALSE(report["report"].empty());
}

TEST(LauncherOutput, ReportJsonTellsOfASignalAndNothingOfASuccess) {
  const ScratchFolder folder;
  RunningFerrun run(folder, {"--log-dir=logs", "sh", "-c", "echo up; exec sleep 60"});
  run.wait_for("up");
  run.send(SIGTERM);
  EXPECT_EQ(run.finish().code(), 143);
  const auto report = nlohmann::json::parse(folder.read("logs/latest/report.json"));
  EXPECT_EQ(report["state"], "stopped");
  EXPECT_EQ(report["exit_status"], 143);
  EXPECT_FALSE(report.contains("root_cause"));
  ferrun(folder, {"--log-dir=logs", "-r1", "echo", "well"});
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "logs/latest/report.json"));
}

TEST(LauncherOutput, QuietLeavesTheReportAlone) {
  const ScratchFolder folder;
  const std::vector<std::string> job = {"--max-restarts=1", "sh", "-c", "exit $((1 - TORCHELASTIC_RESTART_COUNT))"};
  EXPECT_THAT(ferrun(folder, job).err, HasSubstr("starting all workers again"));
  std::vector<std::string> quiet = job;
  quiet.insert(quiet.begin(), "--quiet");
  EXPECT_EQ(ferrun(folder, quiet).err, "");
  EXPECT_THAT(ferrun(folder, {"--quiet", "false"}).err, HasSubstr("Root cause: rank 0"));
}

TEST(LauncherOutput, LogFilesAreExchangedAtTheirSize) {
  const ScratchFolder folder;
  const Finished run =
      ferrun(folder, {"--log-dir=logs", "-r1", "--log-max-size=4k", "--log-keep=1", "seq", "1", "9999"});
  EXPECT_EQ(run.code(), 0);
  const std::string newest = folder.read("logs/latest/attempt_0/0/stdout.log");
  const std::string older = folder.read("logs/latest/attempt_0/0/stdout.log.1");
  EXPECT_TRUE((older + newest).ends_with("\n9998\n9999\n"));
  EXPECT_LE(older.size(), 4096u);
  EXPECT_GT(older.size(), 4000u);
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "logs/latest/attempt_0/0/stdout.log.2"));
}

TEST(LauncherOutput, OmpGivesEachWorkerItsShareOfTheCores) {
  const ScratchFolder folder;
  const std::vector<std::string> show = {"sh", "-c", "echo $OMP_NUM_THREADS"};
  const auto threads = [&](std::vector<std::string> options, const RunningFerrun::Variables& variables = {}) {
    options.insert(options.end(), show.begin(), show.end());
    return split_lines(ferrun(folder, options, variables).out);
  };
  EXPECT_THAT(threads({"--nproc-per-node=2"}), ElementsAre("1", "1"));
  EXPECT_THAT(threads({"--nproc-per-node=2", "--omp=3"}, {{"OMP_NUM_THREADS", "8"}}), ElementsAre("3", "3"));
  const std::string cores = threads({"--omp=auto"}).front();
  EXPECT_EQ(cores, split_lines(ferrun(folder, {"nproc"}).out).front());
}

}  // namespace
}  // namespace ferrun
