// From options to the machines' values.
#include "launcher/node/node_setup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ferrun {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

constexpr AgentId kAgent{7};

JobConfig several_nodes() {
  JobConfig config;
  config.workers = 4;
  config.role = "trainer";
  config.hostname = "node1";
  config.max_restarts = 3;
  config.stop.shutdown_timeout = 12s;
  RendezvousConfig& nodes = config.rendezvous.emplace();
  nodes.member.agent = kAgent;
  nodes.member.node_rank = 1;
  nodes.member.coordinator_timeout = 40s;
  nodes.coordinator.min_nodes = 2;
  nodes.coordinator.silence = 6s;
  nodes.coordinator.job_id = "run7";
  nodes.coordinator.terms = {{"--nnodes", "2"}};
  return config;
}

TEST(NodeSetup, OneNodeSettlesWhenItIsNoShortJobSeveralAtOnce) {
  EXPECT_EQ(settling_time(JobConfig{}), 100ms);
  EXPECT_EQ(settling_time(several_nodes()), 0s);
}

TEST(NodeSetup, AMemberHasItsNodesPartAndTheTermsOfTheJob) {
  const NodeConfig node = node_config(several_nodes(), {"10.0.0.1", "fd00::1"});
  EXPECT_FALSE(node.solo);
  EXPECT_EQ(node.member.agent, kAgent);
  EXPECT_EQ(node.member.node_rank, 1);
  EXPECT_EQ(node.member.host, "node1");
  EXPECT_EQ(node.member.role, "trainer");
  EXPECT_EQ(node.member.workers, 4);
  EXPECT_EQ(node.member.max_restarts, 3);
  EXPECT_EQ(node.stop.shutdown_timeout, 12s);
  EXPECT_THAT(node.member.addresses, ElementsAre("10.0.0.1", "fd00::1"));
  EXPECT_THAT(node.member.terms, ElementsAre(Term{"--nnodes", "2"}));
  EXPECT_TRUE(node_config(JobConfig{}, {}).solo);
}

TEST(NodeSetup, AHostedCoordinatorsLeasesEndWithSilenceThoseOfOneOnItsOwnLastUntilItIsBack) {
  const RendezvousConfig config = *several_nodes().rendezvous;
  const CoordinatorConfig hosted = coordinator_config(config, kAgent, "launch");
  EXPECT_FALSE(hosted.own_process);
  EXPECT_EQ(hosted.host_agent, kAgent);
  EXPECT_EQ(hosted.lease, 6s);
  EXPECT_EQ(hosted.launch_id, "launch");
  EXPECT_EQ(hosted.job_id, "run7");
  const CoordinatorConfig alone = coordinator_config(config, AgentId{}, "launch");
  EXPECT_TRUE(alone.own_process);
  EXPECT_EQ(alone.lease, 40s);
}

}  // namespace
}  // namespace ferrun
