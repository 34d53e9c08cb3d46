// What the sentinel of a job with several nodes sees to beside the kill guarantee: no worker outlives its lease, and
// the connection to the coordinator ends after the workers.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>

#include "tests/process/denied_calls.h"
#include "tests/process/process_test_support.h"
#include "tests/process/terminal_job.h"

namespace ferrun::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Clock = std::chrono::steady_clock;

constexpr size_t kPair = 2;             // sentinel and agent
constexpr size_t kLeaseFamilySize = 5;  // a worker and its grandchildren
const std::vector<std::string> kStubbornFamily = {"ignore", "TERM",          "ignore", "INT",   "child",
                                                  "plain",  "child",         "setsid", "child", "double",
                                                  "child",  "setsid-double", "forever"};

std::vector<std::string> lease_agent_command(int workers, const std::vector<std::string>& actions) {
  std::vector<std::string> command = {FERRUN_TEST_BIN_DIR "/probe_agent", std::to_string(workers)};
  command.insert(command.end(), actions.begin(), actions.end());
  return command;
}

// The other side of an agent's connection.
class Peer {
 public:
  Peer() : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (bind(listener_, generic, size) != 0 || listen(listener_, 1) != 0) ADD_FAILURE() << "cannot listen";
    getsockname(listener_, generic, &size);
    port_ = ntohs(address.sin_port);
  }
  ~Peer() {
    close(listener_);
    close(connection_);
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  std::string port() const { return std::to_string(port_); }
  void accept_agent() { connection_ = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC); }
  void send(const std::string& text) const {
    EXPECT_EQ(::send(connection_, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  }
  bool ended() const {
    pollfd state = {connection_, POLLIN, 0};
    return poll(&state, 1, 0) > 0;
  }
  // "end of stream" or the error, once the connection has ended.
  std::string end() const {
    pollfd state = {connection_, POLLIN, 0};
    const auto limit = std::chrono::duration_cast<std::chrono::milliseconds>(kHangLimit);
    if (poll(&state, 1, static_cast<int>(limit.count())) <= 0) return "still connected";
    char byte = 0;
    return recv(connection_, &byte, 1, 0) == 0 ? "end of stream" : strerror(errno);
  }

 private:
  int listener_;
  int connection_ = -1;
  uint16_t port_ = 0;
};

class LeaseTest : public ::testing::Test {
 protected:
  ProgramOptions with_lease(std::chrono::milliseconds length, const std::string& peers = "") const {
    ProgramOptions options = {.environment = {marker.variable(), "PROBE_LEASE=" + std::to_string(length.count())},
                              .own_group = true};
    if (!peers.empty()) options.environment.push_back("PROBE_PEERS=" + peers);
    return options;
  }
  bool eventually_count(size_t processes) {
    return eventually([&] { return marker.processes().size() == processes; });
  }
  pid_t agent_of(const Program& program) {
    EXPECT_TRUE(eventually([&] { return !children_of_process(program.pid()).empty(); }));
    const auto children = children_of_process(program.pid());
    return children.empty() ? 0 : children[0];
  }
  JobMarker marker;
  TemporaryDirectory directory;
};

// Long enough for a machine on which an agent has to wait for a processor.
constexpr std::chrono::milliseconds kShort{1500};
constexpr std::chrono::milliseconds kLong{3600 * 1000};

TEST_F(LeaseTest, WorkersOfAStoppedAgentDieWhenItEnds) {
  Program program(lease_agent_command(2, kStubbornFamily), with_lease(kShort));
  ASSERT_TRUE(eventually_count(kPair + 2 * kLeaseFamilySize));
  const pid_t agent = agent_of(program);
  kill(agent, SIGSTOP);
  const auto stopped = Clock::now();
  EXPECT_TRUE(eventually_count(kPair));
  EXPECT_GE(Clock::now() - stopped, kShort - kShort / 4) << "killed before the lease was over";
  EXPECT_EQ(process_state(agent), 'T') << "the agent itself is left alone";
  kill(agent, SIGCONT);
  EXPECT_EQ(program.wait(), ExitStatus::exited(128 + SIGKILL));
}

TEST_F(LeaseTest, StoppedWorkersDieWithItToo) {
  Program program(lease_agent_command(1, kStubbornFamily), with_lease(kShort));
  ASSERT_TRUE(eventually_count(kPair + kLeaseFamilySize));
  for (const pid_t process : marker.processes()) {
    if (process != program.pid()) kill(process, SIGSTOP);
  }
  EXPECT_TRUE(eventually_count(kPair));
}

TEST_F(LeaseTest, ASuspendedJobDoesNotGoOnAfterIt) {
  const std::string up = directory.file("up"), on = directory.file("on");
  TerminalJob job(lease_agent_command(1, {"pid", up, "wait-file", directory.file("go"), "touch", on, "forever"}),
                  {.environment = with_lease(kShort).environment});
  const pid_t worker = pid_from_file(up);
  job.press('\x1a');
  ASSERT_TRUE(WIFSTOPPED(job.next_status()));
  ASSERT_TRUE(eventually([&] { return process_state(worker) == 'T'; }));
  close(open(directory.file("go").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  const auto stopped = Clock::now();
  ASSERT_TRUE(eventually([&] { return Clock::now() - stopped > kShort + std::chrono::milliseconds(200); }));
  job.continue_in_foreground();
  const int status = job.next_status();
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 128 + SIGKILL) << status;
  EXPECT_FALSE(std::filesystem::exists(on)) << "the worker ran on";
}

TEST_F(LeaseTest, AKilledAgentsConnectionEndsAfterItsWorkers) {
  Peer peer;
  Program program(lease_agent_command(2, kStubbornFamily), with_lease(kLong, peer.port()));
  peer.accept_agent();
  ASSERT_TRUE(eventually_count(kPair + 2 * kLeaseFamilySize));
  peer.send("words that nobody reads must not turn the end into a reset");
  kill(agent_of(program), SIGKILL);
  EXPECT_EQ(peer.end(), "end of stream");
  EXPECT_LE(marker.processes().size(), 1u) << "a worker lives although the connection has ended";
  EXPECT_EQ(program.wait(), ExitStatus::signaled(SIGKILL));
}

TEST_F(LeaseTest, TheConnectionOfAStoppedAgentStaysOpen) {
  Peer peer;
  Program program(lease_agent_command(1, kStubbornFamily), with_lease(kShort, peer.port()));
  peer.accept_agent();
  ASSERT_TRUE(eventually_count(kPair + kLeaseFamilySize));
  kill(agent_of(program), SIGSTOP);
  EXPECT_TRUE(eventually_count(kPair));
  EXPECT_FALSE(peer.ended()) << "its agent may yet come back";
}

TEST_F(LeaseTest, ANewConnectionTakesThePlaceOfTheOldOne) {
  Peer first, second;
  Program program(lease_agent_command(1, kStubbornFamily), with_lease(kLong, first.port() + " " + second.port()));
  first.accept_agent();
  second.accept_agent();
  EXPECT_EQ(first.end(), "end of stream");
  ASSERT_TRUE(eventually_count(kPair + kLeaseFamilySize));
  EXPECT_FALSE(second.ended());
  kill(agent_of(program), SIGKILL);
  EXPECT_EQ(second.end(), "end of stream");
  EXPECT_LE(marker.processes().size(), 1u);
  program.wait();
  EXPECT_THAT(marker.processes(), IsEmpty());
}

// The end of a connection is a proof only while the sentinel holds it too.
TEST_F(LeaseTest, AConnectionThatCouldNotBeSharedEndsInAReset) {
  Peer peer;
  ProgramOptions unshared = with_lease(kLong, peer.port());
  unshared.environment.push_back("PROBE_UNSHARED=1");
  Program program(lease_agent_command(1, kStubbornFamily), unshared);
  peer.accept_agent();
  ASSERT_TRUE(eventually_count(kPair + kLeaseFamilySize));
  kill(agent_of(program), SIGKILL);
  EXPECT_EQ(peer.end(), strerror(ECONNRESET));
  EXPECT_EQ(program.wait(), ExitStatus::signaled(SIGKILL));
  EXPECT_THAT(program.err(),
              HasSubstr("cannot share the connection to the coordinator with the sentinel: no descriptor"));
}

TEST_F(LeaseTest, AConnectionThatTheSentinelHadNoDescriptorForEndsInAReset) {
  Peer peer;
  ProgramOptions late = with_lease(kLong, peer.port());
  late.environment.push_back("PROBE_PEERS_WHEN=" + directory.file("go"));
  Program program(lease_agent_command(1, kStubbornFamily), late);
  agent_of(program);
  const rlimit none = {3, 3};
  ASSERT_EQ(prlimit(program.pid(), RLIMIT_NOFILE, &none, nullptr), 0) << strerror(errno);
  close(open(directory.file("go").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  peer.accept_agent();
  ASSERT_TRUE(eventually_count(kPair + kLeaseFamilySize));
  EXPECT_TRUE(program.wait_for_output("the sentinel has no descriptor left"));
  kill(agent_of(program), SIGKILL);
  EXPECT_EQ(peer.end(), strerror(ECONNRESET));
  program.wait();
}

TEST_F(LeaseTest, EndsWithoutPidfdsTimersAndSignalfd) {
  ProgramOptions denied = with_lease(kShort);
  denied.in_child = [] {
    if (!deny_calls({SYS_pidfd_open, SYS_pidfd_send_signal, SYS_signalfd4, SYS_timerfd_create}, EPERM)) _exit(126);
  };
  Program program(lease_agent_command(1, kStubbornFamily), denied);
  ASSERT_TRUE(eventually_count(kPair + kLeaseFamilySize));
  const pid_t agent = agent_of(program);
  kill(agent, SIGSTOP);
  EXPECT_TRUE(eventually_count(kPair));
  EXPECT_EQ(process_state(agent), 'T') << "the agent itself is left alone";
}

// What the agent has below it cannot be found then, but what a dead agent leaves behind can.
TEST_F(LeaseTest, EndsWithoutProcByTheEndOfTheAgent) {
  std::vector<std::string> command = command_without_proc();
  if (command.empty()) GTEST_SKIP() << "a mount namespace (unshare -m, mount) is not permitted here";
  for (const std::string& part : lease_agent_command(1, kStubbornFamily)) command.push_back(part);
  Program program(command, with_lease(kShort));
  ASSERT_TRUE(eventually_count(kPair + kLeaseFamilySize));
  kill(agent_of(program), SIGSTOP);
  EXPECT_EQ(program.wait(), ExitStatus::signaled(SIGKILL));
  EXPECT_THAT(marker.processes(), IsEmpty());
  EXPECT_THAT(program.err(), HasSubstr("the lease is over; without /proc"));
}

TEST_F(LeaseTest, ADeadSentinelStillTakesEverythingAlong) {
  Program program(lease_agent_command(2, kStubbornFamily), with_lease(kLong));
  ASSERT_TRUE(eventually_count(kPair + 2 * kLeaseFamilySize));
  program.signal(SIGKILL);
  EXPECT_TRUE(eventually_count(0));
}

}  // namespace
}  // namespace ferrun::testing
