// A job on three hosts with etcd on a fourth: the coordinator's host is cut off, or lost for good. Real agents, real
// etcd.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>

#include "tests/net/cluster.h"
#include "tests/net/commands.h"

namespace ferrun::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int kHosts = 3;  // with agents; behind them those of etcd
constexpr const char* kCoordinates = "this agent coordinates the job:";

class EtcdStories : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string problem = network_problem(); !problem.empty()) GTEST_SKIP() << problem;
    if (!has_program("etcd")) GTEST_SKIP() << "no program 'etcd' (package etcd-server)";
  }
  void TearDown() override {
    if (cluster_) {
      EXPECT_EQ(cluster_->violations(), "");
    }
  }

  Cluster& cluster() { return *cluster_; }
  TestNetwork& network() { return cluster_->network(); }
  // An etcd of `servers`, each on a host of its own.
  void start_etcd(int servers) {
    cluster_.emplace(kHosts + servers);
    std::string all;
    std::string endpoints;
    for (int host = kHosts; host < kHosts + servers; ++host) {
      all += (all.empty() ? "" : ",") + TestNetwork::name(host) + "=http://" + TestNetwork::address(host) + ":2380";
      endpoints += (endpoints.empty() ? "" : ",") + TestNetwork::name(host);
    }
    for (int host = kHosts; host < kHosts + servers; ++host) {
      const std::string address = "http://" + TestNetwork::address(host);
      const std::string name = TestNetwork::name(host);
      etcd_.push_back(std::make_unique<HostProgram>(
          network(), host,
          std::vector<std::string>{
              "/usr/bin/env", "etcd", "--name=" + name, "--data-dir=etcd-" + name,
              "--listen-client-urls=" + address + ":2379", "--advertise-client-urls=" + address + ":2379",
              "--listen-peer-urls=" + address + ":2380", "--initial-advertise-peer-urls=" + address + ":2380",
              "--initial-cluster=" + all, "--unsafe-no-fsync", "--log-level=error"},
          cluster().folder()));
    }
    cluster().set_endpoint(endpoints);
  }
  void start_three(const std::string& nodes, std::vector<std::string> options) {
    options.insert(options.end(), {"--rdzv-backend=etcd", "--nproc-per-node=1", "--max-restarts=3", "--verbose"});
    cluster().set_options(options);
    for (const int host : {0, 1, 2}) cluster().start(host, nodes);
    cluster().wait_for_group({0, 1, 2}, 3, 1);
  }
  // The host whose agent coordinates the job, once one does that is not `before`; -1 with a failure.
  int coordinator(int before = -1) {
    const auto deadline = std::chrono::steady_clock::now() + HostProgram::kPatience;
    while (std::chrono::steady_clock::now() < deadline) {
      for (const int host : {0, 1, 2}) {
        if (host != before && cluster().agent(host).output().find(kCoordinates) != std::string::npos) return host;
      }
      poll(nullptr, 0, 5);
    }
    ADD_FAILURE() << "nobody coordinates the job";
    return -1;
  }
  static std::vector<int> others(int host) {
    std::vector<int> all = {0, 1, 2};
    std::erase(all, host);
    return all;
  }
  static void tell_time(const char* what, std::chrono::steady_clock::time_point since) {
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - since;
    std::printf("%s: %.2f s\n", what, took.count());
  }

  std::optional<Cluster> cluster_;
  std::vector<std::unique_ptr<HostProgram>> etcd_;
};

TEST_F(EtcdStories, ACutCoordinatorIsTakenOverFromAndAllWorkersRunOn) {
  start_etcd(1);
  start_three("3", {});
  const int first = coordinator();
  ASSERT_GE(first, 0);
  std::vector<std::vector<pid_t>> processes;
  for (const int host : {0, 1, 2}) processes.push_back(cluster().agent(host).descendants());
  network().cut(first);
  const auto cut_at = std::chrono::steady_clock::now();
  const int second = coordinator(first);
  ASSERT_GE(second, 0);
  tell_time("from the cut to the next coordinator", cut_at);
  for (const int host : others(first)) {
    if (host != second) cluster().agent(host).wait_for("the coordinator is back at node" + std::to_string(second));
  }
  cluster().agent(first).wait_for("this agent coordinates the job no more");
  network().heal(first);
  cluster().agent(second).wait_for("all nodes of round 1 are back");
  for (const int host : {0, 1, 2}) {
    EXPECT_EQ(cluster().agent(host).descendants(), processes[static_cast<size_t>(host)]) << "of node" << host;
  }
  cluster().finish();
  EXPECT_THAT(cluster().wait_for({0, 1, 2}), Each(0));
  for (const int host : {0, 1, 2}) {
    EXPECT_THAT(cluster().agent(host).output(), Not(HasSubstr("round 2"))) << "of node" << host;
  }
}

// Nobody can tell it from one that is cut off, and whose workers run on.
TEST_F(EtcdStories, ALostCoordinatorsHostIsHeldLostWhenItsWorkersCanRunNoMore) {
  start_etcd(1);
  start_three("2:3", {"--coordinator-timeout=4", "--rdzv-conf=last_call_timeout=0.5", "--min-uptime=0"});
  const int first = coordinator();
  ASSERT_GE(first, 0);
  network().cut(first);
  cluster().agent(first).send_all(SIGKILL);
  const auto lost_at = std::chrono::steady_clock::now();
  ASSERT_GE(coordinator(first), 0);
  tell_time("from the loss to the next coordinator", lost_at);
  cluster().wait_for_group(others(first), 2, 1);
  tell_time("from the loss to the next round, with --coordinator-timeout=4", lost_at);
  cluster().finish();
  EXPECT_THAT(cluster().wait_for(others(first)), Each(0));
}

TEST_F(EtcdStories, AServerThatIsCutOffStopsNobody) {
  start_etcd(3);
  start_three("3", {"--shutdown-timeout=5"});
  network().cut(kHosts);
  cluster().fail_rank(1);
  cluster().wait_for_group({0, 1, 2}, 3, 1, 2);  // what the next round needs was written
  cluster().finish();
  EXPECT_THAT(cluster().wait_for({0, 1, 2}), Each(0));
}

}  // namespace
}  // namespace ferrun::testing
