// What can be wrong before a worker runs: one line each, with the remedy, and no worker started.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/e2e/launcher_run.h"

namespace ferrun {
namespace {

using ::testing::HasSubstr;

// The one line that a failed start writes; the exit status is checked.
std::string complaint(const ScratchFolder& folder, const std::vector<std::string>& arguments, int code,
                      const RunningFerrun::Variables& variables = {}) {
  const Finished run = ferrun(folder, arguments, variables);
  EXPECT_EQ(run.code(), code) << run.err;
  EXPECT_EQ(run.out, "");
  const std::vector<std::string> lines = split_lines(run.err);
  EXPECT_EQ(lines.size(), 1u) << run.err;
  return lines.empty() ? "" : lines.front();
}

TEST(LauncherError, BadOptionsAreUsageErrors) {
  const ScratchFolder folder;
  EXPECT_EQ(complaint(folder, {"--bogus", "true"}, 2), "ferrun: unknown option --bogus (see ferrun --help)");
  EXPECT_EQ(complaint(folder, {"--nproc-per-node=none", "true"}, 2),
            "ferrun: --nproc-per-node=none: expected a number, auto, cpu or gpu (see ferrun --help)");
  EXPECT_EQ(complaint(folder, {}, 2), "ferrun: no program given (see ferrun --help)");
  EXPECT_THAT(complaint(folder, {"--nnodes=2:1", "true"}, 2), HasSubstr("expected 0 < MIN <= MAX"));
  EXPECT_THAT(complaint(folder, {"--master", "1", "true"}, 2), HasSubstr("--master-addr, --master-port"));
}

TEST(LauncherError, AnAnswerThatCannotBeWrittenIsAFailure) {
  const ScratchFolder folder;
  for (const std::string option : {"--help", "--version", "--print-flags", "--dry-run true"}) {
    // The shell that sends the answer to a full disk runs under an outer ferrun.
    const Finished run =
        ferrun(folder, {"sh", "-c", FERRUN_BIN_DIR "/ferrun " + option + " >/dev/full 2>complaint; echo status $?"});
    EXPECT_EQ(run.out, "status 75\n") << option;
    EXPECT_EQ(folder.read("complaint"), "ferrun: cannot write to standard output: No space left on device\n") << option;
  }
}

TEST(LauncherError, ProgramsThatCannotRunAreNamed) {
  const ScratchFolder folder;
  folder.write("plain", "#!/bin/sh\necho hi\n");
  folder.write("headless", "\x01\x02 no program\n", /*executable=*/true);
  folder.write("astray", "#!/no/such/interpreter\n", /*executable=*/true);
  std::filesystem::create_directory(folder.path() / "folder");
  EXPECT_EQ(complaint(folder, {"no-such-program"}, 2),
            "ferrun: no-such-program: no such program in PATH or beside ferrun");
  EXPECT_EQ(complaint(folder, {"./gone"}, 2), "ferrun: ./gone: no such program");
  EXPECT_EQ(complaint(folder, {"gone.py"}, 2), "ferrun: gone.py: no such file");
  std::filesystem::create_symlink("circle.py", folder.path() / "circle.py");
  EXPECT_THAT(complaint(folder, {"circle.py"}, 2), HasSubstr("circle.py cannot be reached: "));
  const std::string long_name = std::string(300, 'a') + ".py";
  EXPECT_EQ(complaint(folder, {long_name}, 2), "ferrun: " + long_name + ": no such file");
  EXPECT_EQ(complaint(folder, {"./folder"}, 2), "ferrun: ./folder is a directory without a __main__.py, not a program");
  EXPECT_THAT(complaint(folder, {"./plain"}, 2), HasSubstr("chmod +x ./plain"));
  EXPECT_THAT(complaint(folder, {"./headless"}, 2), HasSubstr("#!"));
  EXPECT_THAT(complaint(folder, {"./astray"}, 2), HasSubstr("/no/such/interpreter"));
  EXPECT_THAT(complaint(folder, {"--max-restarts=3", "--nproc-per-node=4", "./astray"}, 2),
              HasSubstr("/no/such/interpreter"));
}

// A listening socket on a port that the kernel chose.
class TakenPort {
 public:
  TakenPort() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), length), 0);
    EXPECT_EQ(listen(fd_, 1), 0);
    EXPECT_EQ(getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &length), 0);
    port_ = ntohs(address.sin_port);
  }
  ~TakenPort() { close(fd_); }
  TakenPort(const TakenPort&) = delete;
  TakenPort& operator=(const TakenPort&) = delete;
  std::string port() const { return std::to_string(port_); }

 private:
  int fd_;
  int port_ = 0;
};

TEST(LauncherError, APortInUseNamesAddressAndOwner) {
  const ScratchFolder folder;
  const TakenPort taken;
  const std::string line = complaint(folder, {"--master-port=" + taken.port(), "touch", "made"}, 75);
  EXPECT_THAT(line, HasSubstr(taken.port()));
  EXPECT_THAT(line, HasSubstr("127.0.0.1"));
  EXPECT_THAT(line, HasSubstr("pid " + std::to_string(getpid())));
  EXPECT_THAT(folder.files(), ::testing::Not(::testing::Contains("made"))) << "no worker was started";
}

TEST(LauncherError, APrivilegedPortNeedsAnother) {
  if (geteuid() == 0) GTEST_SKIP() << "root may listen on every port";
  const ScratchFolder folder;
  EXPECT_THAT(complaint(folder, {"--master-port=1", "true"}, 75),
              HasSubstr("127.0.0.1:1: Permission denied; choose a port above 1023"));
}

TEST(LauncherError, AnAddressOfAnotherMachineIsRefused) {
  const ScratchFolder folder;
  EXPECT_THAT(complaint(folder, {"--master-addr=192.0.2.1", "true"}, 75), HasSubstr("192.0.2.1"));
}

TEST(LauncherError, ALogFolderThatCannotBeWrittenIsNamed) {
  const ScratchFolder folder;
  folder.write("file", "");
  EXPECT_THAT(complaint(folder, {"--log-dir=file", "true"}, 2),
              HasSubstr("file: Not a directory; choose another one with --log-dir"));
  EXPECT_THAT(complaint(folder, {"--log-dir=file/below", "-r3", "true"}, 2), HasSubstr("--log-dir"));
  EXPECT_THAT(complaint(folder, {"--log-dir=/proc/ferrun", "true"}, 2), HasSubstr("/proc/ferrun"));
}

TEST(LauncherError, ATmpdirThatIsNoFolderIsReplacedWithALine) {
  const ScratchFolder folder;
  const Finished run =
      ferrun(folder, {"sh", "-c", "echo \"[$TORCHELASTIC_ERROR_FILE]\""}, {{"TMPDIR", "/proc/nowhere"}});
  EXPECT_EQ(run.code(), 0);
  EXPECT_THAT(run.out, ::testing::StartsWith("[/"));
  EXPECT_THAT(run.out, Not(HasSubstr("/proc/nowhere")));
  EXPECT_THAT(run.err, HasSubstr("TMPDIR=/proc/nowhere is no folder that can be written to"));
}

TEST(LauncherError, TheRootCauseIsLeftForTheContainersRuntime) {
  const ScratchFolder folder;
  folder.write("why", std::string(5000, 'x'));  // mounted, of an earlier container
  EXPECT_EQ(ferrun(folder, {"--termination-log=why", "sh", "-c", "echo out of luck >&2; exit 3"}).code(), 3);
  EXPECT_THAT(folder.read("why"), HasSubstr("Root cause: rank 0"));
  EXPECT_THAT(folder.read("why"), Not(HasSubstr("xxx")));

  folder.write("none", "");
  EXPECT_EQ(ferrun(folder, {"--termination-log=none", "true"}).code(), 0);
  EXPECT_EQ(folder.read("none"), "") << "nothing is said of a success";

  const Finished refused = ferrun(folder, {"--termination-log=why", "--log-dir=/proc/nowhere", "true"});
  EXPECT_NE(refused.code(), 0);
  EXPECT_THAT(folder.read("why"), HasSubstr("cannot make the log folder /proc/nowhere")) << refused.err;

  const Finished lost = ferrun(folder, {"--termination-log=/proc/nowhere", "sh", "-c", "exit 3"});
  EXPECT_EQ(lost.code(), 3);
  EXPECT_THAT(lost.err, HasSubstr("cannot write the termination message, /proc/nowhere"));
}

TEST(LauncherError, TooFewOpenFilesAreNoticedBeforeTheStart) {
  const ScratchFolder folder;
  // A shell lowers its own limit, and becomes ferrun; an outer ferrun runs it.
  const std::string script =
      folder.write("limited", "#!/bin/sh\nulimit -n 64\nexec " FERRUN_BIN_DIR "/ferrun \"$@\"\n", true).string();
  const Finished run = ferrun(folder, {script, "--nproc-per-node=40", "--tee=3", "touch", "made"});
  EXPECT_EQ(run.code(), 75) << run.err;
  EXPECT_THAT(run.err, HasSubstr("open files, but the limit is 64: raise it (ulimit -Hn"));
}

TEST(LauncherError, ASoftLimitIsRaisedWhenTheJobNeedsItAndWorkersKeepTheirs) {
  const ScratchFolder folder;
  const std::string script =
      folder.write("limited", "#!/bin/sh\nulimit -Sn 64\nexec " FERRUN_BIN_DIR "/ferrun \"$@\"\n", true).string();
  const Finished run = ferrun(
      folder, {script, "--nproc-per-node=20", "--redirects=3", "--log-dir=logs", "sh", "-c", "ulimit -Sn >> limits"});
  EXPECT_EQ(run.code(), 0) << run.err;
  EXPECT_EQ(split_lines(folder.read("limits")), std::vector<std::string>(20, "64"));
}

}  // namespace
}  // namespace ferrun
