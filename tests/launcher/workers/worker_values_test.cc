// What a worker is given: environment, arguments, log files, prefixes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launcher/logs/log_layout.h"
#include "launcher/logs/text_template.h"
#include "launcher/workers/worker_environment.h"
#include "tests/launcher/config/host_fixture.h"

namespace ferrun {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;

class WorkerValuesTest : public ::testing::Test {
 protected:
  WorkerValuesTest() { host_.program("/usr/bin/prog"); }

  JobConfig make(std::vector<std::string> words, const std::vector<std::string>& arguments = {}) {
    words.push_back("prog");
    words.insert(words.end(), arguments.begin(), arguments.end());
    const Result<CommandLine> line = parse_command_line(words, host_.facts().environment);
    EXPECT_TRUE(line.ok());
    const Result<JobConfig> config = make_job_config(*line, host_.facts());
    EXPECT_TRUE(config.ok());
    return *config;
  }

  static WorkerPlace place(int local_rank, const Assignment& assignment, uint16_t port = 1,
                           const std::string& error_file = "") {
    return {assignment.restart_count, local_rank, assignment, {"127.0.0.1", port}, "", error_file};
  }

  FakeHost host_;
};

TEST_F(WorkerValuesTest, TheEnvironmentIsTorchruns) {
  host_.variable("HOME", "/home/me").variable("RANK", "7").variable("MASTER_ADDR", "pod-0").variable("WORLD_SIZE", "9");
  const JobConfig config = make({"--nproc-per-node=4", "--max-restarts=3", "--rdzv-id=job", "--role=trainer"});
  const Environment environment = worker_environment(config, place(3, whole_job(4, 2), 23450, "/logs/3/error.json"));
  const std::map<std::string, std::string> expected = {
      {"RANK", "3"},
      {"LOCAL_RANK", "3"},
      {"GROUP_RANK", "0"},
      {"ROLE_RANK", "3"},
      {"ROLE_NAME", "trainer"},
      {"LOCAL_WORLD_SIZE", "4"},
      {"WORLD_SIZE", "4"},
      {"GROUP_WORLD_SIZE", "1"},
      {"ROLE_WORLD_SIZE", "4"},
      {"MASTER_ADDR", "127.0.0.1"},
      {"MASTER_PORT", "23450"},
      {"TORCHELASTIC_RESTART_COUNT", "2"},
      {"TORCHELASTIC_MAX_RESTARTS", "3"},
      {"TORCHELASTIC_RUN_ID", "job"},
      {"TORCHELASTIC_USE_AGENT_STORE", "True"},
      {"TORCHELASTIC_ERROR_FILE", "/logs/3/error.json"},
      {"TORCH_NCCL_ASYNC_ERROR_HANDLING", "1"},
      {"OMP_NUM_THREADS", "1"},
      {"FERRUN_LAUNCH_ID", config.launch_id},
      {"FERRUN_LAUNCH_DIR", config.output.base.string() + "/launch"},
      {"FERRUN_ROUND", "3"},
      {"FERRUN_SHUTDOWN_TIMEOUT", "30"},
      {"HOME", "/home/me"},
      {"TORCHELASTIC_SIGNALS_TO_HANDLE", "SIGTERM,SIGINT,SIGHUP,SIGQUIT"},
      {"PATH", "/usr/bin:/opt/bin"}};
  EXPECT_THAT(environment.variables(), ::testing::ElementsAreArray(expected));
}

TEST_F(WorkerValuesTest, ANodeOfSeveralCountsFromItsAssignment) {
  const JobConfig config = make({"--nproc-per-node=4", "--role=trainer"});
  WorkerPlace second = place(3, {{1, 7}, 1, 3, 8, 20, 2, 6, 5}, 29500);
  second.attempt = 2;
  second.store.host = "10.0.0.1";
  second.launch_id = "of-the-job";
  const Environment environment = worker_environment(config, second);
  const std::map<std::string, std::string> expected = {{"RANK", "11"},
                                                       {"LOCAL_RANK", "3"},
                                                       {"GROUP_RANK", "1"},
                                                       {"ROLE_RANK", "5"},
                                                       {"WORLD_SIZE", "20"},
                                                       {"LOCAL_WORLD_SIZE", "4"},
                                                       {"GROUP_WORLD_SIZE", "3"},
                                                       {"ROLE_WORLD_SIZE", "6"},
                                                       {"MASTER_PORT", "29500"},
                                                       {"MASTER_ADDR", "10.0.0.1"},
                                                       {"FERRUN_LAUNCH_ID", "of-the-job"},
                                                       {"FERRUN_ROUND", "7"},
                                                       {"TORCHELASTIC_RESTART_COUNT", "5"}};
  for (const auto& [name, value] : expected) EXPECT_EQ(environment.get(name), value) << name;
  EXPECT_EQ(spawn_request(config, second).attempt, 2);
}

TEST_F(WorkerValuesTest, TheLaunchIdIsTheSameInEveryAttempt) {
  const JobConfig config = make({"--nproc-per-node=2"});
  EXPECT_EQ(worker_environment(config, place(0, whole_job(2, 0))).get("FERRUN_LAUNCH_ID"),
            worker_environment(config, place(1, whole_job(2, 5))).get("FERRUN_LAUNCH_ID"));
}

TEST_F(WorkerValuesTest, AVirtualLocalRankIsZeroWithItsOwnDevice) {
  host_.variable("CUDA_VISIBLE_DEVICES", "4,6");
  const JobConfig config = make({"--nproc-per-node=2", "--virtual-local-rank"});
  const Environment environment = worker_environment(config, place(1, whole_job(2, 0)));
  EXPECT_EQ(environment.get("LOCAL_RANK"), "0");
  EXPECT_EQ(environment.get("RANK"), "1");
  EXPECT_EQ(environment.get("CUDA_VISIBLE_DEVICES"), "6");
}

TEST_F(WorkerValuesTest, ArgumentsAreUntouchedUnlessExpansionIsAskedFor) {
  const std::vector<std::string> arguments = {"$local_rank", "a$$b", "--x=${local_rank}", "two words"};
  EXPECT_THAT(spawn_request(make({}, arguments), place(3, whole_job(4, 0))).argv,
              ElementsAre("/usr/bin/prog", "$local_rank", "a$$b", "--x=${local_rank}", "two words"));
  EXPECT_THAT(spawn_request(make({"--expand"}, arguments), place(3, whole_job(4, 0))).argv,
              ElementsAre("/usr/bin/prog", "3", "a$b", "--x=3", "two words"));
}

TEST_F(WorkerValuesTest, ALocalRankGoesBeforeTheProgramsOwnArguments) {
  JobConfig config = make({}, {"--lr", "1"});
  config.pass_local_rank = true;
  EXPECT_THAT(spawn_request(config, place(3, whole_job(4, 0))).argv,
              ElementsAre("/usr/bin/prog", "--local-rank=3", "--lr", "1"));
}

TEST_F(WorkerValuesTest, TellsWhoServesTheStore) {
  JobConfig config = make({});
  config.serves_store = false;
  EXPECT_EQ(worker_environment(config, place(0, whole_job(1, 0))).get("TORCHELASTIC_USE_AGENT_STORE"), "False");
}

TEST(SafeSubstitute, ReplacesWhatItKnowsAndKeepsTheRest) {
  const std::vector<TemplateValue> values = {{"local_rank", "3"}, {"rank", "5"}};
  const auto expand = [&values](std::string_view text) { return safe_substitute(text, values); };
  EXPECT_EQ(expand("$local_rank.${rank}"), "3.5");
  EXPECT_EQ(expand("$local_ranks ${local_ranks} $other"), "$local_ranks ${local_ranks} $other");
  EXPECT_EQ(expand("$$ $$rank $"), "$ $rank $");
  EXPECT_EQ(expand("${rank ${} $1 $-"), "${rank ${} $1 $-");
  EXPECT_EQ(expand(""), "");
}

TEST_F(WorkerValuesTest, LogFilesLieInTorchrunsTree) {
  const JobConfig config =
      make({"--nproc-per-node=2", "--log-dir=/logs", "--rdzv-id=job", "--redirects=0:3,1:2", "--tee=1:1"});
  const std::filesystem::path folder = job_folder(config.output);
  EXPECT_EQ(folder.parent_path(), "/logs");
  EXPECT_THAT(folder.filename().string(), ::testing::MatchesRegex("job_[a-z0-9]{8}"));
  const WorkerLogPlan first = worker_log_plan(config, 4, 0);
  EXPECT_EQ(first.out.file, folder / "attempt_4/0/stdout.log");
  EXPECT_EQ(first.err.file, folder / "attempt_4/0/stderr.log");
  EXPECT_FALSE(first.out.tee);
  EXPECT_EQ(first.error_file, folder / "attempt_4/0/error.json");
  const WorkerLogPlan second = worker_log_plan(config, 4, 1);
  EXPECT_EQ(second.out.file, folder / "attempt_4/1/stdout.log");
  EXPECT_TRUE(second.out.tee);
  EXPECT_EQ(second.out.prefix, "[default1]:");
  EXPECT_TRUE(second.err.file);
  EXPECT_FALSE(second.err.tee);
}

TEST_F(WorkerValuesTest, WithoutRedirectsStreamsAreInherited) {
  const WorkerLogPlan plan = worker_log_plan(make({}), 0, 0);
  EXPECT_TRUE(plan.out.inherited());
  EXPECT_TRUE(plan.err.inherited());
}

TEST_F(WorkerValuesTest, AnErrorFileLiesWithTheLogsOrBesideTheOthers) {
  const auto place = [this](const std::vector<std::string>& words) {
    const JobConfig config = make(words);
    return worker_log_plan(config, 3, 1).error_file.lexically_relative(job_folder(config.output)).string();
  };
  EXPECT_EQ(place({"--nproc-per-node=2"}), "attempt_3_1_error.json");
  EXPECT_EQ(place({"--nproc-per-node=2", "--log-dir=logs"}), "attempt_3/1/error.json");
}

TEST_F(WorkerValuesTest, APythonScriptsErrorFileLiesInAFolderOfItsRank) {
  const JobConfig config = make({"--nproc-per-node=2", "--module"});
  const std::filesystem::path file = worker_log_plan(config, 3, 1).error_file;
  EXPECT_EQ(file.lexically_relative(config.output.base), "attempt_3/1/error.json");
  EXPECT_EQ(worker_folder(config.output, 3, 1), file.parent_path());
}

TEST_F(WorkerValuesTest, WithoutALogFolderNothingIsWritten) {
  const WorkerLogPlan plan = worker_log_plan(make({"--log-dir=/dev/null", "--redirects=1", "--tee=2"}), 0, 0);
  EXPECT_EQ(plan.out.file, "/dev/null");
  EXPECT_FALSE(plan.err.file);
  EXPECT_TRUE(plan.err.tee);
  EXPECT_TRUE(plan.error_file.empty());
}

TEST_F(WorkerValuesTest, TheConsoleFilterHidesRanksButKeepsTheirFiles) {
  const JobConfig config = make({"--nproc-per-node=3", "--local-ranks-filter=1", "--tee=0:3,1:3"});
  EXPECT_TRUE(worker_log_plan(config, 0, 0).out.file);
  EXPECT_FALSE(worker_log_plan(config, 0, 0).out.tee);
  EXPECT_TRUE(worker_log_plan(config, 0, 1).out.tee);
  EXPECT_EQ(worker_log_plan(config, 0, 2).out.file, "/dev/null");
}

TEST_F(WorkerValuesTest, ThePrefixComesFromOptionThenVariableThenDefault) {
  EXPECT_EQ(line_prefix(make({"--role=tr"}), 2), "[tr2]:");
  host_.variable("TORCHELASTIC_LOG_LINE_PREFIX_TEMPLATE", "${hostname}/$rank ");
  EXPECT_EQ(line_prefix(make({}), 2), "node7/2 ");
  EXPECT_EQ(line_prefix(make({}), 2, 8), "node7/10 ") << "of a node of several";
  EXPECT_EQ(line_prefix(make({"--log-line-prefix-template=<${local_rank}> $x"}), 2), "<2> $x");
}

TEST_F(WorkerValuesTest, GlooIsToldTheInterfaceThatLeadsToTheOthersUnlessTheUserHas) {
  WorkerPlace one = place(0, whole_job(1, 0));
  one.interface = "eth1";
  EXPECT_EQ(worker_environment(make({}), one).get("GLOO_SOCKET_IFNAME"), "eth1");
  EXPECT_EQ(worker_environment(make({}), place(0, whole_job(1, 0))).get("GLOO_SOCKET_IFNAME"), std::nullopt);
  host_.variable("GLOO_SOCKET_IFNAME", "ib0");
  EXPECT_EQ(worker_environment(make({}), one).get("GLOO_SOCKET_IFNAME"), "ib0");
}

TEST_F(WorkerValuesTest, ThePrefixNamesTheRankInTheWholeJob) {
  const JobConfig config = make({"--nproc-per-node=2", "--tee=3", "--log-line-prefix-template=${local_rank}/${rank} "});
  EXPECT_EQ(worker_log_plan(config, 0, 1, 4).out.prefix, "1/5 ");
}

}  // namespace
}  // namespace ferrun
