// What ferrun coordinator and ferrun doctor are told.
#include "launcher/config/coordinator_job.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launcher/config/doctor_job.h"
#include "tests/launcher/config/host_fixture.h"

namespace ferrun {
namespace {

using ::testing::HasSubstr;

class VerbConfigTest : public ::testing::Test {
 protected:
  Result<CoordinatorJob> coordinator(const std::vector<std::string>& words) {
    const Result<CommandLine> line = parse_command_line(words, host_.facts().environment, Verb::kCoordinator);
    if (!line) return line.error();
    return make_coordinator_job(*line, host_.facts());
  }
  Result<DoctorJob> doctor(const std::vector<std::string>& words) {
    const Result<CommandLine> line = parse_command_line(words, host_.facts().environment, Verb::kDoctor);
    if (!line) return line.error();
    return make_doctor_job(*line, host_.facts());
  }
  FakeHost host_;
};

TEST_F(VerbConfigTest, ACoordinatorNeedsSizeEndpointAndStateFile) {
  EXPECT_EQ(coordinator({}).error().message, "ferrun coordinator needs --nnodes");
  EXPECT_EQ(coordinator({"--nnodes=2"}).error().message, "ferrun coordinator needs --rdzv-endpoint");
  EXPECT_EQ(coordinator({"--nnodes=2", "--rdzv-endpoint=n"}).error().message, "ferrun coordinator needs --state-file");
  EXPECT_THAT(coordinator({"--nnodes=x", "--rdzv-endpoint=n", "--state-file=f"}).error().message, HasSubstr("MIN:MAX"));
  const auto job = coordinator({"--nnodes=2:4", "--rdzv-endpoint=n", "--state-file=f", "--max-restarts=3"});
  ASSERT_TRUE(job) << job.error().message;
  EXPECT_EQ(job.value().rendezvous.coordinator.max_nodes, 4);
  EXPECT_EQ(job.value().rendezvous.coordinator.max_restarts, 3);
  EXPECT_EQ(job.value().rendezvous.state_file, "f");
}

TEST_F(VerbConfigTest, WithEtcdThereIsNoCoordinatorToStartAndADoctorLooksAtIt) {
  EXPECT_THAT(coordinator({"--rdzv-backend=etcd"}).error().message, HasSubstr("one of the agents coordinates the job"));
  const auto job = doctor({"--rdzv-backend=etcd", "--rdzv-endpoint=e0,e1:99", "--rdzv-id=fer"});
  ASSERT_TRUE(job) << job.error().message;
  EXPECT_EQ(job->rendezvous.etcd->servers, (std::vector<Endpoint>{{"e0", 2379}, {"e1", 99}}));
}

TEST_F(VerbConfigTest, ADoctorWithoutAnEndpointLooksAtThisMachineAlone) {
  const auto alone = doctor({"--master-port=29400"});
  ASSERT_TRUE(alone) << alone.error().message;
  EXPECT_TRUE(alone->alone);
  EXPECT_EQ(alone->rendezvous.store_port, 29400);
  EXPECT_FALSE(doctor({"--rdzv-endpoint=node0"})->alone);
  EXPECT_THAT(doctor({"--rdzv-backend=etcd"}).error().message, HasSubstr("needs --rdzv-endpoint"));
}

TEST_F(VerbConfigTest, ADoctorTakesASecretThatCannotBeReadForAFinding) {
  const auto job = doctor({"--rdzv-endpoint=node0", "--token-file=/gone", "--nproc-per-node=cpu", "--json"});
  ASSERT_TRUE(job) << job.error().message;
  EXPECT_EQ(job.value().workers, 6);
  EXPECT_TRUE(job.value().as_json);
  EXPECT_EQ(job.value().token_error, "--token-file=/gone: No such file or directory");
  EXPECT_EQ(job.value().token_origin, "--token-file=/gone");
  EXPECT_THAT(doctor({"--rdzv-endpoint=n", "--nproc-per-node=none"}).error().message, HasSubstr("expected a number"));
}

}  // namespace
}  // namespace ferrun
