// ferrun as the container of a pod, with what a cluster does to one: signals, late names, other addresses, memory
// limits. The variables are those that each controller sets.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "tests/net/pod.h"

namespace ferrun::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class Pods : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string problem = pod_problem(); !problem.empty()) GTEST_SKIP() << problem;
    network_.emplace(3);
  }

  // One pod of a job of its own: `ferrun OPTIONS sh -c SCRIPT`.
  std::unique_ptr<Pod> run(const std::string& script, std::vector<std::string> options = {},
                           const PodOptions& pod = {}) {
    options.insert(options.end(), {"--no-python", "sh", "-c", script});
    return std::make_unique<Pod>(*network_, 0, names_, "emotion-0", options, HostProgram::Variables{}, pod);
  }

  std::optional<TestNetwork> network_;
  PodNames names_;
};

TEST_F(Pods, AnyUserOnAReadOnlyRootHasAllThatAJobNeeds) {
  const auto pod = run(
      "id -un 2>/dev/null; touch /new 2>/dev/null && exit 1; echo $(id -u) $TORCHELASTIC_ERROR_FILE >/data/seen.$RANK; "
      "exit 0",
      {"--nproc-per-node=2", "--redirects=3"});
  EXPECT_EQ(pod->wait(), 0);
  EXPECT_THAT(pod->output(), IsEmpty()) << "no warning";
  EXPECT_THAT(pod->read("seen.1"), HasSubstr("70001 /tmp/ferrun_"));
}

TEST_F(Pods, WithoutAnyPlaceToWriteAJobRunsAllTheSame) {
  PodOptions without;
  without.scratch = false;
  const auto pod = run("echo rank $RANK", {"--nproc-per-node=2"}, without);
  EXPECT_EQ(pod->wait(), 0) << pod->output();
  EXPECT_THAT(pod->output(), AllOf(HasSubstr("rank 0"), HasSubstr("rank 1")));
}

TEST_F(Pods, TheFirstProcessReapsWhatItIsGiven) {
  const auto pod =
      run("for i in 1 2 3 4 5; do (setsid sh -c 'exit 0' &); done; "
          "for i in $(seq 200); do grep -qs '^State:.Z' /proc/[0-9]*/status || exit 0; sleep 0.05; done; exit 9");
  EXPECT_EQ(pod->wait(), 0) << pod->output();
}

TEST_F(Pods, TermIsOneOrderToSaveWithinTheGrace) {
  const auto pod =
      run("trap 'sleep 0.3; echo saved >/data/saved.$RANK; exit 0' TERM; echo up; while :; do sleep 0.02; done",
          {"--nproc-per-node=2", "--shutdown-timeout=20"});
  ASSERT_TRUE(pod->wait_for("up", 2));
  pod->send(SIGTERM);
  EXPECT_EQ(pod->wait(), 128 + SIGTERM);
  EXPECT_EQ(pod->read("saved.0") + pod->read("saved.1"), "saved\nsaved\n");
}

TEST_F(Pods, AWorkerThatDoesNotHeedTermIsKilledBeforeTheKubeletKillsAll) {
  const auto pod = run("trap '' TERM; echo up; while :; do sleep 0.02; done", {"--shutdown-timeout=1"});
  ASSERT_TRUE(pod->wait_for("up"));
  pod->send(SIGTERM);
  EXPECT_EQ(pod->wait(), 128 + SIGTERM);
}

TEST_F(Pods, AWorkerThatTheMemoryLimitKillsIsNamedWithTheLimit) {
  const MemoryGroup group(256);
  if (!group.problem().empty()) GTEST_SKIP() << group.problem();
  PodOptions limited;
  limited.memory_group = group.path();
  const auto pod = run("exec tail /dev/zero", {"--on-exit=oom=stop", "--max-restarts=3"}, limited);
  EXPECT_EQ(pod->wait(), 128 + SIGKILL) << pod->output();
  EXPECT_THAT(pod->termination_message(),
              AllOf(HasSubstr("rank 0"), HasSubstr("out-of-memory"), HasSubstr("limit 256 MiB")));
}

struct Ending {
  const char* what;
  const char* script;
  std::vector<std::string> options;
  int status;
  const char* message;  // in the termination message
};

// The table of docs/kubernetes.md: what podFailurePolicy can tell apart, and what `kubectl describe pod` shows.
TEST_F(Pods, ExitStatusAndTerminationMessageTellFailuresApart) {
  const Ending endings[] = {
      {"all workers ended with 0", "exit 0", {}, 0, ""},
      {"a wrong option", "exit 0", {"--nproc-per-node=many"}, 2, "--nproc-per-node=many"},
      {"a program's own status", "echo no data >&2; exit 7", {"--redirects=3"}, 7, "no data"},
      {"a worker that a signal ended", "kill -SEGV $$", {}, 128 + SIGSEGV, "SIGSEGV"},
      {"a port that is taken", "exit 0", {"--master-port=4000"}, 75, "4000"},
  };
  HostProgram taken(*network_, 0,
                    {"/usr/bin/python3", "-c",
                     "import socket, time\ns = socket.create_server(('', 4000))\n"
                     "print('listening', flush=True)\ntime.sleep(1000)"},
                    "/");
  ASSERT_TRUE(taken.wait_for("listening"));
  for (const Ending& ending : endings) {
    const auto pod = run(ending.script, ending.options);
    EXPECT_EQ(pod->wait(), ending.status) << ending.what << "\n" << pod->output();
    EXPECT_THAT(pod->termination_message(), HasSubstr(ending.message)) << ending.what << "\n" << pod->output();
    EXPECT_EQ(pod->termination_message().empty(), ending.status == 0) << ending.what;
  }
}

// --- What sets the variables ---

using Variables = HostProgram::Variables;

class PodsOfAJob : public Pods {
 protected:
  static constexpr const char* kWho = "echo rank $RANK of $WORLD_SIZE, node $GROUP_RANK, store $MASTER_ADDR";

  std::unique_ptr<Pod> start(int host, const std::string& name, const Variables& variables,
                             std::vector<std::string> arguments = {"--no-python", "sh", "-c", kWho}) {
    names_.publish(name, host);
    return std::make_unique<Pod>(*network_, host, names_, name, arguments, variables);
  }
};

TEST_F(PodsOfAJob, TrainersVariablesAreEnough) {
  Variables set = {{"PET_NNODES", "2"},          {"PET_NPROC_PER_NODE", "2"},
                   {"PET_NODE_RANK", "0"},       {"PET_MASTER_ADDR", "emotion-node-0-0.emotion"},
                   {"PET_MASTER_PORT", "29500"}, {"JOB_COMPLETION_INDEX", "0"}};
  const auto first = start(0, "emotion-node-0-0", set);
  set["PET_NODE_RANK"] = set["JOB_COMPLETION_INDEX"] = "1";
  const auto second = start(1, "emotion-node-0-1", set);
  EXPECT_EQ(first->wait(), 0);
  EXPECT_EQ(second->wait(), 0);
  EXPECT_THAT(second->output(), AllOf(HasSubstr("rank 2 of 4, node 1"), HasSubstr("rank 3 of 4, node 1")));
}

// RANK, WORLD_SIZE and MASTER_ADDR are those of the pods there, and PYTHONUNBUFFERED comes along.
TEST_F(PodsOfAJob, TheTrainingOperatorsVariablesAreEnough) {
  Variables set = {{"MASTER_ADDR", "emotion-master-0"},
                   {"MASTER_PORT", "23456"},
                   {"WORLD_SIZE", "4"},
                   {"RANK", "0"},
                   {"PYTHONUNBUFFERED", "0"},
                   {"PET_NNODES", "2"},
                   {"PET_NPROC_PER_NODE", "2"},
                   {"PET_NODE_RANK", "0"},
                   {"PET_MASTER_ADDR", "emotion-master-0"},
                   {"PET_MASTER_PORT", "23456"}};
  const auto master = start(0, "emotion-master-0", set);
  set["RANK"] = set["PET_NODE_RANK"] = "1";
  const auto worker = start(1, "emotion-worker-0", set);
  EXPECT_EQ(master->wait(), 0);
  EXPECT_EQ(worker->wait(), 0);
  EXPECT_THAT(worker->output(), HasSubstr("rank 3 of 4, node 1"));
}

TEST_F(PodsOfAJob, AnElasticPyTorchJobStartsWithItsReplicasAndGrows) {
  const Variables set = {{"PET_RDZV_BACKEND", "c10d"}, {"PET_RDZV_ENDPOINT", "emotion-worker-0:23456"},
                         {"PET_NNODES", "1:3"},        {"PET_MAX_RESTARTS", "3"},
                         {"PET_RDZV_ID", "emotion"},   {"PET_RDZV_CONF", "last_call_timeout=1"},
                         {"PYTHONUNBUFFERED", "0"},    {"PET_STANDALONE", "0"}};
  const std::vector<std::string> arguments = {
      "--scale-interval=0", "--no-python", "sh", "-c",
      "echo rank $RANK of $WORLD_SIZE; [ $WORLD_SIZE = 3 ] && exit 0; while :; do sleep 0.02; done"};
  const auto first = start(0, "emotion-worker-0", set, arguments);
  const auto second = start(1, "emotion-worker-1", set, arguments);
  ASSERT_TRUE(second->wait_for("rank 1 of 2"));
  const auto third = start(2, "emotion-worker-2", set, arguments);
  EXPECT_EQ(first->wait(), 0);
  EXPECT_EQ(third->wait(), 0);
  EXPECT_THAT(third->output(), HasSubstr("of 3"));
}

// Their completion index and name say the rest.
TEST_F(PodsOfAJob, PodsOfAnIndexedJobOrAJobSetNeedTheirNumberAlone) {
  for (const std::string job : {"emotion", "emotion-node-0"}) {
    const auto first = start(0, job + "-0", {{"JOB_COMPLETION_INDEX", "0"}, {"PET_NNODES", "2"}});
    const auto second = start(1, job + "-1", {{"JOB_COMPLETION_INDEX", "1"}, {"PET_NNODES", "2"}});
    EXPECT_EQ(first->wait(), 0);
    EXPECT_EQ(second->wait(), 0);
    EXPECT_THAT(second->output(), HasSubstr("rank 1 of 2, node 1, store 10.231.77.1"));
  }
}

// --- What a cluster does to a job ---

class PodsThatCome : public PodsOfAJob {
 protected:
  static Variables indexed(int index, const char* nodes = "2") {
    return {{"JOB_COMPLETION_INDEX", std::to_string(index)},
            {"PET_NNODES", nodes},
            {"PET_RDZV_CONF", "keep_alive_interval=0.2,keep_alive_max_attempt=5"},
            {"PET_MAX_RESTARTS", "3"},
            {"PET_MIN_UPTIME", "0"}};
  }
  // Ends when the whole job is told to: by a third attempt's file, which every volume has.
  static std::vector<std::string> until_finished() {
    return {"--no-python", "sh", "-c", "echo node $GROUP_RANK is up; while [ ! -e /data/finish ]; do sleep 0.02; done"};
  }
  static void finish(const Pod& pod) { std::ofstream(pod.file("finish")) << "now\n"; }
};

TEST_F(PodsThatCome, ANameThatAppearsLateIsWaitedForAndNamed) {
  const auto second = start(1, "emotion-1", indexed(1));
  ASSERT_TRUE(second->wait_for("emotion-0.emotion"));
  const auto first = start(0, "emotion-0", indexed(0));
  EXPECT_EQ(second->wait(), 0);
  EXPECT_EQ(first->wait(), 0);
  EXPECT_THAT(second->output(), HasSubstr("rank 1 of 2"));
}

TEST_F(PodsThatCome, APodThatComesBackElsewhereKeepsItsRank) {
  const auto first = start(0, "emotion-0", indexed(0), until_finished());
  const auto second = start(1, "emotion-1", indexed(1), until_finished());
  ASSERT_TRUE(first->wait_for("node 0 is up"));
  ASSERT_TRUE(second->wait_for("node 1 is up"));
  second->kill();
  second->wait();
  const auto again = start(2, "emotion-1", indexed(1), until_finished());
  ASSERT_TRUE(again->wait_for("node 1 is up"));
  ASSERT_TRUE(first->wait_for("node 0 is up", 2));
  finish(*first);
  finish(*again);
  EXPECT_EQ(first->wait(), 0);
  EXPECT_EQ(again->wait(), 0);
}

TEST_F(PodsThatCome, ThePodWhereTheNodesMeetComesBackElsewhere) {
  const auto first = start(0, "emotion-0", indexed(0), until_finished());
  const auto second = start(1, "emotion-1", indexed(1), until_finished());
  ASSERT_TRUE(second->wait_for("node 1 is up"));
  first->kill();
  first->wait();
  const auto again = start(2, "emotion-0", indexed(0), until_finished());
  ASSERT_TRUE(again->wait_for("node 0 is up"));
  ASSERT_TRUE(second->wait_for("node 1 is up", 2));
  finish(*second);
  finish(*again);
  EXPECT_EQ(second->wait(), 0);
  EXPECT_EQ(again->wait(), 0);
}

// Its machine lost the network: nothing is told to it, and nobody hears of it.
TEST_F(PodsThatCome, APodThatIsCutOffEndsItsWorkersAndComesBack) {
  const auto first = start(0, "emotion-0", indexed(0), until_finished());
  const auto second = start(1, "emotion-1", indexed(1), until_finished());
  ASSERT_TRUE(first->wait_for("node 0 is up"));
  ASSERT_TRUE(second->wait_for("node 1 is up"));
  network_->cut(1);
  ASSERT_TRUE(second->wait_for("killing the workers of round 1: no answer from the coordinator"));
  network_->heal(1);
  ASSERT_TRUE(first->wait_for("node 0 is up", 2));
  ASSERT_TRUE(second->wait_for("node 1 is up", 2));
  finish(*first);
  finish(*second);
  EXPECT_EQ(first->wait(), 0);
  EXPECT_EQ(second->wait(), 0);
}

}  // namespace
}  // namespace ferrun::testing
