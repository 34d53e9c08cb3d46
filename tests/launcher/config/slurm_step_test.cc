#include "launcher/config/slurm_step.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "launcher/config/job_config.h"
#include "tests/launcher/config/host_fixture.h"

namespace ferrun {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class SlurmStepTest : public ::testing::Test {
 protected:
  SlurmStepTest() { host_.program("/usr/bin/prog"); }

  // As srun -N2 --ntasks-per-node=1 --cpus-per-task=3 starts the task of the second node.
  void step(const std::string& nodes = "gpu[07-08]", const std::string& node = "1") {
    host_.variable("SLURM_JOB_ID", "4711").variable("SLURM_STEP_ID", "3").variable("SLURM_STEP_NODELIST", nodes);
    host_.variable("SLURM_NODEID", node).variable("SLURM_STEP_TASKS_PER_NODE", "1(x2)");
    host_.variable("SLURM_JOB_NUM_NODES", "2").variable("SLURM_CPUS_ON_NODE", "3");
  }
  Result<JobConfig> make(std::vector<std::string> words = {}) {
    words.emplace_back("prog");
    const Result<CommandLine> line = parse_command_line(words, host_.facts().environment);
    if (!line) return line.error();
    return make_job_config(*line, host_.facts());
  }
  std::string refusal(const std::vector<std::string>& words = {}) {
    const Result<JobConfig> config = make(words);
    return config ? "accepted" : config.error().message;
  }

  FakeHost host_;
};

TEST_F(SlurmStepTest, NeedsNoOptions) {
  step();
  const Result<JobConfig> config = make();
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_TRUE(config->rendezvous);
  EXPECT_EQ(config->rendezvous->coordinator.min_nodes, 2);
  EXPECT_EQ(config->rendezvous->coordinator.max_nodes, 2);
  EXPECT_EQ(config->rendezvous->member.node_rank, 1);
  EXPECT_EQ(config->rendezvous->member.endpoint, "gpu07:27113");
  EXPECT_EQ(config->run_id, "slurm-4711.3");
  EXPECT_EQ(config->workers, 3) << "the step's CPUs, not the machine's";
  EXPECT_THAT(config->notes, Contains(AllOf(HasSubstr("rank 1"), HasSubstr("gpu07, port 27113"))));
}

TEST_F(SlurmStepTest, HasAWorkerForEachDeviceOfTheStep) {
  step();
  host_.gpus({"GPU-a", "GPU-b", "GPU-c", "GPU-d"}).variable("CUDA_VISIBLE_DEVICES", "0,1");
  EXPECT_EQ(make()->workers, 2);
  EXPECT_EQ(make({"--nproc-per-node=1"})->workers, 1) << "given by hand";
}

TEST_F(SlurmStepTest, AStepOfOneNodeMeetsNobody) {
  step("gpu07", "0");
  host_.variable("SLURM_STEP_TASKS_PER_NODE", "1");
  const Result<JobConfig> config = make();
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_FALSE(config->rendezvous);
  EXPECT_EQ(config->workers, 3);
}

TEST_F(SlurmStepTest, StepsBesideEachOtherMeetAtPortsOfTheirOwn) {
  std::set<std::string> endpoints;
  step();
  for (const char* job : {"4711", "4712", "5710"}) {
    for (const char* number : {"0", "1", "9"}) {
      host_.variable("SLURM_JOB_ID", job).variable("SLURM_STEP_ID", number);
      endpoints.insert(make()->rendezvous->member.endpoint);
    }
  }
  EXPECT_EQ(endpoints.size(), 9U);
}

TEST_F(SlurmStepTest, AScriptThatSaysWhereItsNodesMeetIsLeftAlone) {
  step();
  const Result<JobConfig> config = make({"--nnodes=2", "--node-rank=0", "--master-addr=gpu07", "--master-port=29501"});
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->rendezvous->member.endpoint, "gpu07:29501");
  EXPECT_EQ(config->rendezvous->member.node_rank, 0);
  EXPECT_EQ(config->workers, 1) << "torchrun's default";
  EXPECT_FALSE(make({"--standalone"})->rendezvous);
  host_.variable("PET_NNODES", "1");
  EXPECT_FALSE(make()->rendezvous) << "given by a variable";
}

TEST_F(SlurmStepTest, ANumberOfNodesAloneLeavesTheMeetingToTheStep) {
  step();
  const Result<JobConfig> elastic = make({"--nnodes=1:4"});
  ASSERT_TRUE(elastic) << elastic.error().message;
  ASSERT_TRUE(elastic->rendezvous);
  EXPECT_EQ(elastic->rendezvous->coordinator.min_nodes, 1);
  EXPECT_EQ(elastic->rendezvous->coordinator.max_nodes, 4);
  EXPECT_EQ(elastic->rendezvous->member.endpoint, "gpu07:27113");
  EXPECT_EQ(elastic->rendezvous->member.node_rank, std::nullopt) << "nodes come and go";
  EXPECT_EQ(elastic->run_id, "slurm-4711.3");
  EXPECT_EQ(elastic->workers, 3);
  EXPECT_EQ(make({"--nnodes=2"})->rendezvous->member.node_rank, 1);
  EXPECT_EQ(make({"--nnodes=3"})->rendezvous->member.node_rank, std::nullopt);
  EXPECT_FALSE(make({"--nnodes=1"})->rendezvous) << "this one";
}

TEST_F(SlurmStepTest, ABackEndOrAnIdAloneLeavesTheRestToTheStep) {
  step();
  const Result<JobConfig> config = make({"--rdzv-id=mine", "--rdzv-backend=c10d"});
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_TRUE(config->rendezvous);
  EXPECT_EQ(config->run_id, "mine");
  EXPECT_EQ(config->rendezvous->member.endpoint, "gpu07:27113");
  EXPECT_EQ(config->rendezvous->member.node_rank, 1);
}

TEST_F(SlurmStepTest, EtcdSaysWhereTheNodesOfTheStepMeet) {
  step();
  const Result<JobConfig> config = make({"--rdzv-backend=etcd", "--rdzv-endpoint=etcd1,etcd2"});
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_TRUE(config->rendezvous && config->rendezvous->etcd);
  EXPECT_EQ(config->rendezvous->etcd->servers.size(), 2U);
  EXPECT_EQ(config->rendezvous->coordinator.max_nodes, 2);
  EXPECT_EQ(config->rendezvous->member.node_rank, 1);
  EXPECT_EQ(config->run_id, "slurm-4711.3");
}

TEST_F(SlurmStepTest, SeveralLaunchersOnANodeAreRefusedWithTheRemedy) {
  step();
  host_.variable("SLURM_STEP_TASKS_PER_NODE", "1,4");
  EXPECT_THAT(refusal(), AllOf(HasSubstr("4 tasks of this step on gpu08"), HasSubstr("--ntasks-per-node=1")));
  EXPECT_EQ(refusal({"--standalone"}), "accepted");
  step("gpu[07-08]", "0");
  host_.variable("SLURM_STEP_TASKS_PER_NODE", "1,4");
  EXPECT_THAT(refusal(), HasSubstr("4 tasks of this step on gpu08")) << "not left to wait for the others";
  step("gpu07", "0");
  host_.variable("SLURM_STEP_TASKS_PER_NODE", "2");
  EXPECT_THAT(refusal(), HasSubstr("2 tasks of this step on gpu07"));
}

TEST_F(SlurmStepTest, VariablesThatContradictEachOtherAreRefused) {
  step("gpu[07-08]", "2");
  EXPECT_THAT(refusal(), AllOf(HasSubstr("SLURM_NODEID=2"), HasSubstr("gpu[07-08]"), HasSubstr("--node-rank")));
  step("gpu[07-", "0");
  EXPECT_THAT(refusal(), HasSubstr("SLURM_STEP_NODELIST=gpu[07-"));
  step();
  host_.variable("SLURM_STEP_TASKS_PER_NODE", "1");
  EXPECT_THAT(refusal(), HasSubstr("SLURM_STEP_TASKS_PER_NODE=1"));
}

TEST_F(SlurmStepTest, ABatchScriptOfSeveralNodesIsTold) {
  host_.variable("SLURM_JOB_ID", "4711").variable("SLURM_JOB_NUM_NODES", "2").variable("SLURM_NODEID", "0");
  const Result<JobConfig> config = make();
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_FALSE(config->rendezvous);
  EXPECT_EQ(config->workers, 1);
  EXPECT_THAT(config->warnings, Contains(AllOf(HasSubstr("only this node is used"), HasSubstr("srun"))));
  host_.variable("SLURM_JOB_NUM_NODES", "1");
  EXPECT_THAT(make()->warnings, Not(Contains(HasSubstr("Slurm"))));
}

TEST_F(SlurmStepTest, OutsideOfSlurmNothingIsAdded) {
  const Result<JobConfig> config = make();
  EXPECT_FALSE(config->rendezvous);
  EXPECT_EQ(config->workers, 1);
  EXPECT_THAT(config->warnings, IsEmpty());
}

}  // namespace
}  // namespace ferrun
