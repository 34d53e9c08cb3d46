// What becomes of processes that workers leave behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "launcher/io/process/child_search.h"
#include "launcher/io/process/descendants.h"
#include "tests/process/launcher_harness.h"
#include "tests/process/restricted.h"

namespace ferrun::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr const char* kTrackerCode = "from multiprocessing.resource_tracker import main;main(7)";

TEST(ProcessList, NamesTheFirstFewAndCountsTheOthers) {
  EXPECT_EQ(process_list({{4711, "python3"}}), "python3 (pid 4711)");
  EXPECT_EQ(process_list({{4711, "python3"}, {4712, ""}}), "python3 (pid 4711), pid 4712");
  const std::vector<KilledProcess> many(10, KilledProcess{7, "a"});
  EXPECT_THAT(process_list(many), HasSubstr("a (pid 7), a (pid 7) and 2 more"));
}

class SweepTest : public ::testing::Test {
 protected:
  // A worker that runs this shell script in the test's folder and has ended.
  void leave_behind(const std::string& script) {
    SpawnRequest request = harness.request({});
    request.argv = {"/bin/sh", "-c", "cd " + harness.directory.path().string() + "; " + script};
    harness.start(request);
    ASSERT_TRUE(harness.run_until_exits(1));
  }
  // What is left is this program now, not the shell that started it.
  bool left_is(const std::vector<std::string>& names) {
    return eventually([&] {
      std::vector<std::string> found;
      for (const pid_t pid : own_children()) found.push_back(name_of(pid));
      std::ranges::sort(found);
      return found == names;
    });
  }
  LauncherHarness harness;
};

TEST_F(SweepTest, IsDoneAtOnceWhenNothingIsLeft) {
  leave_behind("exit 0");
  bool done = false;
  harness.launcher.sweep(seconds(60), [&](const std::vector<KilledProcess>& killed) {
    EXPECT_THAT(killed, IsEmpty());
    done = true;
  });
  EXPECT_TRUE(done);
}

TEST_F(SweepTest, WaitsForWhatEndsByItselfAndNoLonger) {
  const std::string fifo = harness.directory.file("fifo");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  leave_behind("cat < fifo & exit 0");
  bool done = false;
  harness.launcher.sweep(kHangLimit * 10, [&](const std::vector<KilledProcess>& killed) {
    EXPECT_THAT(killed, IsEmpty());
    done = true;
  });
  EXPECT_FALSE(done);
  std::ofstream(fifo).flush();  // opened by both sides, and ended
  EXPECT_TRUE(harness.run_until([&] { return done; }));
  EXPECT_FALSE(has_children());
}

TEST_F(SweepTest, TellsWhoHadToBeKilled) {
  leave_behind("sleep 1000 & exit 0");
  ASSERT_TRUE(left_is({"sleep"}));
  const pid_t left = own_children().at(0);
  const std::vector<KilledProcess> killed = harness.sweep(milliseconds(20));
  ASSERT_THAT(killed, SizeIs(1));
  EXPECT_EQ(killed[0].pid, left);
  EXPECT_EQ(killed[0].name, "sleep");
  EXPECT_FALSE(has_children());
}

TEST_F(SweepTest, WithoutAGraceKillsAtOnceEvenWhatIsStopped) {
  leave_behind("sleep 1000 & kill -STOP $!; exit 0");
  EXPECT_THAT(harness.sweep(), SizeIs(1));
  EXPECT_FALSE(has_children());
}

// As a DataLoader's worker does, which inherits the tracker's pipe.
TEST_F(SweepTest, KillsWhoKeepsAHelperFromNoticingAndLeavesTheHelperItsTime) {
  std::ofstream(harness.directory.file("tracker")) << "cat < fifo; touch cleaned\n";
  ASSERT_EQ(mkfifo(harness.directory.file("fifo").c_str(), 0600), 0);
  leave_behind("sh tracker '" + std::string(kTrackerCode) + "' & exec 3> fifo; sleep 1000 & exit 0");
  ASSERT_TRUE(left_is({"sh", "sleep"}));
  const std::vector<KilledProcess> killed = harness.sweep(seconds(6));
  ASSERT_THAT(killed, SizeIs(1));
  EXPECT_EQ(killed[0].name, "sleep");
  EXPECT_TRUE(std::filesystem::exists(harness.directory.file("cleaned")));
}

TEST_F(SweepTest, KillsAHelperThatDoesNotEnd) {
  std::ofstream(harness.directory.file("tracker")) << "while :; do sleep 1000; done\n";
  leave_behind("sh tracker '" + std::string(kTrackerCode) + "' & exit 0");
  const std::vector<KilledProcess> killed = harness.sweep(milliseconds(100));
  EXPECT_THAT(killed, SizeIs(2)) << "the helper and what it started";
  EXPECT_FALSE(has_children());
}

TEST_F(SweepTest, AnotherSweepShortensTheGrace) {
  leave_behind("sleep 1000 & exit 0");
  int done = 0;
  harness.launcher.sweep(kHangLimit * 10, [&](const std::vector<KilledProcess>&) { ++done; });
  EXPECT_THAT(harness.sweep(Duration::zero()), SizeIs(1));
  EXPECT_EQ(done, 1);
}

// A zombie that nobody reaps stands for a process that SIGKILL does not end.
TEST(Sweep, WaitsWithoutHoldingTheLoopUpAndSaysForWhom) {
  const pid_t unkillable = fork();
  if (unkillable == 0) _exit(0);
  boost::asio::io_context io;
  std::vector<pid_t> left = {unkillable};
  std::vector<std::string> said;
  const auto sweep =
      std::make_shared<Sweep>(io, Sweep::Scene{.left = [&] { return left; },
                                               .is_worker = [](pid_t) { return false; },
                                               .more_to_come = [] { return false; },
                                               .say = [&](const std::string& line) { said.push_back(line); },
                                               .say_every = milliseconds(1)});
  bool done = false;
  sweep->begin(Duration::zero(), [&](const std::vector<KilledProcess>&) { done = true; });
  int turns = 0;
  for (; said.size() < 2 && turns < 600; ++turns) io.run_one_for(milliseconds(100));
  ASSERT_THAT(said, SizeIs(2));
  EXPECT_THAT(said[0], HasSubstr("(pid " + std::to_string(unkillable) + ")"));
  EXPECT_FALSE(done);
  waitpid(unkillable, nullptr, 0);
  left.clear();
  sweep->look();
  EXPECT_TRUE(done);
}

TEST(OwnChildren, AreFoundWithoutAFreeDescriptor) {
  const pid_t child = fork();
  if (child == 0) {
    for (;;) pause();
  }
  const int first_free = dup(STDIN_FILENO);
  close(first_free);
  rlimit before;
  getrlimit(RLIMIT_NOFILE, &before);
  const rlimit tight = {static_cast<rlim_t>(first_free), before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &tight);
  const std::vector<pid_t> found = own_children();
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_THAT(found, Contains(child));
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
}

TEST(OwnChildren, AreFoundAndSweptWithoutProc) {
  in_child([] {
    hide_proc();
    EXPECT_FALSE(can_list_children());
    LauncherHarness harness;
    for (const std::string kind : {"plain", "setsid", "double", "setsid-double"}) {
      const std::string up = harness.directory.file(kind);
      harness.start(harness.request({"child", kind, "touch", up, "forever"}));
      EXPECT_TRUE(harness.run_until([&] { return std::filesystem::exists(up); }));
      harness.sweep();
      EXPECT_FALSE(has_children()) << kind;
    }
    harness.start(harness.request({"child", "setsid-double", "exit", "0"}));
    EXPECT_TRUE(harness.run_until_exits(5));
    EXPECT_TRUE(has_children());
    harness.launcher.kill_descendants();
    EXPECT_FALSE(has_children());
  });
}

class DeniedPidfd : public ::testing::TestWithParam<int> {};

TEST_P(DeniedPidfd, EndsAreReportedAndLeftOversSwept) {
  in_child([] {
    deny_system_calls({SYS_pidfd_open, SYS_pidfd_send_signal}, GetParam());
    LauncherHarness harness;
    for (int rank = 0; rank < 20; ++rank) harness.start(harness.request({"exit", std::to_string(rank)}, rank));
    EXPECT_TRUE(harness.run_until_exits(20));
    for (const Exit& exit : harness.exits) EXPECT_EQ(exit.status, ExitStatus::exited(exit.local_rank));
    const pid_t running = harness.start(harness.request({"child", "setsid-double", "forever"}, 20));
    harness.launcher.signal_group(running, SIGKILL);
    EXPECT_TRUE(harness.run_until_exits(21));
    EXPECT_EQ(harness.exits.back().status, ExitStatus::signaled(SIGKILL));
    harness.sweep();
    EXPECT_FALSE(has_children());

    const SpawnRequest rank = harness.fork_request({"exit", "4"}, 21);
    EXPECT_TRUE(harness.start_template(rank));
    harness.fork(rank);
    EXPECT_TRUE(harness.run_until_exits(22));
    EXPECT_EQ(harness.exits.back().status, ExitStatus::exited(4));
    for (const pid_t child : own_children()) kill(child, SIGKILL);
    EXPECT_TRUE(harness.run_until([&] { return !harness.lost_templates.empty(); }));
  });
}

INSTANTIATE_TEST_SUITE_P(Sandbox, DeniedPidfd, ::testing::Values(EPERM, ENOSYS));

}  // namespace
}  // namespace ferrun::testing
