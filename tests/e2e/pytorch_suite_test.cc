// What PyTorch's own suites ask of a launcher and of its agents (test/distributed/launcher, test/distributed/elastic),
// asked of ferrun from outside: command lines, worker processes, files, and statuses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/e2e/launcher_run.h"
#include "tests/e2e/nodes_run.h"
#include "tests/peer_python.h"

namespace ferrun {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using Names = std::set<std::string>;
using Words = std::vector<std::string>;

// Each worker leaves a file that is named by its rank; a second worker of the same rank fails.
const Words kCheckIn = {"sh", "-c", "mkdir -p ranks && set -C && : > ranks/$RANK"};

Words operator+(Words left, const Words& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

Names names_in(const std::filesystem::path& folder) {
  Names names;
  if (!std::filesystem::exists(folder)) return names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.insert(entry.path().filename().string());
  return names;
}

Names ranks_below(int count) {
  Names ranks;
  for (int rank = 0; rank < count; ++rank) ranks.insert(std::to_string(rank));
  return ranks;
}

// --- The launcher -------------------------------------------------------------------------------------------------

struct CommandLine {
  const char* name;
  Words options;
  int workers;
  RunningFerrun::Variables variables = {};
};

class PytorchSuiteWorkers : public ::testing::TestWithParam<CommandLine> {};

TEST_P(PytorchSuiteWorkers, RunOncePerRank) {
  const ScratchFolder folder;
  const Finished run = ferrun(folder, GetParam().options + kCheckIn, GetParam().variables);
  EXPECT_EQ(run.code(), 0) << run.err;
  EXPECT_EQ(names_in(folder.path() / "ranks"), ranks_below(GetParam().workers));
}

INSTANTIATE_TEST_SUITE_P(
    CommandLines, PytorchSuiteWorkers,
    ::testing::Values(CommandLine{"ByNumber",
                                  {"--nnodes=1", "--nproc-per-node=4", "--rdzv-id=7", "--monitor-interval=1",
                                   "--start-method=spawn", "--no-python"},
                                  4},
                      CommandLine{"ByDefault", {"--nnodes=1", "--rdzv-id=7", "--no-python"}, 1},
                      CommandLine{
                          "UnderStandalone", {"--nnodes=1", "--nproc-per-node=4", "--standalone", "--no-python"}, 4},
                      CommandLine{"ByEnvironment",
                                  {},
                                  3,
                                  {{"PET_NNODES", "1"},
                                   {"PET_NPROC_PER_NODE", "3"},
                                   {"PET_RDZV_ID", "7"},
                                   {"PET_MONITOR_INTERVAL", "1"},
                                   {"PET_START_METHOD", "spawn"},
                                   {"PET_NO_PYTHON", "1"},
                                   {"PET_MODULE", "0"}}}),
    [](const auto& line) { return line.param.name; });

TEST(PytorchSuite, AutoIsTheNumberOfCoresThatTheLauncherMayUse) {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  ASSERT_EQ(sched_getaffinity(0, sizeof allowed, &allowed), 0);
  for (const char* const word : {"auto", "cpu"}) {
    const ScratchFolder folder;
    const Finished run =
        ferrun(folder, Words{std::string("--nproc-per-node=") + word} + kCheckIn, {{"CUDA_VISIBLE_DEVICES", ""}});
    EXPECT_EQ(run.code(), 0) << run.err;
    EXPECT_EQ(names_in(folder.path() / "ranks"), ranks_below(CPU_COUNT(&allowed))) << word;
  }
}

TEST(PytorchSuite, WhatMakesNoSenseStartsNoWorker) {
  const ScratchFolder folder;
  for (const Words& options : std::vector<Words>{{"--module", "--no-python"},
                                                 {"--nproc-per-node=unknown"},
                                                 {"--nnodes=2:20:30"},
                                                 {"--logs-specs=no_such_name"},
                                                 {"--redirects=0:1,"},
                                                 {"--redirects=11"},
                                                 {"--tee=0:1,1"},
                                                 {"--tee=1,0:1"},
                                                 {"--rdzv-conf=key1,key2=value2"},
                                                 {"--rdzv-conf==value"},
                                                 {"--rdzv-backend=c10d", "--rdzv-endpoint=localhost:-1"},
                                                 {"--rdzv-backend=c10d", "--rdzv-endpoint=localhost:99999"},
                                                 {"--rdzv-backend=c10d", "--rdzv-endpoint=local host:1"}}) {
    const Finished run = ferrun(folder, options + kCheckIn);
    EXPECT_EQ(run.code(), 2) << options[0];
    EXPECT_THAT(split_lines(run.err), SizeIs(1)) << run.err;
    EXPECT_THAT(run.err, HasSubstr(options.back().substr(0, options.back().find('=')))) << "names the option";
  }
  const Finished pet = ferrun(folder, kCheckIn, {{"PET_NO_PYTHON", "1"}, {"PET_MODULE", "1"}});
  EXPECT_EQ(pet.code(), 2);
  EXPECT_THAT(folder.files(), IsEmpty());
}

TEST(PytorchSuite, EveryVariableThatAScriptMayReadIsThere) {
  const ScratchFolder folder;
  const std::string script = R"(
for name in RANK LOCAL_RANK ROLE_RANK ROLE_NAME GROUP_RANK LOCAL_WORLD_SIZE ROLE_WORLD_SIZE WORLD_SIZE \
            GROUP_WORLD_SIZE MASTER_ADDR MASTER_PORT TORCHELASTIC_RESTART_COUNT TORCHELASTIC_MAX_RESTARTS \
            TORCHELASTIC_RUN_ID TORCHELASTIC_USE_AGENT_STORE TORCH_NCCL_ASYNC_ERROR_HANDLING TORCHELASTIC_ERROR_FILE; do
  eval "[ -n \"\$$name\" ]" || echo "$name is missing"
done
for name in TORCHELASTIC_TIMER_FILE TORCHELASTIC_HEALTH_CHECK_PORT; do
  eval "[ -z \"\$$name\" ]" || echo "$name is not asked for"
done
[ "$SENTINEL" = FOOBAR ] || echo "the launcher's own environment is lost")";
  for (const Words& options : std::vector<Words>{{"--standalone"}, {}, {"--max-restarts=3"}}) {
    const Finished run =
        ferrun(folder, options + Words{"--nproc-per-node=2", "sh", "-c", script}, {{"SENTINEL", "FOOBAR"}});
    EXPECT_EQ(run.code(), 0) << run.err;
    EXPECT_EQ(run.out, "");
  }
}

TEST(PytorchSuite, TheStoreIsServedAsLongAsTheJobRunsAndNoLonger) {
  const ScratchFolder folder;
  const std::string port = std::to_string(testing::free_port());
  const std::string dial = "exec 3<>/dev/tcp/$MASTER_ADDR/$MASTER_PORT && echo $MASTER_PORT";
  // A second job at once on the same port: the first one's has been given back.
  for (int job = 0; job < 2; ++job) {
    const Finished run = ferrun(folder, {"--nproc-per-node=2", "--master-addr=localhost", "--master-port=" + port,
                                         "--node-rank=0", "bash", "-c", dial});
    EXPECT_EQ(run.code(), 0) << run.err;
    EXPECT_THAT(split_lines(run.out), ElementsAre(port, port));
  }
  EXPECT_NE(std::system(("bash -c 'exec 3<>/dev/tcp/127.0.0.1/" + port + "' 2> /dev/null").c_str()), 0);
}

TEST(PytorchSuite, AVirtualLocalRankSeesOneDeviceOfThoseThatWereChosen) {
  const ScratchFolder folder;
  const Finished run = ferrun(folder,
                              {"--nproc-per-node=2", "--virtual-local-rank", "sh", "-c",
                               "echo $RANK: local $LOCAL_RANK of $LOCAL_WORLD_SIZE, $CUDA_VISIBLE_DEVICES"},
                              {{"CUDA_VISIBLE_DEVICES", "4,7"}});
  EXPECT_THAT(sorted_lines(run.out), ElementsAre("0: local 0 of 2, 4", "1: local 0 of 2, 7")) << run.err;
}

// --- Processes and their output ------------------------------------------------------------------------------------

TEST(PytorchSuite, ACodeAbove128IsACodeAndOnlyTheRedirectedRankHasFiles) {
  const ScratchFolder folder;
  const Finished run = ferrun(folder, {"--nproc-per-node=2", "--log-dir=logs", "--redirects=0:3", "sh", "-c",
                                       "[ $RANK = 1 ] && exit 0; echo exit 138 from 0 >&2; exit 138"});
  EXPECT_EQ(run.code(), 138);
  EXPECT_THAT(run.err, AllOf(HasSubstr("exited with code 138"), Not(HasSubstr("SIGUSR1"))));
  EXPECT_EQ(folder.read_one("attempt_0/0/stderr.log"), "exit 138 from 0\n");
  for (const std::string& file : folder.files()) EXPECT_THAT(file, Not(HasSubstr("attempt_0/1/std")));
}

TEST(PytorchSuite, ASignalIsNamedInTorchrunsReportWithTheWorkersPid) {
  for (const int signal : {SIGKILL, SIGTERM, SIGSEGV}) {
    const ScratchFolder folder;
    const Finished run = ferrun(
        folder, {"--nproc-per-node=2", "--report=torchrun", "--exit-code=torchrun", "sh", "-c",
                 "[ $RANK = 1 ] || exec sleep 600; ulimit -c 0; echo $$; kill -" + std::to_string(signal) + " $$"});
    EXPECT_EQ(run.code(), 1);
    const std::string pid = run.out.substr(0, run.out.find('\n'));
    EXPECT_THAT(run.err, HasSubstr("Signal " + std::to_string(signal) + " (" + signal_name(signal) +
                                   ") received by PID " + pid));
    EXPECT_THAT(run.err, HasSubstr("exitcode  : -" + std::to_string(signal) + " (pid: " + pid + ")"));
  }
}

TEST(PytorchSuite, RedirectsAndTeesAreChosenForEachRankAndStream) {
  const ScratchFolder folder;
  const Finished run = ferrun(folder, {"--nproc-per-node=2", "--log-dir=logs", "--redirects=0:2", "--tee=0:1,1:2",
                                       "--role=trainer", "sh", "-c", "echo out $RANK; echo err $RANK >&2"});
  EXPECT_EQ(run.code(), 0) << run.err;
  EXPECT_THAT(sorted_lines(run.out), ElementsAre("[trainer0]:out 0", "out 1"));
  EXPECT_THAT(sorted_lines(run.err), ElementsAre("[trainer1]:err 1"));
  EXPECT_EQ(folder.read_one("0/stdout.log"), "out 0\n");
  EXPECT_EQ(folder.read_one("0/stderr.log"), "err 0\n");
  EXPECT_EQ(folder.read_one("1/stderr.log"), "err 1\n");
  for (const std::string& file : folder.files()) EXPECT_FALSE(file.ends_with("1/stdout.log")) << file;
}

TEST(PytorchSuite, AFileHoldsWhatTheWorkersChildrenWriteToo) {
  const ScratchFolder folder;
  const Finished run =
      ferrun(folder, {"--log-dir=logs", "--redirects=3", "sh", "-c",
                      "echo own; sh -c 'echo child; echo complaint >&2'; (echo grandchild); echo end"});
  EXPECT_EQ(run.out + run.err, "");
  EXPECT_EQ(folder.read_one("0/stdout.log"), "own\nchild\ngrandchild\nend\n");
  EXPECT_EQ(folder.read_one("0/stderr.log"), "complaint\n");
}

TEST(PytorchSuite, EveryLineOfManyWritersIsTeedBehindItsPrefix) {
  const ScratchFolder folder;
  const Finished run =
      ferrun(folder, {"--nproc-per-node=32", "--log-dir=logs", "--tee=1", "--role=writer", "seq", "1000"});
  EXPECT_EQ(run.code(), 0) << run.err;
  std::map<std::string, std::vector<std::string>> by_prefix;
  for (const std::string& line : split_lines(run.out)) {
    const size_t colon = line.find(':');
    ASSERT_NE(colon, std::string::npos) << line;
    by_prefix[line.substr(0, colon)].push_back(line.substr(colon + 1));
  }
  ASSERT_THAT(by_prefix, SizeIs(32));
  std::vector<std::string> expected;
  for (int number = 1; number <= 1000; ++number) expected.push_back(std::to_string(number));
  for (int rank = 0; rank < 32; ++rank) EXPECT_EQ(by_prefix["[writer" + std::to_string(rank) + "]"], expected) << rank;
}

TEST(PytorchSuite, OnlyTheRanksOfTheFilterAreTeedAndAllHaveFiles) {
  const ScratchFolder folder;
  const Finished run = ferrun(folder, {"--nproc-per-node=4", "--log-dir=logs", "--tee=3", "--local-ranks-filter=0,2",
                                       "sh", "-c", "echo out $RANK; echo err $RANK >&2"});
  EXPECT_THAT(sorted_lines(run.out), ElementsAre("[default0]:out 0", "[default2]:out 2"));
  EXPECT_THAT(sorted_lines(run.err), ElementsAre("[default0]:err 0", "[default2]:err 2"));
  EXPECT_EQ(folder.read_one("1/stdout.log"), "out 1\n");
  EXPECT_EQ(folder.read_one("3/stderr.log"), "err 3\n");
}

TEST(PytorchSuite, TwoJobsOfOneNameShareALogFolder) {
  const ScratchFolder folder;
  for (const char* const word : {"first", "second"}) {
    const Finished run = ferrun(folder, {"--log-dir=logs", "--rdzv-id=job", "--redirects=1", "echo", word});
    EXPECT_EQ(run.code(), 0) << run.err;
  }
  Names found;
  for (const std::string& file : folder.files()) {
    if (file.ends_with("attempt_0/0/stdout.log") && !file.starts_with("logs/latest")) found.insert(folder.read(file));
  }
  EXPECT_EQ(found, (Names{"first\n", "second\n"}));
}

// --- Failures ------------------------------------------------------------------------------------------------------

// As torch's recorder writes it, at a time of one's own.
const char* const kRecorder = R"(
record() { echo "{\"message\": {\"message\": \"$1\", \"extraInfo\": {\"py_callstack\": \"stack\", \"timestamp\": \"$2\"}}}" \
  > $TORCHELASTIC_ERROR_FILE; }
)";

TEST(PytorchSuite, TheFirstFailureIsThatOfTheEarliestErrorFileAndReachesTheReplyFile) {
  const ScratchFolder folder;
  const std::string script = std::string(kRecorder) + R"(
record "sad $RANK" $((1700000000 - RANK))
: > there.$RANK
while [ ! -e there.0 ] || [ ! -e there.1 ]; do sleep 0.01; done
exit 1)";
  const Finished run = ferrun(folder, {"--nproc-per-node=2", "sh", "-c", script},
                              {{"TORCHELASTIC_ERROR_FILE", (folder.path() / "reply.json").string()}});
  EXPECT_EQ(run.code(), 1);
  const auto reply = nlohmann::json::parse(folder.read("reply.json"));
  EXPECT_EQ(reply["message"]["message"], "sad 1") << run.err;
  EXPECT_EQ(reply["message"]["extraInfo"]["timestamp"], "1699999999");
  EXPECT_EQ(reply["message"]["errorCode"], 1);
}

TEST(PytorchSuite, AnErrorFileOfAnEarlierAttemptIsNotTheLastOnesCause) {
  const ScratchFolder folder;
  const std::string script =
      std::string(kRecorder) + "[ $TORCHELASTIC_RESTART_COUNT = 0 ] && record early 1700000000; exit 3";
  const Finished run = ferrun(folder, {"--max-restarts=1", "sh", "-c", script},
                              {{"TORCHELASTIC_ERROR_FILE", (folder.path() / "reply.json").string()}});
  EXPECT_EQ(run.code(), 3);
  EXPECT_THAT(folder.read("reply.json"), Not(HasSubstr("early")));
}

TEST(PytorchSuite, TheOthersAreNotWaitedForWhenOneFails) {
  const ScratchFolder folder;
  const auto begin = std::chrono::steady_clock::now();
  const Finished run =
      ferrun(folder, {"--nproc-per-node=4", "sh", "-c", "[ $((RANK % 2)) = 0 ] && exec sleep 600; exit 1"});
  EXPECT_EQ(run.code(), 1);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30));
}

TEST(PytorchSuite, ARankThatIsKilledOnceIsStartedAgainWithAllOthers) {
  const ScratchFolder folder;
  const Finished run = ferrun(folder, {"--nproc-per-node=2", "--max-restarts=2", "sh", "-c",
                                       "[ $RANK$TORCHELASTIC_RESTART_COUNT = 10 ] && kill -9 $$; "
                                       "[ $TORCHELASTIC_RESTART_COUNT = 0 ] && exec sleep 600; "
                                       "echo $RANK $TORCHELASTIC_RESTART_COUNT of $TORCHELASTIC_MAX_RESTARTS"});
  EXPECT_EQ(run.code(), 0) << run.err;
  EXPECT_THAT(sorted_lines(run.out), ElementsAre("0 1 of 2", "1 1 of 2"));
}

// A debugger, a full disk or a container's pause: a worker that stands still counts as alive, and is no obstacle when
// its group is stopped, at the first attempt and at the next.
TEST(PytorchSuite, AFrozenWorkerIsReplacedWithItsGroup) {
  const ScratchFolder folder;
  const Finished run =
      ferrun(folder, {"--nproc-per-node=3", "--max-restarts=2", "--shutdown-timeout=3600", "sh", "-c", R"(
n=$TORCHELASTIC_RESTART_COUNT
[ $n = 2 ] && { echo $RANK; exit 0; }
if [ $RANK = 0 ]; then
  while [ ! -e pid.$n.1 ] || [ ! -e pid.$n.2 ]; do sleep 0.01; done
  for pid in $(cat pid.$n.1) $(cat pid.$n.2); do
    until grep -q '^State:.T' /proc/$pid/status; do sleep 0.01; done
  done
  exit 9
fi
echo $$ > new.$RANK; mv new.$RANK pid.$n.$RANK
trap '' TERM
sleep 600 &
kill -STOP $!
kill -STOP $$)"});
  EXPECT_EQ(run.code(), 0) << run.err;
  EXPECT_THAT(sorted_lines(run.out), ElementsAre("0", "1", "2"));
}

// --- Several agents ------------------------------------------------------------------------------------------------

class PytorchSuiteAgents : public testing::Nodes {
 protected:
  Names ranks() const { return names_in(file("ranks")); }
  const Words check_in_ = shell("mkdir -p $DIR/ranks && set -C && : > $DIR/ranks/$RANK");
};

TEST_F(PytorchSuiteAgents, OfAnElasticJobAreOneGroup) {
  const Words options = {"--nproc-per-node=4", "--rdzv-backend=c10d", "--rdzv-conf=timeout=30", "--rdzv-id=job"};
  const auto first = agent("1:2", options, check_in_);
  const auto second = agent("1:2", options, check_in_);
  EXPECT_EQ(first->wait(), ExitStatus::exited(0)) << first->err();
  EXPECT_EQ(second->wait(), ExitStatus::exited(0)) << second->err();
  EXPECT_EQ(ranks(), ranks_below(8));
}

// Only the least number of nodes comes; the quotes belong to the value.
TEST_F(PytorchSuiteAgents, OfTheLeastNumberThatMayComeStartWithoutTheOthers) {
  const auto only = agent("1:2",
                          {"--nproc-per-node=4", "--rdzv-backend=c10d", "--rdzv-id=job",
                           "--rdzv-conf='join_timeout=5,last_call_timeout=1,timeout=5'"},
                          check_in_);
  EXPECT_EQ(only->wait(), ExitStatus::exited(0)) << only->err();
  EXPECT_EQ(ranks(), ranks_below(4));
}

TEST_F(PytorchSuiteAgents, PrefixTheirLinesWithWhatTheTemplateNames) {
  const Words options = {"--nproc-per-node=2", "--rdzv-id=job", "--role=sum", "--redirect=3", "--tee=3"};
  const Words variables = {"TORCHELASTIC_LOG_LINE_PREFIX_TEMPLATE=[${role_name}-${local_rank}:${rank}]:"};
  const auto first = agent("2", options + Words{"--node-rank=0"}, shell("echo hello"), variables);
  const auto second = agent("2", options + Words{"--node-rank=1"}, shell("echo hello"), variables);
  EXPECT_EQ(first->wait(), ExitStatus::exited(0)) << first->err();
  EXPECT_EQ(second->wait(), ExitStatus::exited(0)) << second->err();
  EXPECT_THAT(sorted_lines(first->out()), ElementsAre("[sum-0:0]:hello", "[sum-1:1]:hello"));
  EXPECT_THAT(sorted_lines(second->out()), ElementsAre("[sum-0:2]:hello", "[sum-1:3]:hello"));
}

TEST_F(PytorchSuiteAgents, MeetAtAnAddressOfTheSixthVersion) {
  if (std::system("bash -c 'exec 3<>/dev/udp/::1/9' 2> /dev/null") != 0) GTEST_SKIP() << "no IPv6 here";
  const Words options = {"--nnodes=2", "--rdzv-backend=c10d", "--rdzv-endpoint=[::1]:" + std::to_string(port),
                         "--rdzv-id=job"};
  const auto first = ferrun(options + check_in_);
  const auto second = ferrun(options + check_in_);
  EXPECT_EQ(first->wait(), ExitStatus::exited(0)) << first->err();
  EXPECT_EQ(second->wait(), ExitStatus::exited(0)) << second->err();
  EXPECT_EQ(ranks(), ranks_below(2));
}

// One is ready long before the other: the store is there until the last worker has ended.
TEST_F(PytorchSuiteAgents, DriftApartAndStillEndWellTogether) {
  const Words options = {"--rdzv-id=job"};
  const Words slow =
      shell("while [ ! -e $DIR/go ]; do sleep 0.02; done; exec bash -c ': <>/dev/tcp/$MASTER_ADDR/$MASTER_PORT'");
  const auto first = agent("2", options + Words{"--node-rank=0"}, shell(": > $DIR/early"));
  const auto second = agent("2", options + Words{"--node-rank=1"}, slow);
  ASSERT_TRUE(eventually_exists("early"));
  touch("go");
  EXPECT_EQ(second->wait(), ExitStatus::exited(0)) << second->err();
  EXPECT_EQ(first->wait(), ExitStatus::exited(0)) << first->err();
}

TEST_F(PytorchSuiteAgents, EndAllWithTheFailureOfOneOfThemAndLeaveNobody) {
  const Words options = {"--nproc-per-node=2", "--rdzv-id=job", "--max-restarts=1"};
  const Words worker = shell("[ $RANK = 3 ] && exit 17; exec sleep 600");
  const auto first = agent("2", options + Words{"--node-rank=0"}, worker);
  const auto second = agent("2", options + Words{"--node-rank=1"}, worker);
  EXPECT_EQ(first->wait(), ExitStatus::exited(17)) << first->err();
  EXPECT_EQ(second->wait(), ExitStatus::exited(17)) << second->err();
  EXPECT_THAT(marker.processes(), IsEmpty());
}

// --- The store -----------------------------------------------------------------------------------------------------

TEST(PytorchSuite, TheStoreAnswersTorchsClientsAsPytorchsSuitesAsk) {
  FERRUN_NEEDS_PEER();
  const ScratchFolder folder;
  const Finished run = ferrun(folder, {"--nproc-per-node=2", FERRUN_SOURCE_DIR "/tests/e2e/launcher_peer/store.py"},
                              {{"PYTHON_EXEC", peer_python()}, {"TORCH_CPP_LOG_LEVEL", "FATAL"}},
                              std::chrono::seconds(400));  // two Pythons that load torch on a busy machine
  EXPECT_EQ(run.code(), 0) << run.err;
  EXPECT_THAT(sorted_lines(run.out), ElementsAre("asked 65", "asked 8"));
}

}  // namespace
}  // namespace ferrun
