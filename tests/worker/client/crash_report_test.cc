// Programs that crash, as they really end, and the error files that they leave.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/temporary_directory.h"

extern char** environ;

namespace ferrun::client {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

class CrashReport : public ::testing::Test {
 protected:
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  void SetUp() override { GTEST_SKIP() << "the sanitizer ends crashing programs in its own way"; }
#endif
  // The wait status of the probe.
  int crash(const std::string& how) {
    std::string path = "TORCHELASTIC_ERROR_FILE=" + file_;
    std::string word = how;
    std::string program = FERRUN_CRASH_PROBE;
    char* arguments[] = {program.data(), word.data(), nullptr};
    char* environment[] = {path.data(), nullptr};
    pid_t pid = 0;
    EXPECT_EQ(posix_spawn(&pid, program.c_str(), nullptr, nullptr, arguments, environment), 0);
    int status = 0;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    return status;
  }
  nlohmann::json written() const {
    std::ostringstream text;
    text << std::ifstream(file_).rdbuf();
    const auto root = nlohmann::json::parse(text.str(), nullptr, /*allow_exceptions=*/false);
    EXPECT_FALSE(root.is_discarded()) << text.str();
    return root;
  }
  std::string message() const { return written()["message"]["message"]; }
  std::string callstack() const { return written()["message"]["extraInfo"]["py_callstack"]; }
  bool left_a_draft() const {
    size_t files = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder_.path())) ++files;
    return files > 1;
  }

  testing::TemporaryDirectory folder_;
  std::string file_ = folder_.path() / "error.json";
};

TEST_F(CrashReport, OfASignalNamesTheFunctionThatItHit) {
  const int status = crash("segv");
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV) << "the end stays what it was";
  EXPECT_THAT(message(), StartsWith("SIGSEGV (segmentation fault) at address 0x0, thread "));
  EXPECT_THAT(callstack(), StartsWith("#0 _ZN5probe12read_nothingEPVi+0x"));
  EXPECT_THAT(callstack(), AllOf(HasSubstr("\n#1 main+0x"), HasSubstr("crash_probe+0x")));
  EXPECT_EQ(written()["ferrun"]["kind"], "own");
  EXPECT_GT(std::stol(written()["message"]["extraInfo"]["timestamp"].get<std::string>()), 1'700'000'000);
  EXPECT_FALSE(left_a_draft());
}

TEST_F(CrashReport, OfAnExceptionHasItsTypeAndItsWords) {
  const int status = crash("throw");
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
  EXPECT_EQ(message(), "uncaught exception of type std::runtime_error: a \"quoted\"\nbad label");
  EXPECT_THAT(callstack(), HasSubstr("_ZN5probe15throw_somethingE"));
  EXPECT_FALSE(written().contains("ferrun")) << "ferrun goes by the words: it may be another rank's failure";
}

TEST_F(CrashReport, OfOtherThingsThatAreThrown) {
  crash("text");
  EXPECT_EQ(message(), "uncaught exception of type char const*: only text");
  std::filesystem::remove(file_);
  crash("number");
  EXPECT_EQ(message(), "uncaught exception of type int");
}

TEST_F(CrashReport, OfAnAbortAndOfASignalThatWasSent) {
  int status = crash("abort");
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
  EXPECT_THAT(message(), MatchesRegex("SIGABRT \\(aborted\\), thread [0-9]+"));
  std::filesystem::remove(file_);
  status = crash("raise");
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGFPE);
  EXPECT_THAT(message(), MatchesRegex("SIGFPE \\(arithmetic exception\\), thread [0-9]+"));
}

TEST_F(CrashReport, OfAStackThatOverflows) {
  const int status = crash("overflow");
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
  EXPECT_THAT(callstack(), HasSubstr("overflow_the_stack"));
}

TEST_F(CrashReport, OfAThread) {
  const int status = crash("thread");
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
  EXPECT_THAT(callstack(), StartsWith("#0 _ZN5probe12read_nothingEPVi+0x"));
}

TEST_F(CrashReport, OfManyThreadsAtOnceIsWholeAndOfOne) {
  for (int times = 0; times < 20; ++times) {
    const int status = crash("many");
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    EXPECT_THAT(callstack(), StartsWith("#0 _ZN5probe12read_nothingEPVi+0x"));
    std::filesystem::remove(file_);
  }
}

TEST_F(CrashReport, LeavesWhatTheProgramHasSaidItself) {
  crash("told");
  EXPECT_EQ(written()["message"], "its own words");
}

TEST_F(CrashReport, CallsAHandlerThatWasThereBefore) {
  const int status = crash("earlier");
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 77);
  EXPECT_THAT(message(), StartsWith("SIGSEGV"));
}

TEST_F(CrashReport, ChangesNothingWithoutALauncher) {
  file_ = "";
  const int status = crash("segv");
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 9);
}

}  // namespace
}  // namespace ferrun::client
