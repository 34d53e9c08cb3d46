#include "launcher/config/indexed_pod.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launcher/config/job_config.h"
#include "tests/launcher/config/host_fixture.h"

namespace ferrun {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;

// As the kubelet writes it for a pod whose template has a subdomain.
constexpr const char* kHosts =
    "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n"
    "10.244.1.7\temotion-1.faces.training.svc.cluster.local\temotion-1\n";

class IndexedPodTest : public ::testing::Test {
 protected:
  IndexedPodTest() { host_.program("/usr/bin/prog"); }

  void pod(const std::string& hosts = kHosts) {
    host_.hostname("emotion-1").file("/etc/hosts", hosts);
    host_.variable("KUBERNETES_SERVICE_HOST", "10.96.0.1").variable("JOB_COMPLETION_INDEX", "1");
  }
  JobConfig make(std::vector<std::string> words) {
    words.emplace_back("prog");
    const Result<CommandLine> line = parse_command_line(words, host_.facts().environment);
    const Result<JobConfig> config = line ? make_job_config(*line, host_.facts()) : line.error();
    EXPECT_TRUE(config) << config.error().message;
    return config ? *config : JobConfig{};
  }

  FakeHost host_;
};

TEST_F(IndexedPodTest, NeedsToBeToldHowManyNodesThereAre) {
  pod();
  const JobConfig config = make({"--nnodes=2"});
  ASSERT_TRUE(config.rendezvous);
  EXPECT_EQ(config.rendezvous->member.node_rank, 1);
  EXPECT_EQ(config.rendezvous->member.endpoint, "emotion-0.faces.training.svc.cluster.local:29500");
  EXPECT_EQ(config.run_id, "emotion");
  EXPECT_THAT(config.notes, Contains(AllOf(HasSubstr("rank 1"), HasSubstr("emotion-0.faces"))));
}

TEST_F(IndexedPodTest, TakesAPortABackendAndAnIdThatAreGiven) {
  pod();
  const JobConfig config = make({"--nnodes=1:4", "--rdzv-backend=c10d", "--rdzv-id=mine"});
  EXPECT_EQ(config.rendezvous->member.endpoint, "emotion-0.faces.training.svc.cluster.local:29400");
  EXPECT_EQ(config.run_id, "mine");
  EXPECT_EQ(make({"--nnodes=2", "--master-port=4000"}).rendezvous->endpoint.port, 4000);
}

TEST_F(IndexedPodTest, IsSilentWhereAPlaceIsGivenByHand) {
  pod();
  const JobConfig at = make({"--nnodes=2", "--rdzv-endpoint=head:4000"});
  EXPECT_EQ(at.rendezvous->member.endpoint, "head:4000");
  EXPECT_FALSE(at.rendezvous->member.node_rank);
  EXPECT_EQ(make({"--nnodes=2", "--node-rank=0", "--master-addr=head"}).rendezvous->member.node_rank, 0);
}

// As Kubeflow's Trainer sets them beside the index.
TEST_F(IndexedPodTest, VariablesOfAControllerCountBeforeTheIndex) {
  pod();
  host_.variable("PET_NNODES", "2").variable("PET_NODE_RANK", "1").variable("PET_MASTER_PORT", "29500");
  host_.variable("PET_MASTER_ADDR", "emotion-node-0-0.emotion");
  EXPECT_EQ(make({}).rendezvous->member.endpoint, "emotion-node-0-0.emotion:29500");
}

TEST_F(IndexedPodTest, MeansNothingInAJobOfOneNodeOrOutsideOfKubernetes) {
  pod();
  EXPECT_FALSE(make({}).rendezvous);
  host_.variable("KUBERNETES_SERVICE_HOST", "");
  EXPECT_FALSE(make({"--nnodes=2"}).rendezvous->member.node_rank);
}

TEST_F(IndexedPodTest, WarnsOfAPodThatNobodyCanLookUp) {
  pod("10.244.1.7\temotion-1\n10.244.1.8\temotion-12.faces\n");
  const JobConfig config = make({"--nnodes=2"});
  EXPECT_THAT(config.warnings, Contains(AllOf(HasSubstr("emotion-1:"), HasSubstr("subdomain"))));
  EXPECT_FALSE(config.rendezvous->member.node_rank);
  host_.variable("JOB_COMPLETION_INDEX", "3").file("/etc/hosts", kHosts);
  EXPECT_FALSE(make({"--nnodes=2"}).rendezvous->member.node_rank) << "the name is not the index's";
}

TEST_F(IndexedPodTest, KnowsAHostNameThatIsWhole) {
  pod("");
  host_.hostname("emotion-1.faces.training.svc.cluster.local");
  EXPECT_EQ(make({"--nnodes=2"}).rendezvous->endpoint.host, "emotion-0.faces.training.svc.cluster.local");
}

}  // namespace
}  // namespace ferrun
