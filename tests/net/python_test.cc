// Real PyTorch (Gloo) on three hosts, through the loss and the return of a node.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "tests/net/cluster.h"
#include "tests/peer_python.h"

namespace ferrun::testing {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

constexpr int kSteps = 300;

class PythonStories : public ::testing::Test {
 protected:
  void SetUp() override {
    FERRUN_NEEDS_PEER();
    if (const std::string problem = network_problem(); !problem.empty()) GTEST_SKIP() << problem;
    cluster_.emplace(3);
    slow_ = cluster_->folder() + "/slow";
    std::ofstream(slow_) << "until told otherwise\n";
    cluster_->set_program(
        {std::string(FERRUN_SOURCE_DIR) + "/tests/net/elastic_ddp.py", cluster_->folder(), std::to_string(kSteps)});
    cluster_->set_options({"--nproc-per-node=1", "--max-restarts=3", "--rdzv-conf=last_call_timeout=1",
                           "--scale-interval=0", "--min-uptime=0"});
  }
  void start(int host, const std::string& nodes) { cluster_->start(host, nodes, {{"PYTHON_EXEC", peer_python()}}); }
  void finish(const std::vector<int>& hosts) {
    std::filesystem::remove(slow_);
    EXPECT_THAT(cluster_->wait_for(hosts), Each(0));
    for (const int host : hosts) {
      EXPECT_THAT(cluster_->agent(host).output(),
                  HasSubstr(std::to_string(kSteps) + " steps, equal on " + std::to_string(hosts.size())));
    }
  }

  std::optional<Cluster> cluster_;
  std::string slow_;
};

TEST_F(PythonStories, TrainingShrinksAndGrowsWithItsNodes) {
  for (const int host : {0, 1, 2}) start(host, "2:3");
  cluster_->wait_for_group({0, 1, 2}, 3, 1);
  cluster_->agent(2).send_all(SIGKILL);
  cluster_->wait_for_group({0, 1}, 2, 1);
  start(2, "2:3");
  cluster_->wait_for_group({2}, 3, 1);
  finish({0, 1, 2});
}

TEST_F(PythonStories, ACutNodeIsReplacedWhenItComesBack) {
  for (const int host : {0, 1, 2}) start(host, "3");
  cluster_->wait_for_group({0, 1, 2}, 3, 1);
  cluster_->network().cut(1);
  cluster_->agent(0).wait_for("waiting for 1 of 3 nodes");
  cluster_->network().heal(1);
  cluster_->wait_for_group({0, 1, 2}, 3, 1, 2);
  finish({0, 1, 2});
}

}  // namespace
}  // namespace ferrun::testing
