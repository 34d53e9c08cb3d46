// Workers' output under the real ferrun: where it goes, and what happens when nobody takes it.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <sys/resource.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "tests/process/process_test_support.h"
#include "tests/process/terminal_job.h"

namespace ferrun::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

constexpr int kFloodLines =
    100'000;  // of each worker; with their width, more than every pipe and queue on the way holds
constexpr int kFloodWidth = 100;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::vector<std::string> without_first_line(const std::string& text) {
  std::vector<std::string> lines = lines_of(text);
  if (!lines.empty()) lines.erase(lines.begin());
  return lines;
}

class Logs : public ::testing::Test {
 protected:
  std::string log_dir() const { return directory.file("logs"); }

  // `ferrun OPTIONS --log-dir … probe_worker ACTIONS` with two workers.
  std::vector<std::string> ferrun(std::vector<std::string> options, const std::vector<std::string>& actions) const {
    std::vector<std::string> argv = {FERRUN_BIN_DIR "/ferrun", "--nproc-per-node=2", "--log-dir", log_dir()};
    argv.insert(argv.end(), options.begin(), options.end());
    argv.push_back(FERRUN_TEST_BIN_DIR "/probe_worker");
    argv.insert(argv.end(), actions.begin(), actions.end());
    return argv;
  }

  // The folder of the only job in the log directory.
  fs::path job() const {
    std::vector<fs::path> jobs;
    for (const auto& entry : fs::directory_iterator(log_dir())) {
      if (!entry.is_symlink()) jobs.push_back(entry.path());
    }
    EXPECT_EQ(jobs.size(), 1U);
    return jobs.empty() ? fs::path() : jobs[0];
  }
  std::string log(const std::string& name) const { return read_file((job() / name).string()); }
  std::set<std::string> files() const {
    std::set<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(job())) {
      if (entry.is_regular_file()) names.insert(fs::relative(entry.path(), job()).string());
    }
    return names;
  }

  static std::vector<std::string> flood(const char* action) {
    return {action, std::to_string(kFloodLines), std::to_string(kFloodWidth)};
  }

  // Numbered lines of one worker, all of them, in their order; each behind `prefix`.
  static void expect_whole_flood(const std::vector<std::string>& lines, const std::string& prefix) {
    int next = 0;
    for (const std::string& line : lines) {
      if (line.compare(0, prefix.size(), prefix) != 0) continue;
      ASSERT_EQ(std::stoi(line.substr(prefix.size())), next) << line;
      ++next;
    }
    EXPECT_EQ(next, kFloodLines) << "lines behind \"" << prefix << '"';
  }
  void expect_whole_files() const {
    for (const char* file : {"attempt_0/0/stdout.log", "attempt_0/1/stdout.log"}) {
      SCOPED_TRACE(file);
      expect_whole_flood(lines_of(log(file)), "");
    }
  }

  TemporaryDirectory directory;
};

TEST_F(Logs, RedirectsIntoTheTreeOfTorchrun) {
  Program run(ferrun({"--redirects=3", "--rdzv-id=my job"}, {"out", "said", "err", "complained"}));
  EXPECT_TRUE(run.wait().success()) << run.err();
  EXPECT_THAT(job().filename().string(), ::testing::StartsWith("my job_"));
  EXPECT_THAT(files(), UnorderedElementsAre("attempt_0/0/stdout.log", "attempt_0/0/stderr.log",
                                            "attempt_0/1/stdout.log", "attempt_0/1/stderr.log"));
  EXPECT_EQ(log("attempt_0/0/stdout.log"), "said\n");
  EXPECT_EQ(log("attempt_0/1/stderr.log"), "complained\n");
  EXPECT_EQ(run.out() + run.err(), "");
}

TEST_F(Logs, TeesToTheConsoleBehindThePrefixAndToTheFile) {
  Program run(ferrun({"--tee=3", "--role=trainer"}, {"out", "said", "err", "complained", "out-raw", "unfinished"}));
  EXPECT_TRUE(run.wait().success()) << run.err();
  EXPECT_THAT(lines_of(run.out()), UnorderedElementsAre("[trainer0]:said", "[trainer0]:unfinished", "[trainer1]:said",
                                                        "[trainer1]:unfinished"));
  EXPECT_THAT(lines_of(run.err()), UnorderedElementsAre("[trainer0]:complained", "[trainer1]:complained"));
  EXPECT_EQ(log("attempt_0/1/stdout.log"), "said\nunfinished");
  EXPECT_EQ(log("attempt_0/1/stderr.log"), "complained\n");
}

TEST_F(Logs, KeepsTheFilesOfEveryAttempt) {
  // Rank 0 fails after it has written: the other one may be stopped before it has.
  Program run(ferrun({"--redirects=1", "--max-restarts=1"},
                     {"env", "TORCHELASTIC_RESTART_COUNT", "only-rank", "0", "only-attempt", "0", "exit", "3"}));
  EXPECT_TRUE(run.wait().success()) << run.err();
  EXPECT_EQ(log("attempt_0/0/stdout.log"), "TORCHELASTIC_RESTART_COUNT=0\n");
  EXPECT_EQ(log("attempt_1/0/stdout.log"), "TORCHELASTIC_RESTART_COUNT=1\n");
}

TEST_F(Logs, ShowsAndKeepsEveryLineOfAFlood) {
  Program run(ferrun({"--tee=3"}, flood("flood-out")));
  EXPECT_TRUE(run.wait().success()) << run.err();
  const std::vector<std::string> lines = lines_of(run.out());
  EXPECT_EQ(lines.size(), 2U * kFloodLines);
  expect_whole_flood(lines, "[default0]:");
  expect_whole_flood(lines, "[default1]:");
  expect_whole_files();
  EXPECT_EQ(run.err(), "");
}

TEST_F(Logs, AReaderThatComesLateHasEveryLine) {
  const std::string flooded = directory.file("flooded");
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
  ProgramOptions options;
  options.in_child = [&] { dup2(ends[1], STDOUT_FILENO); };
  std::vector<std::string> actions = flood("flood-out");
  actions.insert(actions.end(), {"only-rank", "0", "touch", flooded});
  Program run(ferrun({"--tee=3"}, actions), options);
  close(ends[1]);
  EXPECT_TRUE(eventually([&] { return fs::exists(flooded); }));  // the workers do not wait for the reader
  std::string text;
  std::array<char, 64 << 10> buffer{};
  for (ssize_t got = 0; (got = read(ends[0], buffer.data(), buffer.size())) > 0;) {
    text.append(buffer.data(), static_cast<size_t>(got));
  }
  close(ends[0]);
  EXPECT_TRUE(run.wait().success()) << run.err();
  EXPECT_EQ(run.err(), "");
  expect_whole_flood(lines_of(text), "[default0]:");
  expect_whole_flood(lines_of(text), "[default1]:");
}

TEST_F(Logs, KeepsTheLastWordsOfAKilledWorker) {
  Program run(ferrun({"--tee=3"}, {"out-raw", "last words", "err", "reason", "only-rank", "1", "raise", "KILL",
                                   "only-rank", "0", "forever"}));
  EXPECT_EQ(run.wait().shell_code(), 137) << run.err();
  EXPECT_THAT(lines_of(run.out()), ::testing::Contains("[default1]:last words"));
  EXPECT_THAT(run.err(), HasSubstr("[default1]:reason\n"));
}

TEST_F(Logs, GoesOnWhenTheReaderOfStdoutHasGone) {
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
  ProgramOptions options;
  options.in_child = [&] { dup2(ends[1], STDOUT_FILENO); };
  Program run(ferrun({"--tee=3"}, flood("flood-out")), options);
  close(ends[1]);
  std::array<char, 64> first{};
  EXPECT_GT(read(ends[0], first.data(), first.size()), 0);  // as `| head -1`
  close(ends[0]);
  EXPECT_TRUE(run.wait().success());
  expect_whole_files();
  EXPECT_THAT(run.err(), HasSubstr("ferrun: stdout: "));
  EXPECT_THAT(run.err(), HasSubstr(" lost: Broken pipe\n"));
}

TEST_F(Logs, GoesOnWhenTheDiskOfStdoutIsFull) {
  if (access("/dev/full", W_OK) != 0) GTEST_SKIP() << "this machine has no /dev/full";
  ProgramOptions options;
  options.in_child = [] { dup2(open("/dev/full", O_WRONLY | O_CLOEXEC), STDOUT_FILENO); };
  Program run(ferrun({"--tee=3"}, flood("flood-out")), options);
  EXPECT_TRUE(run.wait().success());
  expect_whole_files();
  EXPECT_EQ(lines_of(run.err()).size(), 1U);
  EXPECT_THAT(run.err(), HasSubstr("ferrun: stdout: 200000 lines ("));
  EXPECT_THAT(run.err(), HasSubstr(" lost: No space left on device\n"));
}

TEST_F(Logs, GoesOnWithoutAnyStdout) {
  ProgramOptions options;
  options.in_child = [] { close(STDOUT_FILENO); };
  Program run(ferrun({"--tee=1"}, {"out", "said"}), options);
  EXPECT_TRUE(run.wait().success()) << run.err();
  EXPECT_EQ(log("attempt_0/0/stdout.log"), "said\n");
}

TEST_F(Logs, SaysWhatAFullDiskCostTheLogFiles) {
  ProgramOptions options;
  options.in_child = [] {
    const rlimit full{1 << 20, 1 << 20};  // no file of ferrun's or its workers' may grow above this
    setrlimit(RLIMIT_FSIZE, &full);
  };
  Program run(ferrun({"--tee=1"}, flood("flood-out")), options);
  EXPECT_TRUE(run.wait().success());
  expect_whole_flood(lines_of(run.out()), "[default0]:");
  expect_whole_flood(lines_of(run.out()), "[default1]:");
  const std::string file = (job() / "attempt_0/0/stdout.log").string();
  EXPECT_EQ(fs::file_size(file), 1U << 20);
  EXPECT_THAT(run.err(),
              HasSubstr("ferrun: " + file + ": File too large; lines are lost until it can be written again\n"));
  EXPECT_THAT(run.err(), ::testing::ContainsRegex(file + ": [0-9]+ lines \\([0-9.]+ MB\\) lost: File too large\n"));
}

TEST_F(Logs, GoesOnWhenTheLogDirectoryIsDeleted) {
  const std::string go = directory.file("go");
  Program run(ferrun({"--tee=1"}, {"out", "before", "wait-file", go, "out", "after"}));
  ASSERT_TRUE(run.wait_for_output("[default0]:before"));
  fs::remove_all(log_dir());
  std::ofstream(go) << "";
  EXPECT_TRUE(run.wait().success()) << run.err();
  EXPECT_THAT(run.out(), HasSubstr("[default1]:after\n"));
}

TEST_F(Logs, RefusesALogDirectoryThatIsAFile) {
  std::ofstream(log_dir()) << "a file";
  Program run(ferrun({"--tee=1"}, {"out", "never"}));
  EXPECT_FALSE(run.wait().success());
  EXPECT_EQ(run.out(), "");
  EXPECT_EQ(lines_of(run.err()).size(), 1U) << run.err();
  EXPECT_THAT(run.err(), HasSubstr(log_dir()));
  EXPECT_THAT(run.err(), HasSubstr("--log-dir"));
}

TEST_F(Logs, RefusesALogDirectoryThatCannotBeMade) {
  Program run(
      {FERRUN_BIN_DIR "/ferrun", "--log-dir=/proc/logs", "--tee=1", FERRUN_TEST_BIN_DIR "/probe_worker", "out", "x"});
  EXPECT_FALSE(run.wait().success());
  EXPECT_EQ(lines_of(run.err()).size(), 1U) << run.err();
  EXPECT_THAT(run.err(), HasSubstr("/proc/logs"));
  EXPECT_THAT(run.err(), HasSubstr("--log-dir"));
}

// A terminal that nobody reads: the user has pressed Ctrl-S and gone.
class StoppedTerminal {
 public:
  StoppedTerminal() {
    termios raw{};
    cfmakeraw(&raw);
    EXPECT_EQ(openpty(&master_, &slave_, nullptr, &raw, nullptr), 0);
    fcntl(master_, F_SETFD, FD_CLOEXEC);
    fcntl(slave_, F_SETFD, FD_CLOEXEC);
  }
  ~StoppedTerminal() {
    close(slave_);
    close(master_);
  }
  StoppedTerminal(const StoppedTerminal&) = delete;
  StoppedTerminal& operator=(const StoppedTerminal&) = delete;

  ProgramOptions for_program() const {
    ProgramOptions options;
    options.in_child = [slave = slave_] {
      dup2(slave, STDOUT_FILENO);
      dup2(slave, STDERR_FILENO);
    };
    return options;
  }

 private:
  int master_ = -1;
  int slave_ = -1;
};

TEST_F(Logs, AStoppedTerminalKeepsNobodyFromWorkingAndEnding) {
  const StoppedTerminal terminal;
  Program run(ferrun({"--tee=3"}, flood("flood-out")), terminal.for_program());
  EXPECT_TRUE(run.wait().success());  // it would wait for ever
  expect_whole_files();
}

TEST_F(Logs, CtrlSHoldsTheTerminalAlone) {
  const std::string go = directory.file("go"), flooded = directory.file("flooded"), end = directory.file("end");
  std::vector<std::string> actions = {"out", "ready", "wait-file", go};
  for (const std::string& action : flood("flood-out")) actions.push_back(action);
  actions.insert(actions.end(), {"touch", flooded, "wait-file", end});
  TerminalJob job(ferrun({"--tee=3"}, actions), {.stop_background_writers = true});
  ASSERT_TRUE(job.wait_for_screen("[default0]:ready"));
  job.press('\x13');
  std::ofstream(go) << "";
  EXPECT_TRUE(eventually([&] { return fs::exists(flooded); }));  // the workers are not held up
  job.press('\x11');
  EXPECT_TRUE(job.wait_for_screen(" lost here: the reader of the console is stopped or too slow"));
  std::ofstream(end) << "";
  EXPECT_TRUE(ExitStatus::from_wait_status(job.next_status()).success());
  expect_whole_flood(without_first_line(log("attempt_0/0/stdout.log")), "");
  expect_whole_flood(without_first_line(log("attempt_0/1/stdout.log")), "");
}

TEST_F(Logs, TheReportIsInTheLogWhenTheTerminalIsStopped) {
  const StoppedTerminal terminal;
  std::vector<std::string> actions = flood("flood-err");
  actions.insert(actions.end(), {"only-rank", "1", "exit", "7", "forever"});
  Program run(ferrun({"--tee=3"}, actions), terminal.for_program());
  EXPECT_EQ(run.wait().shell_code(), 7);
  const std::string report = log("ferrun.log");
  EXPECT_THAT(report, HasSubstr("Root cause: rank 1 "));
  EXPECT_THAT(report, HasSubstr("exited with code 7"));
  EXPECT_THAT(report, HasSubstr(" lost: the reader of the console is stopped or too slow\n"));
}

}  // namespace
}  // namespace ferrun::testing
