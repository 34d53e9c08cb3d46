// `ferrun --hosts`, with a real sshd of this machine under several names.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>

#include "launcher/hosts/host_order.h"
#include "tests/e2e/nodes_run.h"
#include "tests/process/process_test_support.h"
#include "tests/ssh_files.h"

namespace ferrun::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

class Hosts : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (why_not = ssh_problem(); !why_not.empty()) return;
    const int port = free_port();
    // node9 is down.
    files = std::make_unique<SshFiles>(
        "127.0.0.1", port, std::vector<SshFiles::Host>{{"node9", "127.0.0.1", 1}, {"*", "127.0.0.1", port}});
    sshd = std::make_unique<Program>(files->server());
    ASSERT_TRUE(sshd->wait_for_output("Server listening")) << sshd->err();
  }
  static void TearDownTestSuite() {
    sshd.reset();
    files.reset();
  }
  void SetUp() override {
    if (!why_not.empty()) GTEST_SKIP() << why_not;
    std::filesystem::current_path(directory.path());
  }

  // ferrun --hosts HOSTS FLAGS --no-python sh -c SCRIPT
  std::unique_ptr<Program> start(const std::string& hosts, const std::string& script,
                                 std::vector<std::string> flags = {}, std::vector<std::string> variables = {}) const {
    std::vector<std::string> words = {FERRUN_BIN_DIR "/ferrun", "--hosts=" + hosts, "--ssh=" + files->client()};
    words.insert(words.end(), flags.begin(), flags.end());
    words.insert(words.end(), {"--no-python", "sh", "-c", script, "sh", "two words", "", "it's\n$HOME"});
    ProgramOptions options;
    options.environment = std::move(variables);
    options.environment.push_back(marker.variable());
    return std::make_unique<Program>(words, options);
  }

  static std::unique_ptr<SshFiles> files;
  static std::unique_ptr<Program> sshd;
  static std::string why_not;
  const JobMarker marker;
  const TemporaryDirectory directory;
};

std::unique_ptr<SshFiles> Hosts::files;
std::unique_ptr<Program> Hosts::sshd;
std::string Hosts::why_not;

TEST_F(Hosts, AreOneJobFromOneCommand) {
  const auto run = start("node0,node1:3", "echo $RANK/$WORLD_SIZE node $GROUP_RANK $COLOUR in $PWD; echo to stderr >&2",
                         {}, {"COLOUR=light blue"});
  EXPECT_TRUE(run->wait().success()) << run->err();
  const std::string here = " light blue in " + directory.path().string();
  EXPECT_THAT(lines_of(run->out()),
              UnorderedElementsAre("0/4 node 0" + here, "1/4 node 1" + here, "2/4 node 1" + here, "3/4 node 1" + here));
  EXPECT_EQ(run->err(), "to stderr\nto stderr\nto stderr\nto stderr\n");
}

TEST_F(Hosts, ArgumentsArriveAsTheyAre) {
  const auto run = start("node0", "printf '[%s]' \"$@\"");
  EXPECT_TRUE(run->wait().success()) << run->err();
  EXPECT_EQ(run->out(), "[two words][][it's\n$HOME]\n");
}

TEST_F(Hosts, AFailureIsToldOnceAndIsTheStatus) {
  const auto run = start("node0,node1,node2", "[ $RANK = 1 ] && exit 7; sleep 60");
  EXPECT_EQ(run->wait().shell_code(), 7);
  size_t reports = 0;
  for (const std::string& line : lines_of(run->err())) reports += line.starts_with("Root cause: ") ? 1 : 0;
  EXPECT_EQ(reports, 1U) << run->err();
  EXPECT_THAT(run->err(), AllOf(HasSubstr("Root cause: "), HasSubstr("rank 1 (local_rank 0, pid "),
                                HasSubstr("exited with code 7")));
  EXPECT_TRUE(eventually([&] { return marker.processes().empty(); }));
}

TEST_F(Hosts, OneThatCannotBeReachedIsNamedInSshsWords) {
  const auto run = start("node0,node9", "sleep 60");
  EXPECT_EQ(run->wait().shell_code(), 75);
  EXPECT_THAT(run->err(), AllOf(HasSubstr("ferrun: node9 cannot be reached: "), HasSubstr("Connection refused"),
                                HasSubstr("--nnodes=MIN:MAX goes on with fewer")));
  EXPECT_TRUE(eventually([&] { return marker.processes().empty(); }));
}

TEST_F(Hosts, AnElasticJobStartsWithoutOne) {
  const auto run =
      start("node0,node9,node2", "echo $RANK/$WORLD_SIZE", {"--nnodes=2:3", "--rdzv-conf=last_call_timeout=1"});
  EXPECT_TRUE(run->wait().success()) << run->err();
  EXPECT_THAT(lines_of(run->out()), UnorderedElementsAre("0/2", "1/2"));
  EXPECT_THAT(run->err(), HasSubstr("the job goes on without it"));
}

// A host may hear of the stop from the others first, and then sends SIGTERM.
TEST_F(Hosts, ASignalReachesTheWorkersOfAll) {
  const auto run =
      start("node0,node1", "trap 'echo saved $RANK; exit 0' INT TERM; echo up; while :; do sleep 0.1; done");
  ASSERT_TRUE(eventually([&] { return run->wait_for_output("up\nup\n"); })) << run->err();
  run->signal(SIGINT);
  EXPECT_EQ(run->wait().shell_code(), 130) << run->err();
  EXPECT_THAT(run->out(), AllOf(HasSubstr("saved 0"), HasSubstr("saved 1")));
  EXPECT_TRUE(eventually([&] { return marker.processes().empty(); }));
}

TEST_F(Hosts, NothingStaysWhenTheCommandIsKilled) {
  const auto run = start("node0,node1", "trap '' HUP; echo up; setsid sleep 600 & wait");
  ASSERT_TRUE(run->wait_for_output("up\nup\n")) << run->err();
  EXPECT_TRUE(eventually([&] { return marker.processes().size() >= 10; }))
      << "ssh, agents, workers and what they started";
  run->signal(SIGKILL);
  run->wait();
  EXPECT_TRUE(eventually([&] { return marker.processes().empty(); }));
}

TEST_F(Hosts, NothingStaysOnAHostWhoseConnectionIsLost) {
  const auto run = start("node0,node1", "echo up; sleep 600", {"--failure-grace=1"});
  ASSERT_TRUE(run->wait_for_output("up\nup\n")) << run->err();
  for (const pid_t child : children_of_process(run->pid())) ::kill(child, SIGKILL);
  EXPECT_EQ(run->wait().shell_code(), 75) << run->err();
  EXPECT_THAT(run->err(), HasSubstr("node0"));
  EXPECT_TRUE(eventually([&] { return marker.processes().empty(); }));
}

TEST_F(Hosts, TheSecretIsOnNoCommandLine) {
  const auto run = start("node0,node1", "echo up; sleep 600", {}, {"FERRUN_TOKEN=0123456789abcdef-of-this-test"});
  ASSERT_TRUE(run->wait_for_output("up\nup\n")) << run->err();
  for (const pid_t pid : marker.processes()) {
    EXPECT_THAT(read_file("/proc/" + std::to_string(pid) + "/cmdline"), Not(HasSubstr("0123456789abcdef")));
  }
  run->signal(SIGTERM);
  run->wait();
}

struct AgentCase {
  std::string input, words, out;
};

TEST(HostAgent, RefusesWhatIsNoOrderAndNamesAFolderThatTheHostLacks) {
  const TemporaryDirectory scratch;
  const std::string order = encode_host_order({"/no/such folder", {"true"}, {}});
  for (const AgentCase& each :
       {AgentCase{"GET / HTTP/1.1\r\n\r\n", "is started by ferrun --hosts", ""}, AgentCase{"", "no order came", ""},
        AgentCase{order,
                  "the job's folder /no/such folder cannot be entered on this host: No such "
                  "file or directory",
                  std::string(kHostAnswer) + "\n"}}) {
    std::ofstream(scratch.file("input")) << each.input;
    Program agent({"sh", "-c", "exec " FERRUN_BIN_DIR "/ferrun host-agent < '" + scratch.file("input") + "'"});
    EXPECT_EQ(agent.wait().code(), 2);
    EXPECT_THAT(agent.err(), HasSubstr(each.words));
    EXPECT_EQ(agent.out(), each.out);
  }
}

}  // namespace
}  // namespace ferrun::testing
