// ferrun in steps and scripts of the real Slurm.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/e2e/slurm_run.h"

namespace ferrun::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

constexpr const char* kWho = "echo $RANK/$WORLD_SIZE $(hostname) $MASTER_ADDR";

TEST_F(Slurm, AStepIsOneWorldWithoutAnyOption) {
  const auto run = step({"-N2", "--ntasks-per-node=1", "--cpus-per-task=2"}, kWho);
  EXPECT_TRUE(run->wait().success()) << run->err();
  EXPECT_THAT(lines_of(run->out()), UnorderedElementsAre("0/4 host1 10.231.77.1", "1/4 host1 10.231.77.1",
                                                         "2/4 host2 10.231.77.1", "3/4 host2 10.231.77.1"));
}

TEST_F(Slurm, AHeterogeneousJobIsOneWorld) {
  const std::string out =
      batch({"-N1", "-c1", ":", "-N2", "-c2"}, "srun --het-group=0,1 --ntasks-per-node=1 " FERRUN_BIN_DIR
                                               "/ferrun --no-python sh -c '" +
                                                   std::string(kWho) + "'\n");
  EXPECT_THAT(out, AllOf(HasSubstr("0/5 host1"), HasSubstr("1/5 host2"), HasSubstr("2/5 host2"), HasSubstr("3/5 host3"),
                         HasSubstr("4/5 host3")));
}

TEST_F(Slurm, AScriptWrittenForTorchrunRunsWithTheWordExchanged) {
  const std::string out =
      batch({"-N2"},
            "head=$(scontrol show hostnames $SLURM_JOB_NODELIST | head -1)\n"
            "srun --ntasks-per-node=1 " FERRUN_BIN_DIR
            "/ferrun --nnodes=$SLURM_NNODES --nproc_per_node=1"
            " --rdzv_id=$SLURM_JOB_ID --rdzv_backend=c10d --rdzv_endpoint=$head:29500 --no_python sh -c '" +
                std::string(kWho) + "'\n");
  EXPECT_THAT(out, AllOf(HasSubstr("0/2 host"), HasSubstr("1/2 host")));
}

TEST_F(Slurm, StepsBesideEachOtherDoNotMeet) {
  const std::string script =
      "touch $DIR/up.$SLURM_STEP_ID.$RANK; "
      "while [ $(ls $DIR | grep -c ^up) -lt 4 ]; do sleep 0.05; done; echo $WORLD_SIZE";
  const std::string one =
      "srun --ntasks-per-node=1 -c1 --exact " FERRUN_BIN_DIR "/ferrun --no-python sh -c '" + script + "'";
  EXPECT_THAT(lines_of(batch({"-N2", "-c2"}, one + " &\n" + one + " &\nwait\n")),
              ::testing::IsSupersetOf({"2", "2", "2", "2"}));
}

TEST_F(Slurm, JobsBesideEachOtherDoNotMeet) {
  const std::string script =
      "srun --ntasks-per-node=1 -c1 --exact " FERRUN_BIN_DIR
      "/ferrun --no-python sh -c 'touch $DIR/up.$SLURM_JOB_ID.$RANK; while [ $(ls $DIR | grep -c ^up) -lt 4 ]; do sleep "
      "0.05; done; touch $DIR/world.$WORLD_SIZE.$SLURM_JOB_ID.$RANK'\n";
  const std::string one = submit("one", {"-N2", "-c1"}, script);
  const std::string other = submit("other", {"-N2", "-c1"}, script);
  EXPECT_TRUE(eventually_over(one)) << read_file(file("one.out"));
  EXPECT_TRUE(eventually_over(other)) << read_file(file("other.out"));
  EXPECT_EQ(files("world.2."), 4U) << read_file(file("one.out")) << read_file(file("other.out"));
}

TEST_F(Slurm, WhatWorkersLeaveBehindEndsWithTheStep) {
  const auto run = step({"-N2", "--ntasks-per-node=1"}, "(setsid sh -c 'sleep 1000' &); touch $DIR/over.$RANK");
  EXPECT_TRUE(run->wait().success()) << run->err();
  EXPECT_EQ(files("over."), 2U);
  EXPECT_TRUE(eventually([this] { return marker.processes().empty(); })) << "descendants outlive the step";
}

TEST_F(Slurm, TwoLaunchersOnANodeAreRefusedAtOnce) {
  const auto run = step({"-N2", "-n3"}, kWho);
  EXPECT_FALSE(run->wait().success());
  EXPECT_EQ(run->out(), "");
  EXPECT_THAT(run->err(), AllOf(HasSubstr("2 tasks of this step on host1"), HasSubstr("--ntasks-per-node=1")));
  EXPECT_THAT(run->err(), Not(HasSubstr("looking for the coordinator"))) << "the other node waits for nobody";
}

TEST_F(Slurm, ABatchScriptThatForgetsSrunIsTold) {
  EXPECT_THAT(batch({"-N2"}, FERRUN_BIN_DIR "/ferrun --no-python sh -c '" + std::string(kWho) + "'\n"),
              AllOf(HasSubstr("only this node is used"), HasSubstr("0/1 host1")));
}

TEST_F(Slurm, AWorkersFailureIsTheStepsStatusAndStartsAgainBefore) {
  const auto run = step({"-N2", "--ntasks-per-node=1"},
                        "touch $DIR/attempt.$TORCHELASTIC_RESTART_COUNT.$RANK; "
                        "while [ $(ls $DIR | grep -c ^attempt.$TORCHELASTIC_RESTART_COUNT) -lt 2 ]; do sleep 0.05; "
                        "done; [ $RANK = 1 ] && exit 7; sleep 60",
                        {"--max-restarts=1", "--min-uptime=0"});
  EXPECT_EQ(run->wait().code(), 7) << run->err();
  EXPECT_EQ(files("attempt.1."), 2U);
  EXPECT_THAT(run->err(), HasSubstr("Root cause: host2: rank 1"));
}

TEST_F(Slurm, WorkersSaveOnceWhenTheJobIsCancelledAndNothingStays) {
  std::ofstream(file("train.sh")) << R"(trap 'sleep 1; echo $RANK >> $DIR/saved; exit 0' TERM
(setsid sh -c 'sleep 1000' &)
touch $DIR/up.$RANK
while :; do sleep 0.1; done
)";
  const std::string job = submit(
      "job", {"-N2"}, "srun --ntasks-per-node=1 " FERRUN_BIN_DIR "/ferrun --no-python sh " + file("train.sh") + "\n");
  ASSERT_TRUE(eventually([this] { return files("up.") == 2; }));
  at_head({"scancel", job})->wait();
  EXPECT_TRUE(eventually([this] { return marker.processes().empty(); })) << "descendants outlive the step";
  EXPECT_THAT(lines_of(read_file(file("saved"))), UnorderedElementsAre("0", "1"));
}

// How an agent that is not of the step finds its job, of which a worker has written the id into file("id").
class SlurmMeeting : public Slurm {
 protected:
  std::vector<std::string> meeting_options() const {
    std::string id = read_file(file("id"));
    id.erase(id.find_last_not_of('\n') + 1);
    std::istringstream numbers(id.substr(id.find('-') + 1));
    long job = 0, step = 0;
    char dot = '.';
    numbers >> job >> dot >> step;
    return {"--rdzv-id=" + id, "--rdzv-endpoint=host1:" + std::to_string(20000 + job % 1000 * 10 + step % 10)};
  }
};

TEST_F(SlurmMeeting, ANodeThatIsDownIsOutAndAnotherJobsNodeComesIn) {
  const std::string script =
      "echo $TORCHELASTIC_RUN_ID > $DIR/id; touch $DIR/size.$WORLD_SIZE.$RANK.$(hostname); trap 'exit 0' TERM; "
      "while [ ! -e $DIR/over ]; do sleep 0.05; done";
  const auto elastic = step({"--no-kill", "-N3", "--ntasks-per-node=1"}, script,
                            {"--nnodes=2:3", "--max-restarts=9", "--nproc-per-node=1", "--verbose"});
  ASSERT_TRUE(eventually([this] { return files("size.3.") == 3; })) << elastic->err();
  at_head({"scontrol", "update", "nodename=host3", "state=down", "reason=test"})->wait();
  EXPECT_TRUE(eventually([this] { return files("size.2.") == 2; })) << elastic->err();

  ASSERT_TRUE(eventually([this] {  // its processes are gone
    const auto nodes = at_head({"sinfo", "-h", "-n", "host3", "-o", "%t"});
    nodes->wait();
    return nodes->out().starts_with("idle");
  }));
  std::filesystem::remove(file("size.3.2.host3"));
  std::vector<std::string> flags = meeting_options();
  flags.insert(flags.end(), {"--nnodes=2:3", "--max-restarts=9"});
  const auto other = step({"-N1", "-w", "host3"}, script, flags);
  EXPECT_TRUE(eventually([this] { return std::filesystem::exists(file("size.3.2.host3")); })) << other->err();
  std::ofstream(file("over")) << "";
  EXPECT_TRUE(other->wait().success()) << other->err();
  elastic->wait();
  EXPECT_THAT(elastic->err(), HasSubstr("the job has succeeded"));
}

TEST_F(Slurm, AtTheTimeLimitWorkersMaySave) {
  std::ofstream(file("train.sh")) << R"(trap 'touch $DIR/warned.$RANK' USR1
trap 'sleep 0.5; touch $DIR/saved.$RANK; exit 0' TERM
touch $DIR/up.$RANK
while :; do sleep 0.05; done
)";
  const std::string job =
      submit("job", {"-N2", "--time=1", "--signal=USR1@59"},
             "srun --ntasks-per-node=1 " FERRUN_BIN_DIR "/ferrun --no-python sh " + file("train.sh") + "\n");
  ASSERT_TRUE(eventually([this] { return files("up.") == 2; })) << read_file(file("job.out"));
  // Slurm looks for it every half minute.
  ASSERT_TRUE(eventually([this] { return files("warned.") == 2; })) << read_file(file("job.out"));
  at_head({"scontrol", "update", "jobid=" + job, "EndTime=now"})->wait();
  EXPECT_TRUE(eventually([this] { return files("saved.") == 2; })) << read_file(file("job.out"));
  EXPECT_TRUE(eventually([this] { return marker.processes().empty(); }));
}

TEST_F(SlurmMeeting, OnlyProcessesOfTheJobsUserTakePart) {
  const auto run = step({"-N2", "--ntasks-per-node=1"},
                        "echo $TORCHELASTIC_RUN_ID > $DIR/id; touch $DIR/up.$RANK; "
                        "while [ ! -e $DIR/over ]; do sleep 0.05; done",
                        {"--verbose"});
  ASSERT_TRUE(eventually([this] { return files("up.") == 2; })) << run->err();
  const auto doctor = [this](std::vector<std::string> words) {
    words.insert(words.end(), {FERRUN_BIN_DIR "/ferrun", "doctor"});
    for (const std::string& option : meeting_options()) words.push_back(option);
    return at_head(words);
  };
  const auto own = doctor({});
  own->wait();
  EXPECT_THAT(own->out(), AllOf(HasSubstr("the coordinator answers"), HasSubstr("handed out by munge")));
  const auto stranger = doctor({"env", "FERRUN_MUNGE_SOCKET=/nowhere"});
  EXPECT_FALSE(stranger->wait().success());
  EXPECT_THAT(stranger->out(), AllOf(HasSubstr("cannot be read here"), Not(HasSubstr("the coordinator answers"))));
  std::ofstream(file("over")) << "";
  EXPECT_TRUE(run->wait().success()) << run->err();
  EXPECT_THAT(run->err(), AllOf(HasSubstr("know each other by munge"), Not(HasSubstr("no token is given"))));
}

}  // namespace
}  // namespace ferrun::testing
