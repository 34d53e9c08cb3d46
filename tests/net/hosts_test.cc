// `ferrun --hosts` between hosts with a network and an sshd each, one of which loses its cable.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>
#include <memory>
#include <optional>
#include <vector>

#include "tests/net/host_program.h"
#include "tests/net/test_network.h"
#include "tests/process/process_test_support.h"
#include "tests/ssh_files.h"
#include "tests/temporary_directory.h"

namespace ferrun::testing {
namespace {

using ::testing::HasSubstr;

class HostsOfANetwork : public ::testing::Test {
 protected:
  static constexpr int kHosts = 3, kPort = 2222;

  void SetUp() override {
    if (const std::string problem = ssh_problem(); !problem.empty()) GTEST_SKIP() << problem;
    if (const std::string problem = network_problem(); !problem.empty()) GTEST_SKIP() << problem;
    network_.emplace(kHosts);
    std::vector<SshFiles::Host> hosts;
    for (int host = 0; host < kHosts; ++host) {
      hosts.push_back({TestNetwork::name(host), TestNetwork::address(host), kPort});
    }
    ssh_.emplace("0.0.0.0", kPort, hosts);
    for (int host = 0; host < kHosts; ++host) {
      servers_.push_back(std::make_unique<HostProgram>(*network_, host, ssh_->server(), "/"));
    }
    for (const auto& server : servers_) ASSERT_TRUE(server->wait_for("Server listening"));
  }

  // The command, on the first host.
  std::unique_ptr<HostProgram> start(std::vector<std::string> flags, const std::string& script) const {
    std::vector<std::string> words = {FERRUN_BIN_DIR "/ferrun", "--hosts=node0,node1,node2", "--ssh=" + ssh_->client()};
    words.insert(words.end(), flags.begin(), flags.end());
    words.insert(words.end(), {"--no-python", "sh", "-c", script});
    return std::make_unique<HostProgram>(*network_, 0, words, folder_.path().string());
  }

  const TemporaryDirectory folder_;
  std::optional<TestNetwork> network_;
  std::optional<SshFiles> ssh_;
  std::vector<std::unique_ptr<HostProgram>> servers_;
};

// Its ssh has noticed later than the others.
TEST_F(HostsOfANetwork, TheWorkersOfOneThatIsCutOffEndAndTheOthersGoOn) {
  const auto job = start({"--nnodes=2:3", "--max-restarts=3", "--min-uptime=0",
                          "--rdzv-conf=keep_alive_interval=0.2,keep_alive_max_attempt=5,last_call_timeout=1"},
                         "echo $$ > pid.$WORLD_SIZE.$RANK; echo $RANK of $WORLD_SIZE is up; "
                         "while [ ! -e finish ]; do sleep 0.02; done");
  for (const char* const rank : {"0", "1", "2"}) {
    ASSERT_TRUE(job->wait_for(rank + std::string(" of 3 is up"))) << job->output();
  }
  network_->cut(1);
  ASSERT_TRUE(job->wait_for("1 of 2 is up")) << job->output();
  pid_t cut_off = 0;
  ASSERT_TRUE(std::ifstream(folder_.file("pid.3.1")) >> cut_off);
  EXPECT_TRUE(eventually([cut_off] { return ::kill(cut_off, 0) != 0; })) << "the lease of node1 is over";
  std::ofstream(folder_.file("finish")) << "now\n";
  EXPECT_EQ(job->wait().shell_code(), 0) << job->output();
}

}  // namespace
}  // namespace ferrun::testing
