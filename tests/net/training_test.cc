// The emotion trainer on three hosts that come and go: it ends after the right number of epochs, and at every
// checkpoint its ranks have compared their weights (the worker ends the run when they differ).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/net/cluster.h"

namespace ferrun::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::Each;

constexpr int kEpochs = 5;

// Real faces where they are, else drawn ones.
std::vector<std::string> data_options() {
  const std::string faces = std::string(FERRUN_SOURCE_DIR) + "/../shared/data/fer-sample";
  if (!std::filesystem::exists(faces)) return {"--faces=60"};
  return {"--data=" + faces, "--image-size=64"};
}

class Training : public ::testing::Test {
 protected:
  void start_cluster(std::optional<RelayOptions> relay = std::nullopt) {
    cluster_.emplace(3, relay);
    output_ = cluster_->folder() + "/run";
    std::vector<std::string> program = {"worker", "--epochs=" + std::to_string(kEpochs), "--output-dir=" + output_,
                                        "--threads=1", "--num-workers=1"};
    const std::vector<std::string> data = data_options();
    program.insert(program.end(), data.begin(), data.end());
    cluster_->set_program(program);
    cluster_->set_options({"--nproc-per-node=2", "--max-restarts=3", "--rdzv-conf=last_call_timeout=1",
                           "--scale-interval=0", "--min-uptime=0", "--shutdown-timeout=10"});
  }
  void SetUp() override {
    if (const std::string problem = network_problem(); !problem.empty()) GTEST_SKIP() << problem;
  }

  // Lines of metrics.csv without its heading: the epochs that are over.
  std::vector<std::string> epochs() const {
    std::vector<std::string> lines;
    std::ifstream in(output_ + "/metrics.csv");
    std::string line;
    std::getline(in, line);
    while (std::getline(in, line)) lines.push_back(line.substr(0, line.find(',')));
    return lines;
  }
  void expect_all_epochs() const {
    std::vector<std::string> all;
    for (int epoch = 1; epoch <= kEpochs; ++epoch) all.push_back(std::to_string(epoch));
    EXPECT_EQ(epochs(), all);
  }

  std::optional<Cluster> cluster_;
  std::string output_;
};

TEST_F(Training, GoesOnFromItsCheckpointWhenNodesComeAndGo) {
  start_cluster();
  for (const int host : {0, 1, 2}) cluster_->start(host, "2:3");
  cluster_->agent(0).wait_for("val loss", 2, 120s);  // the first epoch is in its checkpoint
  cluster_->agent(2).send_all(SIGKILL);
  cluster_->agent(0).wait_for("continuing after epoch", 1, 120s);
  cluster_->start(2, "2:3");
  cluster_->agent(0).wait_for("continuing after epoch", 2, 120s);
  for (const int host : {0, 1, 2}) EXPECT_EQ(cluster_->agent(host).wait(180s).shell_code(), 0) << "node" << host;
  expect_all_epochs();
}

TEST_F(Training, OutlivesTheCoordinatorsHost) {
  start_cluster();
  for (const int host : {0, 1, 2}) cluster_->start(host, "3");
  cluster_->agent(0).wait_for("val loss", 2, 120s);
  cluster_->agent(0).send_all(SIGKILL);
  cluster_->agent(0).wait();
  cluster_->start(0, "3");
  for (const int host : {0, 1, 2}) EXPECT_EQ(cluster_->agent(host).wait(180s).shell_code(), 0) << "node" << host;
  expect_all_epochs();
}

TEST_F(Training, EndsOverASlowAndLossyNetwork) {
  if (const std::string problem = relay_problem(); !problem.empty()) GTEST_SKIP() << problem;
  start_cluster(RelayOptions{20ms, 2ms, 0.02, 7});
  cluster_->set_options({"--nproc-per-node=1", "--max-restarts=3"});
  cluster_->set_program({"worker", "--epochs=1", "--output-dir=" + output_, "--threads=1", "--faces=20"});
  for (const int host : {0, 1, 2}) cluster_->start(host, "3");
  for (const int host : {0, 1, 2}) EXPECT_EQ(cluster_->agent(host).wait(200s).shell_code(), 0) << "node" << host;
  EXPECT_EQ(epochs().size(), 1u);
}

}  // namespace
}  // namespace ferrun::testing
