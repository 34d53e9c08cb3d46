// What keeps a start or an end waiting must not keep the loop waiting.
#include "launcher/io/process/child.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/process/v2/error.hpp>  // the handle's header of 1.81 compiles only after it
#include <boost/process/v2/process_handle.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>

#include "launcher/io/process/child_search.h"
#include "tests/process/launcher_harness.h"
#include "tests/process/restricted.h"

namespace ferrun::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Holds a process as a debugger does: what ends is a zombie that its parent cannot reap until the debugger goes.
class Tracer {
 public:
  Tracer() {
    if (pipe2(orders_, O_CLOEXEC) != 0 || pipe2(answers_, O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
    pid_ = fork();
    if (pid_ == 0) trace();
    close(orders_[0]);
    close(answers_[1]);
  }
  ~Tracer() {
    let_go();
    close(answers_[0]);
    waitpid(pid_, nullptr, 0);  // unless it was reaped already
  }
  Tracer(const Tracer&) = delete;
  Tracer& operator=(const Tracer&) = delete;

  bool hold(pid_t process) const {  // false where tracing is not permitted
    char answer = 'n';
    return write(orders_[1], &process, sizeof process) == sizeof process && read(answers_[0], &answer, 1) == 1 &&
           answer == 'y';
  }
  void let_go() {
    if (orders_[1] >= 0) close(orders_[1]);
    orders_[1] = -1;
  }

 private:
  [[noreturn]] void trace() const {
    close(orders_[1]);
    pid_t process = 0;
    if (read(orders_[0], &process, sizeof process) != sizeof process) _exit(0);
    const char answer = ptrace(PTRACE_SEIZE, process, nullptr, nullptr) == 0 ? 'y' : 'n';
    if (write(answers_[1], &answer, 1) != 1) _exit(1);
    while (read(orders_[0], &process, sizeof process) > 0) {
    }
    _exit(0);
  }

  int orders_[2] = {-1, -1};
  int answers_[2] = {-1, -1};
  pid_t pid_ = 0;
};

TEST(Child, AZombieThatADebuggerHoldsIsReportedWhenItIsLetGo) {
  Tracer tracer;
  LauncherHarness harness;
  const pid_t held = harness.start(harness.request({"forever"}));
  if (!tracer.hold(held)) GTEST_SKIP() << "this machine does not permit tracing";
  kill(held, SIGKILL);
  ASSERT_TRUE(harness.run_until([&] { return is_whole_zombie(held); }));
  EXPECT_EQ(harness.run({"exit", "7"}), ExitStatus::exited(7)) << "the loop goes on";
  EXPECT_EQ(harness.exits.size(), 1U);
  tracer.let_go();
  ASSERT_TRUE(harness.run_until_exits(2));
  EXPECT_EQ(harness.exits[1].pid, held);
  EXPECT_EQ(harness.exits[1].status, ExitStatus::signaled(SIGKILL));
}

TEST(Child, TheEndOfAllDoesNotWaitForEverForWhatCannotBeReaped) {
  Tracer tracer;
  in_child([&] {
    LauncherHarness harness;
    const pid_t held = harness.start(harness.request({"forever"}));
    if (!tracer.hold(held)) _exit(kCannotRestrict);
    harness.launcher.kill_descendants();
    EXPECT_TRUE(has_children());
    EXPECT_EQ(process_state(held), 'Z');
    std::fflush(nullptr);
    _exit(HasFailure() ? 1 : 0);  // the harness would wait once more
  });
}

// Boost.Process's handle, whose wait the launcher cannot use, knows what an end looks like as well.
TEST(Child, SaysOfAnEndWhatBoostProcessSays) {
  using Handle = boost::process::v2::basic_process_handle<boost::asio::io_context::executor_type>;
  const std::vector<std::function<void()>> ends = {[] { _exit(0); }, [] { _exit(9); }, [] { _exit(255); },
                                                   [] { raise(SIGKILL); }, [] { raise(SIGTERM); }};
  boost::asio::io_context io;
  for (const std::function<void()>& end : ends) {
    std::optional<int> ours, theirs;
    const pid_t watched = fork();
    if (watched == 0) end();
    const pid_t handled = fork();
    if (handled == 0) end();
    const Child child(io, watched, [&](int wait_status) { ours = wait_status; });
    Handle handle(io.get_executor(), handled);
    handle.async_wait([&](const boost::system::error_code&, int wait_status) { theirs = wait_status; });
    io.restart();
    io.run_for(kHangLimit);
    ASSERT_TRUE(ours && theirs);
    EXPECT_EQ(*ours, *theirs);
  }
}

// A program whose exec waits until `release`, as one on a hung file system does: opening it has to break a lease.
class SlowExec : public ::testing::Test {
 protected:
  void SetUp() override { before_ = signal(SIGIO, SIG_IGN); }  // the kernel's request to give the lease up
  void TearDown() override {
    release();
    signal(SIGIO, before_);
  }
  // False where the file system has no leases.
  bool hold(const std::string& program) {
    lease_ = open(program.c_str(), O_RDONLY | O_CLOEXEC);
    return fcntl(lease_, F_SETLEASE, F_WRLCK) == 0;
  }
  void release() {
    if (lease_ >= 0) close(lease_);
    lease_ = -1;
  }
  SpawnRequest request_for(const std::string& program, const std::vector<std::string>& actions) {
    SpawnRequest request = harness.request(actions);
    request.argv[0] = program;
    return request;
  }
  std::string slow_probe() {
    const std::string program = harness.directory.file("slow");
    std::filesystem::copy_file(FERRUN_TEST_BIN_DIR "/probe_worker", program);
    return program;
  }

  LauncherHarness harness;

 private:
  int lease_ = -1;
  void (*before_)(int) = nullptr;
};

TEST_F(SlowExec, HoldsUpNothingAndIsAnsweredWhenItIsDone) {
  const std::string program = slow_probe();
  if (!hold(program)) GTEST_SKIP() << "no leases on this file system";
  bool started = false;
  harness.launcher.start(request_for(program, {"exit", "3"}), {}, [&](const Result<pid_t>& pid) {
    EXPECT_TRUE(pid);
    started = true;
  });
  EXPECT_FALSE(started);
  EXPECT_EQ(harness.run({"exit", "7"}), ExitStatus::exited(7)) << "the loop goes on";
  release();
  ASSERT_TRUE(harness.run_until_exits(2));
  EXPECT_TRUE(started);
  EXPECT_EQ(harness.exits[1].status, ExitStatus::exited(3));
}

TEST_F(SlowExec, CountsAsStartedAfterAWhileSoThatItCanBeSignalled) {
  const std::string program = slow_probe();
  if (!hold(program)) GTEST_SKIP() << "no leases on this file system";
  const Result<pid_t> started = harness.try_start(request_for(program, {"exit", "3"}), {});
  ASSERT_TRUE(started);
  EXPECT_TRUE(harness.launcher.signal_group(*started, SIGTERM));
  ASSERT_TRUE(harness.run_until_exits(1));
  EXPECT_EQ(harness.exits[0].status, ExitStatus::signaled(SIGTERM));
}

TEST_F(SlowExec, SaysWhyItFailedAfterItCountedAsStarted) {
  const std::string program = harness.directory.file("slow");
  std::ofstream(program) << "echo hello\n";
  std::filesystem::permissions(program, std::filesystem::perms::owner_all);
  if (!hold(program)) GTEST_SKIP() << "no leases on this file system";
  ASSERT_TRUE(harness.try_start(request_for(program, {}), {}));
  EXPECT_THAT(harness.said, IsEmpty());
  release();
  ASSERT_TRUE(harness.run_until_exits(1));
  EXPECT_EQ(harness.exits[0].status, ExitStatus::exited(127));
  EXPECT_THAT(harness.said, ElementsAre(HasSubstr(program + " is neither a program nor a script")));
}

TEST_F(SlowExec, IsSweptLikeAWorker) {
  const std::string program = slow_probe();
  if (!hold(program)) GTEST_SKIP() << "no leases on this file system";
  bool started = false;
  harness.launcher.start(request_for(program, {"exit", "3"}), {}, [&](const Result<pid_t>&) { started = true; });
  EXPECT_THAT(harness.sweep(), IsEmpty());
  EXPECT_FALSE(has_children());
  ASSERT_TRUE(harness.run_until_exits(1));
  EXPECT_TRUE(started);
  EXPECT_EQ(harness.exits[0].status, ExitStatus::signaled(SIGKILL));
}

}  // namespace
}  // namespace ferrun::testing
