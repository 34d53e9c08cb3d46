#include "launcher/config/hosts_job.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launcher/config/job_token.h"
#include "tests/launcher/config/host_fixture.h"

namespace ferrun {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using ::testing::Not;

class HostsJobTest : public ::testing::Test {
 protected:
  Result<HostsJob> make(std::vector<std::string> words) {
    words.insert(words.end(), {"train.py", "--hosts=mine", ""});
    const Result<CommandLine> line = parse_command_line(words, host_.facts().environment);
    if (!line) return line.error();
    if (!wants_hosts(line->options)) return Error{ErrorKind::kInternal, "wants no hosts"};
    const auto file = [](const std::string& path) -> Result<std::string> {
      if (path == "hosts.txt") return std::string("node0 slots=4\nnode1\n");
      return Error{ErrorKind::kUser, "there is no such file"};
    };
    const auto address = [](const std::vector<std::string>&, const std::string& name) {
      return name == "alias" ? std::string("10.0.0.7") : name;
    };
    return make_hosts_job(words, *line, host_.facts(), {file, address});
  }
  std::string refusal(const std::vector<std::string>& words) {
    const Result<HostsJob> job = make(words);
    return job ? "taken" : job.error().message;
  }

  FakeHost host_;
};

TEST_F(HostsJobTest, EachHostGetsTheCommandLineAndItsPlace) {
  const Result<HostsJob> job = make({"--hosts=node0,me@node1:4", "--max-restarts", "3", "--rdzv-conf="});
  ASSERT_TRUE(job.ok()) << job.error().message;
  ASSERT_EQ(job->hosts.size(), 2U);
  EXPECT_EQ(job->least, 2U);
  const HostPlan& second = job->hosts[1];
  EXPECT_EQ(second.name, "me@node1");
  EXPECT_EQ(second.order.folder, "/home/user");
  EXPECT_THAT(second.order.arguments,
              ElementsAre("--max-restarts=3", "--rdzv-conf", "", "--hosts", "", "--hostfile", "", "--nnodes=2",
                          "--node-rank=1", "--rdzv-endpoint=node0:20004", "--rdzv-id=hosts-23456789",
                          "--nproc-per-node=4", "--", "train.py", "--hosts=mine", ""));
  EXPECT_THAT(job->hosts[0].order.arguments, AllOf(Contains("--node-rank=0"), Not(Contains(HasSubstr("nproc")))));
  EXPECT_THAT(
      second.command,
      ElementsAre("ssh", "-o", "BatchMode=yes", "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3",
                  "me@node1",
                  "exec sh -c '[ -x /opt/ferrun/bin/ferrun ] && exec /opt/ferrun/bin/ferrun host-agent; exec ferrun "
                  "host-agent'"));
}

TEST_F(HostsJobTest, TheSecretAndTheEnvironmentTravelWithTheOrderAlone) {
  host_.variable("OMP_NUM_THREADS", "2").variable("SSH_AUTH_SOCK", "/tmp/agent").variable("HOME", "/home/me");
  const Result<HostsJob> job = make({"--hosts=node0,node1"});
  ASSERT_TRUE(job.ok());
  for (const HostPlan& host : job->hosts) {
    EXPECT_EQ(host.order.environment.get("OMP_NUM_THREADS"), "2");
    EXPECT_EQ(host.order.environment.get("SSH_AUTH_SOCK"), std::nullopt);
    EXPECT_EQ(host.order.environment.get("HOME"), std::nullopt);
    const std::string token = host.order.environment.get_or(kTokenVariable, "");
    EXPECT_GE(token.size(), kShortestToken);
    for (const std::string& word : host.order.arguments) EXPECT_THAT(word, Not(HasSubstr(token)));
    for (const std::string& word : host.command) EXPECT_THAT(word, Not(HasSubstr(token)));
  }
  EXPECT_EQ(job->hosts[0].order.environment, job->hosts[1].order.environment);
  host_.variable(kTokenVariable, "a secret of the user's own");
  EXPECT_EQ(make({"--hosts=node0"})->hosts[0].order.environment.get(kTokenVariable), "a secret of the user's own");
}

TEST_F(HostsJobTest, WhatIsGivenByHandIsKept) {
  const Result<HostsJob> job = make({"--hosts=alias,node1:4,node7", "--nnodes=2:3", "--nproc-per-node=8",
                                     "--rdzv-id=mine", "--master-port=23450", "--ssh=ssh -p 2222"});
  ASSERT_TRUE(job.ok()) << job.error().message;
  EXPECT_EQ(job->least, 2U);
  EXPECT_THAT(job->hosts[1].order.arguments,
              IsSupersetOf({"--nproc-per-node=8", "--rdzv-id=mine", "--rdzv-endpoint=10.0.0.7:23450", "--nnodes=2:3"}));
  EXPECT_THAT(job->hosts[1].order.arguments,
              AllOf(Not(Contains("--nproc-per-node=4")), Not(Contains(HasSubstr("master-port")))));
  EXPECT_THAT(job->hosts[1].command, AllOf(Contains("2222"), Not(Contains("BatchMode=yes"))));
  EXPECT_FALSE(job->hosts[2].by_ssh) << "this machine";
  EXPECT_THAT(job->hosts[2].command, ElementsAre("/opt/ferrun/bin/ferrun", "host-agent"));
  EXPECT_THAT(make({"--hosts=node0", "--rdzv-endpoint=10.1.2.3:4444"})->hosts[0].order.arguments,
              Contains("--rdzv-endpoint=10.1.2.3:4444"));
  EXPECT_THAT(make({"--hosts=localhost,node1"})->hosts[0].order.arguments, Contains("--rdzv-endpoint=node7:20004"))
      << "a name that the others know";
}

TEST_F(HostsJobTest, HostsMayStandInAFile) {
  const Result<HostsJob> job = make({"--hostfile", "hosts.txt"});
  ASSERT_TRUE(job.ok()) << job.error().message;
  EXPECT_EQ(job->hosts[1].name, "node1");
  EXPECT_THAT(job->hosts[0].order.arguments, Contains("--nproc-per-node=4"));
  EXPECT_THAT(refusal({"--hostfile=nothing"}), HasSubstr("--hostfile=nothing: there is no such file"));
  EXPECT_THAT(refusal({"--hostfile=hosts.txt", "--hosts=a"}), HasSubstr("give one of them"));
}

TEST_F(HostsJobTest, ContradictionsAreRefused) {
  EXPECT_THAT(refusal({"--hosts=a,b", "--node-rank=1"}), HasSubstr("--node-rank: follows from --hosts"));
  EXPECT_THAT(refusal({"--hosts=a,b", "--standalone"}), HasSubstr("--standalone: follows from --hosts"));
  EXPECT_THAT(refusal({"--hosts=a,b", "--nnodes=3"}), HasSubstr("--nnodes=3: --hosts names 2"));
  EXPECT_THAT(refusal({"--hosts=a,a"}), HasSubstr("--hosts=a,a: a is named twice"));
  EXPECT_THAT(refusal({"--hosts=a", "--ssh= "}), HasSubstr("--ssh"));
}

}  // namespace
}  // namespace ferrun
