#include "launcher/config/job_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "launcher/config/describe.h"
#include "launcher/config/descriptors.h"
#include "launcher/workers/worker_environment.h"
#include "tests/launcher/config/host_fixture.h"

namespace ferrun {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

WorkerPlace second_of_two() {
  WorkerPlace place;
  place.local_rank = 1;
  place.assignment = whole_job(2, 0);
  return place;
}

class JobConfigTest : public ::testing::Test {
 protected:
  JobConfigTest() { host_.program("/usr/bin/prog").fork_point("/usr/bin/forker"); }

  Result<JobConfig> make(std::vector<std::string> words) {
    words.push_back("prog");
    return make_from(words);
  }
  Result<JobConfig> make_from(const std::vector<std::string>& words) {
    const Result<CommandLine> line = parse_command_line(words, host_.facts().environment);
    if (!line) return line.error();
    return make_job_config(*line, host_.facts());
  }
  std::string refusal(const std::vector<std::string>& words) {
    const Result<JobConfig> config = make(words);
    return config ? "accepted" : config.error().message;
  }

  FakeHost host_;
};

TEST_F(JobConfigTest, HasDefaultsForEverything) {
  const auto config = make({});
  ASSERT_TRUE(config);
  EXPECT_EQ(config->workers, 1);
  EXPECT_EQ(config->role, "default");
  EXPECT_EQ(config->max_restarts, 0);
  EXPECT_EQ(config->stop.shutdown_timeout, std::chrono::seconds(30));
  EXPECT_THAT(config->stop.signals, ElementsAre(SIGTERM, SIGINT, SIGHUP, SIGQUIT));
  EXPECT_EQ(config->start_method, StartMethod::kSpawn);
  EXPECT_EQ(config->meeting.master_addr, "127.0.0.1");
  EXPECT_EQ(config->meeting.listen_address, "127.0.0.1");
  EXPECT_EQ(config->meeting.port, 0);
  EXPECT_THAT(config->run_id, MatchesRegex("[0-9a-f-]{36}"));
  EXPECT_EQ(config->launch_id, "20261123T183455-23456789");
  EXPECT_TRUE(config->output.temporary);
  EXPECT_THAT(config->output.base.string(), MatchesRegex("/tmp/ferrun_[a-z0-9]{8}"));
  EXPECT_EQ(config->log_level, LogLevel::kWarning);
  EXPECT_THAT(config->warnings, IsEmpty());
}

TEST_F(JobConfigTest, CountsWorkersAsAsked) {
  EXPECT_EQ(make({"--nproc-per-node=3"})->workers, 3);
  EXPECT_EQ(make({"--nproc-per-node= +3 "})->workers, 3);
  EXPECT_EQ(make({"--nproc-per-node=cpu"})->workers, 6);
  EXPECT_EQ(make({"--nproc-per-node=auto"})->workers, 6);
  EXPECT_EQ(refusal({"--nproc-per-node=gpu"}),
            "--nproc-per-node=gpu: CUDA would see no device: no NVIDIA driver is loaded on this machine");
  host_.gpus({"GPU-a", "GPU-b"});
  EXPECT_EQ(make({"--nproc-per-node=gpu"})->workers, 2);
  EXPECT_EQ(make({"--nproc-per-node=auto"})->workers, 2);
  host_.variable("CUDA_VISIBLE_DEVICES", "1");
  EXPECT_EQ(make({"--nproc-per-node=gpu"})->workers, 1);
  host_.variable("CUDA_VISIBLE_DEVICES", "");
  EXPECT_THAT(refusal({"--nproc-per-node=gpu"}), HasSubstr("CUDA_VISIBLE_DEVICES= leaves none of the 2 devices"));
  EXPECT_EQ(make({"--nproc-per-node=auto"})->workers, 6);
  host_.gpus({});
  EXPECT_THAT(refusal({"--nproc-per-node=gpu"}), HasSubstr("the NVIDIA driver offers no device"));
}

TEST_F(JobConfigTest, NamesTheBadValueAndItsOrigin) {
  EXPECT_EQ(refusal({"--max-restarts=abc"}), "--max-restarts=abc: expected a whole number, 0 or more");
  EXPECT_THAT(refusal({"--max-restarts=-1"}), HasSubstr("0 or more"));
  EXPECT_THAT(refusal({"--max-restarts=99999999999"}), HasSubstr("0 or more"));
  EXPECT_THAT(refusal({"--nproc-per-node=0"}), StartsWith("--nproc-per-node=0: expected a number from 1"));
  EXPECT_THAT(refusal({"--nproc-per-node=two"}), HasSubstr("expected a number, auto, cpu or gpu"));
  EXPECT_THAT(refusal({"--monitor-interval=0"}), HasSubstr("expected seconds, more than 0"));
  EXPECT_THAT(refusal({"--monitor-interval=soon"}), HasSubstr("expected seconds, more than 0"));
  EXPECT_THAT(refusal({"--shutdown-timeout=-1"}), HasSubstr("expected whole seconds"));
  EXPECT_THAT(refusal({"--start-method=clone"}), HasSubstr("expected spawn, fork or forkserver"));
  EXPECT_THAT(refusal({"--redirects=4"}), HasSubstr("expected 0, 1, 2 or 3"));
  EXPECT_THAT(refusal({"--tee=x"}), StartsWith("--tee=x: expected 0, 1, 2 or 3"));
  EXPECT_THAT(refusal({"--local-ranks-filter=x"}), HasSubstr("expected local ranks"));
  EXPECT_THAT(refusal({"--exit-code=9"}), HasSubstr("expected cause or torchrun"));
  EXPECT_THAT(refusal({"--nnodes=1:2:3"}), HasSubstr("expected N or MIN:MAX"));
  EXPECT_THAT(refusal({"--node-rank=one"}), HasSubstr("expected a whole number"));
  EXPECT_THAT(refusal({"--node-rank=1", "--master-port=23450"}), HasSubstr("rank 0; --nnodes says"));
  EXPECT_THAT(refusal({"--node-rank=1", "--rdzv-endpoint=node0:29500"}), HasSubstr("rank 0; --nnodes says"));
  host_.variable("PET_MAX_RESTARTS", "abc");
  EXPECT_EQ(refusal({}), "PET_MAX_RESTARTS=abc: expected a whole number, 0 or more");
  host_.variable("PET_MAX_RESTARTS", "");
  EXPECT_EQ(refusal({}), "PET_MAX_RESTARTS=: expected a whole number, 0 or more");
}

TEST_F(JobConfigTest, RankZeroServesTheStoreWhereTorchrunsAgentDoesNotShareItsOwn) {
  EXPECT_TRUE(make({"--standalone"})->serves_store);
  host_.variable("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1");
  EXPECT_FALSE(make({"--standalone"})->serves_store);
  EXPECT_FALSE(make({"--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0"})->serves_store);
  EXPECT_TRUE(make({})->serves_store) << "the static backend's store is always the agent's";
  EXPECT_THAT(refusal({"--nnodes=2", "--rdzv-backend=c10d", "--rdzv-endpoint=localhost", "--master-port=23450"}),
              HasSubstr("rank 0 cannot serve the store at port 23450, where the agents meet"));
}

TEST_F(JobConfigTest, SaysWhichVariablesOfTorchrunsAgentDoNothing) {
  host_.variable("TORCHELASTIC_HEALTH_CHECK_PORT", "8080").variable("TORCH_ELASTIC_WORKER_IDENTICAL", "1");
  const auto config = make({});
  EXPECT_THAT(config->warnings, ElementsAre("TORCHELASTIC_HEALTH_CHECK_PORT is ignored: ferrun listens for no health "
                                            "checks; ferrun status tells how a job is"));
  EXPECT_THAT(config->notes, ::testing::Contains(HasSubstr("TORCH_ELASTIC_WORKER_IDENTICAL=1 saves nothing")));
}

TEST_F(JobConfigTest, LaunchesAsTheModuleOfThatNameDoes) {
  const auto launch = [this](const std::vector<std::string>& words) {
    const Result<CommandLine> line = parse_command_line(words, host_.facts().environment, Verb::kLaunch);
    return line ? make_job_config(*line, host_.facts()) : Result<JobConfig>(line.error());
  };
  EXPECT_TRUE(launch({"--nproc_per_node=2", "prog", "x"})->pass_local_rank);
  EXPECT_FALSE(launch({"--use_env", "prog"})->pass_local_rank);
  EXPECT_EQ(launch({"--no-python", "prog"}).error().message,
            "ferrun launch --no-python needs --use-env, as torch.distributed.launch does");
  EXPECT_TRUE(launch({"--no-python", "--use-env", "prog"}));
  const auto forked = launch({"--start-method=fork", "forker"});
  EXPECT_EQ(forked->start_method, StartMethod::kSpawn);
  EXPECT_THAT(forked->warnings, ElementsAre(HasSubstr("cannot be forked; they are spawned")));
  EXPECT_EQ(refusal({"--use-env"}), "unknown option --use-env");
}

TEST_F(JobConfigTest, RecordsEventsWhereItIsAskedTo) {
  EXPECT_FALSE(make({})->events.console);
  EXPECT_FALSE(make({"--event-log-handler=null"})->events.console);
  const auto config = make({"--event-log-handler=console", "--event-log=/logs/events", "--standalone"});
  ASSERT_TRUE(config);
  EXPECT_TRUE(config->events.console);
  EXPECT_EQ(config->events.file, "/logs/events");
  EXPECT_EQ(config->events.backend, "c10d");
  EXPECT_EQ(refusal({"--event-log-handler=kafka"}),
            "--event-log-handler=kafka: expected null or console; --event-log writes events to a file");
}

TEST_F(JobConfigTest, LeavesTheRootCauseWhereKubernetesLooksForIt) {
  EXPECT_EQ(make({})->termination_log, "");
  EXPECT_EQ(make({"--termination-log=why.txt"})->termination_log, "/home/user/why.txt");
  host_.variable("KUBERNETES_SERVICE_HOST", "10.96.0.1");
  EXPECT_EQ(make({})->termination_log, "") << "the pod has another path";
  host_.file("/dev/termination-log");
  EXPECT_EQ(make({})->termination_log, "/dev/termination-log");
  EXPECT_EQ(make({"--termination-log=/dev/null"})->termination_log, "");
}

TEST_F(JobConfigTest, ServesTimersWhereTheVariableAsksForIt) {
  host_.variable("TORCHELASTIC_TIMER_FILE", "/run/timers");
  EXPECT_TRUE(make({})->timer_pipe.empty());
  host_.variable("TORCHELASTIC_ENABLE_FILE_TIMER", "1");
  EXPECT_EQ(make({})->timer_pipe, "/run/timers");
  host_.variable("TORCHELASTIC_TIMER_FILE", "");
  const auto config = make({});
  EXPECT_THAT(config->timer_pipe.string(), MatchesRegex("/tmp/watchdog_timer_[0-9a-f-]{36}"));
  EXPECT_EQ(config->environment.get("TORCHELASTIC_TIMER_FILE"), config->timer_pipe.string());
}

TEST_F(JobConfigTest, IsDescribedForProgramsToo) {
  const auto config = make({"--nproc-per-node=2", "--rdzv-id=job", "--log-dir=/dev/null", "--node-rank=1"});
  ASSERT_TRUE(config);
  const auto shown = nlohmann::json::parse(describe_json(*config));
  EXPECT_EQ(shown["command"], nlohmann::json::array({"/usr/bin/prog"}));
  EXPECT_EQ(shown["workers"], 2);
  EXPECT_EQ(shown["store"], nlohmann::json({{"address", "127.0.0.1"}, {"port", nullptr}}));
  EXPECT_EQ(shown["logs"], nullptr);
  EXPECT_EQ(shown["warnings"].size(), 1u);
  EXPECT_EQ(shown["variables"]["WORLD_SIZE"], "2");
  EXPECT_FALSE(shown["variables"].contains("PATH"));
  const auto several = make({"--nnodes=2:4", "--rdzv-endpoint=node0:29400", "--master-port=23450"});
  ASSERT_TRUE(several);
  const auto nodes = nlohmann::json::parse(describe_json(*several));
  EXPECT_EQ(nodes["nodes"], nlohmann::json({{"min", 2}, {"max", 4}, {"endpoint", "node0:29400"}}));
  EXPECT_EQ(nodes["store"], nlohmann::json({{"port", 23450}}));
}

TEST_F(JobConfigTest, FiltersLinesOfTeedStreams) {
  const auto config = make({"--tee=1", "--duplicate-stdout-filters=loss,a,,b", "--log-dir=logs"});
  ASSERT_TRUE(config);
  EXPECT_THAT(config->output.line_filters.out, ElementsAre("loss", "a,b"));
  EXPECT_THAT(config->output.line_filters.err, IsEmpty());
  EXPECT_THAT(config->warnings, IsEmpty());
  const auto unused = make({"--tee=1", "--duplicate-stderr-filters=x", "--log-dir=logs"});
  EXPECT_THAT(unused->warnings, ElementsAre("--duplicate-stderr-filters=x: no worker's stderr is teed, so there are no "
                                            "lines for it; see --tee"));
  EXPECT_EQ(refusal({"--duplicate-stdout-filters=x", "--tee=3", "--log-dir=/dev/null"}),
            "--duplicate-stdout-filters=x: --log-dir=/dev/null keeps no files: name a folder");
}

// Each of these lines starts a job under torchrun.
TEST_F(JobConfigTest, WhatTorchrunPassesOverIsAWarning) {
  EXPECT_THAT(make({"--node-rank=3"})->warnings,
              ElementsAre("--node-rank=3 is ignored: the only node of the job has rank 0"));
  EXPECT_THAT(make({"--node-rank=3", "--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0"})->warnings,
              ElementsAre(HasSubstr("--node-rank=3 is ignored")));
  EXPECT_THAT(make({"--standalone", "--node-rank=-1"})->warnings, ElementsAre(HasSubstr("--node-rank=-1 is ignored")));
  const auto alone = make({"--standalone", "--nnodes=1:4"});
  ASSERT_TRUE(alone);
  EXPECT_FALSE(alone->rendezvous);
  EXPECT_THAT(alone->warnings, ElementsAre("--nnodes=1:4: no other node can join a --standalone job; it has this one"));
  EXPECT_THAT(make({"--standalone", "--nnodes=1:1"})->warnings, IsEmpty());
  EXPECT_THAT(refusal({"--standalone", "--nnodes=2"}), HasSubstr("it excludes --nnodes=2"));
  EXPECT_THAT(make({"--local-ranks-filter=-1"})->output.console, ::testing::Optional(ElementsAre(-1)));
  host_.variable("PET_START_METHOD", "process");
  const auto spawned = make({});
  ASSERT_TRUE(spawned);
  EXPECT_EQ(spawned->start_method, StartMethod::kSpawn);
  EXPECT_THAT(spawned->warnings,
              ElementsAre("PET_START_METHOD=process: expected spawn, fork or forkserver; workers are spawned"));
}

TEST_F(JobConfigTest, TheGraceComesFromOptionThenVariableThenDefault) {
  host_.variable("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "7");
  EXPECT_EQ(make({})->stop.shutdown_timeout, std::chrono::seconds(7));
  EXPECT_EQ(make({"--shutdown-timeout=0"})->stop.shutdown_timeout, std::chrono::seconds(0));
  host_.variable("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "soon");
  EXPECT_THAT(refusal({}), StartsWith("TORCH_ELASTIC_SHUTDOWN_TIMEOUT=soon"));
}

TEST_F(JobConfigTest, LeavesOutSignalsThatCannotBeHandled) {
  const auto config = make({"--signals-to-handle=SIGUSR1, TERM,SIGKILL,SIGFOO,,TERM"});
  ASSERT_TRUE(config);
  EXPECT_THAT(config->stop.signals, ElementsAre(SIGUSR1, SIGTERM));
  EXPECT_THAT(config->warnings, ElementsAre(HasSubstr("SIGKILL cannot be handled"), HasSubstr("no signal 'SIGFOO'")));
  EXPECT_EQ(config->environment.get("TORCHELASTIC_SIGNALS_TO_HANDLE"), "SIGUSR1, TERM,SIGKILL,SIGFOO,,TERM");
}

TEST_F(JobConfigTest, MeetsWhereItIsTold) {
  const auto meeting = [this](std::vector<std::string> words) { return make(std::move(words))->meeting; };
  EXPECT_EQ(meeting({"--master-port=23450"}).port, 23450);
  EXPECT_EQ(meeting({"--master-addr=10.0.0.7"}).listen_address, "10.0.0.7");
  EXPECT_EQ(meeting({"--master-addr=node7"}).master_addr, "node7");
  EXPECT_EQ(meeting({"--master-addr=node7"}).listen_address, "");
  EXPECT_EQ(meeting({"--master-addr=localhost"}).listen_address, "127.0.0.1");
  EXPECT_EQ(meeting({"--master-addr=[::1]"}).master_addr, "::1");
  EXPECT_EQ(meeting({"--master-addr=::1"}).listen_address, "::1");
  EXPECT_EQ(meeting({"--local-addr=10.0.0.8"}).master_addr, "10.0.0.8");
  EXPECT_EQ(meeting({"--local-addr=10.0.0.8", "--master-addr=10.0.0.9"}).master_addr, "10.0.0.9");
  EXPECT_EQ(meeting({"--rdzv-endpoint=node7:29400"}).port, 29400);
  EXPECT_EQ(meeting({"--rdzv-endpoint=node7:29400"}).master_addr, "node7");
  EXPECT_EQ(meeting({"--rdzv-endpoint=localhost:0"}).port, 0) << "any free one";
  EXPECT_EQ(meeting({"--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0"}).master_addr, "127.0.0.1");
  EXPECT_EQ(meeting({"--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0"}).port, 0);
}

TEST_F(JobConfigTest, StandaloneSaysWhatItIgnores) {
  const auto config = make({"--standalone", "--master-port=23450", "--rdzv-id=mine"});
  ASSERT_TRUE(config);
  EXPECT_EQ(config->meeting.port, 0);
  EXPECT_EQ(config->run_id, "mine");
  EXPECT_THAT(config->warnings, ElementsAre(HasSubstr("--master-port=23450 is ignored")));
}

TEST_F(JobConfigTest, ChecksTheRendezvousOptionsThatOneNodeDoesNotNeed) {
  EXPECT_THAT(refusal({"--rdzv-backend=etcd-v2"}), HasSubstr("--rdzv-backend=etcd, with the same endpoint"));
  EXPECT_THAT(refusal({"--rdzv-backend=zeus"}), HasSubstr("expected static, c10d or etcd"));
  EXPECT_THAT(refusal({"--rdzv-endpoint=node7"}), HasSubstr("needs a port"));
  EXPECT_THAT(refusal({"--rdzv-endpoint=a b:1"}), StartsWith("--rdzv-endpoint: "));
  EXPECT_THAT(refusal({"--rdzv-conf=timeout"}), HasSubstr("expected key=value"));
  EXPECT_THAT(refusal({"--rdzv-conf=timeout=soon"}), HasSubstr("--rdzv-conf: timeout=soon: expected seconds"));
  EXPECT_THAT(refusal({"--rdzv-backend=c10d", "--rdzv-conf=join_timeout=-1"}), HasSubstr("join_timeout=-1"));
  EXPECT_THAT(refusal({"--rdzv-conf=is_host=perhaps"}), HasSubstr("expected 1 or 0"));
  EXPECT_THAT(refusal({"--master-port=70000"}), HasSubstr("a port from 0 to 65535"));
  EXPECT_THAT(refusal({"--master-addr=node7:80"}), HasSubstr("without a port"));
  // PyTorch's own tests pass quote characters here.
  const auto quoted = make({"--rdzv-backend=c10d", "--rdzv-conf='join_timeout=5,last_call_timeout=1,timeout=5'"});
  ASSERT_TRUE(quoted);
  EXPECT_THAT(quoted->warnings, ElementsAre(HasSubstr("''join_timeout' is no setting")));
}

TEST_F(JobConfigTest, DoesNotMixUpTheWaysToRunPython) {
  EXPECT_THAT(refusal({"-m", "--no-python"}), HasSubstr("excludes"));
  EXPECT_THAT(refusal({"-m", "--run-path"}), HasSubstr("excludes"));
  EXPECT_EQ(make_from({"--standalone"}).error().message, "no program given");
}

TEST_F(JobConfigTest, ForksOnlyProgramsWithAForkPoint) {
  EXPECT_EQ(make_from({"--start-method=forkserver", "forker"})->start_method, StartMethod::kForkServer);
  EXPECT_EQ(make_from({"--start-method=fork", "forker"})->start_method, StartMethod::kFork);
  const auto spawned = make({"--start-method=forkserver"});
  EXPECT_EQ(spawned->start_method, StartMethod::kSpawn);
  EXPECT_THAT(
      spawned->warnings,
      ElementsAre("--start-method=forkserver: prog has no fork point (ferrun::client); its workers are spawned"));
}

TEST_F(JobConfigTest, ForksPythonsWhereTheirCommandLinesAreOne) {
  host_.program("/usr/bin/python3").file("x.py", "print()");
  const auto forked = make_from({"--start-method=fork", "x.py", "$x"});
  EXPECT_EQ(forked->start_method, StartMethod::kFork);
  ASSERT_TRUE(forked->python_template);
  EXPECT_EQ(forked->python_template->behind_python, 1u);
  EXPECT_EQ(forked->python_template->preload, std::nullopt);
  EXPECT_FALSE(make_from({"x.py"})->python_template);
  const auto expanded = make_from({"--start-method=fork", "--expand", "x.py", "${local_rank}"});
  EXPECT_EQ(expanded->start_method, StartMethod::kSpawn);
  EXPECT_THAT(expanded->warnings, ElementsAre(HasSubstr("arguments name their local rank cannot be forked")));
  EXPECT_EQ(make_from({"--start-method=fork", "--expand", "x.py", "1"})->start_method, StartMethod::kFork);
}

TEST_F(JobConfigTest, PreloadsModulesByTheirNames) {
  host_.program("/usr/bin/python3").file("x.py", "print()");
  const auto preload = [this](const std::string& text) {
    return make_from({"--start-method=fork", "--preload=" + text, "x.py"});
  };
  EXPECT_THAT(*preload(" torch, a.b_c2 ,")->python_template->preload, ElementsAre("torch", "a.b_c2"));
  EXPECT_THAT(*preload("")->python_template->preload, IsEmpty());
  for (const char* wrong : {"torch numpy", ".torch", "torch.", "a..b", "a-b", "a;b"}) {
    const auto refused = preload(wrong);
    ASSERT_FALSE(refused) << wrong;
    EXPECT_THAT(refused.error().message, HasSubstr("expected names of Python modules, separated by commas"));
  }
  EXPECT_THAT(make_from({"--preload=torch", "x.py"})->warnings,
              ElementsAre("--preload is of no use: workers are not forked from a Python"));
}

TEST_F(JobConfigTest, SetsJobWideVariablesOnlyWhereTheUserHasNot) {
  EXPECT_EQ(make({})->environment.get("OMP_NUM_THREADS"), std::nullopt);
  EXPECT_EQ(make({"--nproc-per-node=2"})->environment.get("OMP_NUM_THREADS"), "1");
  EXPECT_THAT(make({"--nproc-per-node=2"})->notes, ElementsAre(HasSubstr("OMP_NUM_THREADS")));
  EXPECT_EQ(make({})->environment.get("TORCH_NCCL_ASYNC_ERROR_HANDLING"), "1");
  EXPECT_EQ(make({})->environment.get("FERRUN_LAUNCH_ID"), "20261123T183455-23456789");
  EXPECT_EQ(make({})->environment.get("FERRUN_SHUTDOWN_TIMEOUT"), "30");
  EXPECT_EQ(make({"--shutdown-timeout=7"})->environment.get("FERRUN_SHUTDOWN_TIMEOUT"), "7");
  host_.variable("OMP_NUM_THREADS", "8").variable("TORCH_NCCL_ASYNC_ERROR_HANDLING", "0");
  EXPECT_EQ(make({"--nproc-per-node=2"})->environment.get("OMP_NUM_THREADS"), "8");
  EXPECT_EQ(make({})->environment.get("TORCH_NCCL_ASYNC_ERROR_HANDLING"), "0");
}

TEST_F(JobConfigTest, GivesEveryVirtualRankItsOwnDevice) {
  EXPECT_THAT(make({"--virtual-local-rank", "--nproc-per-node=2"})->own_device, ElementsAre("0", "1"));
  host_.variable("CUDA_VISIBLE_DEVICES", "3, 5,7");
  EXPECT_THAT(make({"--virtual-local-rank", "--nproc-per-node=2"})->own_device, ElementsAre("3", "5"));
  EXPECT_THAT(refusal({"--virtual-local-rank", "--nproc-per-node=4"}), HasSubstr("names fewer devices than 4 workers"));
}

TEST_F(JobConfigTest, IsolatesDevicesByUuid) {
  using Names = std::vector<std::string>;
  const auto devices = [&](const std::string& workers) {
    return make({"--devices=isolate", "--nproc-per-node=" + workers})->own_device;
  };
  EXPECT_EQ(refusal({"--devices=isolate"}), "--devices=isolate: 1 worker, and 0 visible devices");
  EXPECT_EQ(refusal({"--devices=own"}), "--devices=own: expected all or isolate");
  host_.gpus({"GPU-a", "GPU-b", "GPU-c"});
  EXPECT_EQ(devices("gpu"), (Names{"GPU-a", "GPU-b", "GPU-c"}));
  EXPECT_EQ(devices("2"), (Names{"GPU-a", "GPU-b"}));
  EXPECT_EQ(refusal({"--devices=isolate", "--nproc-per-node=4"}),
            "--devices=isolate: 4 workers, and 3 visible devices");
  EXPECT_THAT(make({"--nproc-per-node=2"})->own_device, IsEmpty());
  host_.variable("CUDA_VISIBLE_DEVICES", "2,0");
  EXPECT_EQ(devices("gpu"), (Names{"GPU-c", "GPU-a"}));
  host_.variable("CUDA_VISIBLE_DEVICES", "MIG-1,MIG-2,MIG-3");
  EXPECT_EQ(make({"--nproc-per-node=gpu"})->workers, 1) << "a process uses one instance";
  EXPECT_EQ(devices("gpu"), (Names{"MIG-1", "MIG-2", "MIG-3"}));
  host_.gpus({"", ""}).variable("CUDA_VISIBLE_DEVICES", "1, 0");
  EXPECT_EQ(devices("gpu"), (Names{"1", "0"})) << "what is not named by the driver keeps its number";
}

TEST_F(JobConfigTest, AnIsolatedWorkerHasLocalRank0AndItsDevice) {
  host_.gpus({"GPU-a", "GPU-b"});
  const auto config = make({"--devices=isolate", "--nproc-per-node=2"});
  const Environment environment = worker_environment(*config, second_of_two());
  EXPECT_EQ(environment.get("CUDA_VISIBLE_DEVICES"), "GPU-b");
  EXPECT_EQ(environment.get("LOCAL_RANK"), "0");
  EXPECT_EQ(environment.get("RANK"), "1");
  EXPECT_THAT(describe(*config), HasSubstr("\ndevice:    GPU-b for local rank 1\n"));
}

TEST_F(JobConfigTest, IsolatesAmdsDevicesByNumber) {
  host_.amd_gpus({"GPU-1", "GPU-2"});
  const auto config = make({"--devices=isolate", "--nproc-per-node=2"});
  EXPECT_EQ(worker_environment(*config, second_of_two()).get("HIP_VISIBLE_DEVICES"), "1");
  EXPECT_FALSE(worker_environment(*config, second_of_two()).contains("CUDA_VISIBLE_DEVICES"));
}

TEST_F(JobConfigTest, SaysWhatAContainerWasGiven) {
  host_.variable("NVIDIA_VISIBLE_DEVICES", "void");
  EXPECT_THAT(refusal({"--nproc-per-node=gpu"}), HasSubstr("started with NVIDIA_VISIBLE_DEVICES=void"));
}

TEST_F(JobConfigTest, BindsWorkersToCpus) {
  EXPECT_THAT(make({})->cpus, IsEmpty());
  host_.cpus({{0, 0, 0, 0, 0}, {1, 0, 0, 1, 0}, {2, 1, 0, 2, 2}, {3, 1, 0, 3, 2}});
  const auto config = make({"--numa-binding=node", "--nproc-per-node=2"});
  ASSERT_TRUE(config);
  EXPECT_EQ(spawn_request(*config, second_of_two()).cpus, (std::vector{2, 3}));
  EXPECT_THAT(describe(*config), HasSubstr("\ncpus:      0-1 for local rank 0: NUMA node 0\n"
                                           "cpus:      2-3 for local rank 1: NUMA node 1\n"));
  EXPECT_THAT(config->notes, ::testing::Contains("local rank 1 runs on CPUs 2-3: NUMA node 1"));
  EXPECT_EQ(spawn_request(*config, second_of_two()).memory_node, std::nullopt);
  host_.node_memory({{0, 1}});
  const auto with_memory = make({"--numa-binding=node", "--nproc-per-node=2"});
  EXPECT_EQ(spawn_request(*with_memory, second_of_two()).memory_node, 1);
  EXPECT_THAT(describe(*with_memory), HasSubstr(" for local rank 1: NUMA node 1, memory from node 1 first\n"));
  EXPECT_EQ(refusal({"--numa-binding=nodes"}),
            "--numa-binding=nodes: expected node, socket, exclusive or core-complex");
  EXPECT_THAT(refusal({"--numa-binding=exclusive", "--nproc-per-node=5"}),
              StartsWith("--numa-binding=exclusive: of NUMA node"));
}

TEST_F(JobConfigTest, ChoosesTheLogFolder) {
  EXPECT_EQ(make({"--log-dir=/logs"})->output.base, "/logs");
  EXPECT_FALSE(make({"--log-dir=/logs"})->output.temporary);
  EXPECT_THAT(make({"--log-dir=/logs", "--rdzv-id=a/b"})->output.job_folder, MatchesRegex("a_b_[a-z0-9]{8}"));
  EXPECT_FALSE(make({"--log-dir=/dev/null"})->output.wants_files());
  EXPECT_THAT(make({})->output.base.string(), StartsWith("/tmp/ferrun_"));
  host_.variable("TMPDIR", "/scratch").writable_folders({"/tmp", "/scratch"});
  EXPECT_THAT(make({})->output.base.string(), StartsWith("/scratch/ferrun_"));
  EXPECT_THAT(make({})->warnings, IsEmpty());
}

// Workers may leave the folder that they are started in.
TEST_F(JobConfigTest, ARelativeTmpdirIsMadeWhole) {
  host_.variable("TMPDIR", "scratch").writable_folders({"scratch"});
  EXPECT_THAT(make({})->output.base.string(), StartsWith("/home/user/scratch/ferrun_"));
}

TEST_F(JobConfigTest, AFolderInTmpdirThatDoesNotServeIsReplacedWithALine) {
  host_.variable("TMPDIR", "/gone");
  EXPECT_THAT(make({})->output.base.string(), StartsWith("/tmp/ferrun_"));
  EXPECT_THAT(make({})->warnings, ElementsAre(AllOf(StartsWith("TMPDIR=/gone is no folder"), HasSubstr("below /tmp"))));
  EXPECT_THAT(make({"--log-dir=/logs"})->warnings, IsEmpty());
  host_.writable_folders({"/var/tmp", "."});
  EXPECT_THAT(make({})->output.base.string(), StartsWith("/var/tmp/ferrun_"));
  host_.writable_folders({"."});
  EXPECT_THAT(make({})->output.base.string(), StartsWith("/home/user/ferrun_"));
  host_.writable_folders({});
  EXPECT_THAT(make({})->output.base.string(), StartsWith("/gone/ferrun_"))
      << "what cannot be made is told at the start";
}

TEST_F(JobConfigTest, TellsWhichPythonAndWhy) {
  host_.file("train.py");
  const auto config = make_from({"train.py"});
  EXPECT_THAT(config->notes, ::testing::Contains("Python is /usr/bin/python3: it is the first one in PATH"));
  EXPECT_THAT(describe(*config), HasSubstr("\npython:    /usr/bin/python3: it is the first one in PATH\n"));
  host_.file("test", "pass").program("/usr/bin/test");
  EXPECT_THAT(make_from({"test"})->warnings, ElementsAre(HasSubstr("/usr/bin/test")));
}

TEST_F(JobConfigTest, PassesOverNoDeviceSilently) {
  host_.accelerators({{DeviceNodes::Kind::kWsl, "/dev/dxg", 1}});
  EXPECT_THAT(make({"--nproc-per-node=auto"})->warnings,
              ElementsAre(AllOf(StartsWith("--nproc-per-node=auto: "), HasSubstr("/dev/dxg"))));
}

TEST_F(JobConfigTest, ReadsTheLogLevel) {
  EXPECT_EQ(make({"--verbose"})->log_level, LogLevel::kInfo);
  host_.variable("LOGLEVEL", "debug");
  EXPECT_EQ(make({})->log_level, LogLevel::kDebug);
  EXPECT_EQ(make({"--verbose"})->log_level, LogLevel::kDebug);
  host_.variable("LOGLEVEL", "ERROR");
  EXPECT_EQ(make({})->log_level, LogLevel::kError);
}

TEST_F(JobConfigTest, IsDescribedByADryRun) {
  const std::string text =
      describe(*make_from({"--nproc-per-node=2", "--max-restarts=3", "prog", "two words", "it's"}));
  EXPECT_THAT(text, HasSubstr("command:   /usr/bin/prog 'two words' 'it'\\''s'\n"));
  EXPECT_THAT(text, HasSubstr("workers:   2, started by spawn\n"));
  EXPECT_THAT(text, HasSubstr("  WORLD_SIZE=2\n"));
  EXPECT_THAT(text, ::testing::Not(HasSubstr("  PATH=")));
}

TEST_F(JobConfigTest, GivesWorkersTheLimitOfOpenFilesThatFerrunWasStartedWith) {
  host_.open_files(1024);
  EXPECT_EQ(make({})->open_files, 1024u);
}

TEST_F(JobConfigTest, NeedsMoreOpenFilesForMoreWorkersAndStreams) {
  const size_t plain = descriptors_needed(*make({"--nproc-per-node=10"}));
  EXPECT_GE(descriptors_needed(*make({"--nproc-per-node=20"})), plain + 10 * 5);
  EXPECT_GE(descriptors_needed(*make({"--nproc-per-node=10", "--tee=3"})), plain + 10 * 4);
  EXPECT_LT(descriptors_needed(*make({"--nproc-per-node=64", "--tee=3"})), 1024u);
}

TEST_F(JobConfigTest, ReadsTheFailurePolicy) {
  const auto config =
      make({"--on-exit=3=stop", "--on-exit", "SIGKILL=restart", "--restart-delay=2:60", "--min-uptime=5"});
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_EQ(config->restart.on_exit.size(), 2u) << "those of one command line count together";
  EXPECT_EQ(config->restart.on_exit[1].text, "SIGKILL=restart");
  EXPECT_EQ(config->restart.longest_delay, std::chrono::seconds(60));
  EXPECT_EQ(config->min_uptime, std::chrono::seconds(5));
  host_.variable("PET_ON_EXIT", "9=stop,8=stop");
  EXPECT_EQ(make({})->restart.on_exit.size(), 2u);
  EXPECT_EQ(make({"--on-exit=3=stop"})->restart.on_exit.size(), 1u) << "the command line counts before a variable";
  EXPECT_THAT(refusal({"--on-exit=3"}), StartsWith("--on-exit=3: '3' is no rule; expected"));
  EXPECT_EQ(refusal({"--min-uptime=-1"}), "--min-uptime=-1: expected seconds, 0 or more");
}

TEST_F(JobConfigTest, ReadsTheRotationOfLogFiles) {
  EXPECT_FALSE(make({})->output.rotation.on());
  const auto config = make({"--log-max-size=10M", "--log-keep=7", "-r1"});
  EXPECT_EQ(config->output.rotation.max_bytes, size_t{10} << 20);
  EXPECT_EQ(config->output.rotation.keep, 7);
  EXPECT_THAT(config->warnings, IsEmpty());
  EXPECT_THAT(make({"--log-max-size=1G"})->warnings,
              ElementsAre("--log-max-size=1G: no worker's output is written to files; see --redirects and --tee"));
  for (const char* size : {"1", "4095", "x", "-5M", "5T", "M", "99999999G"}) {
    EXPECT_EQ(refusal({std::string("--log-max-size=") + size}),
              std::string("--log-max-size=") + size + ": expected a size of at least 4k, as in 500k, 100M or 2G");
  }
  EXPECT_THAT(refusal({"--log-keep=-1"}), HasSubstr("expected a whole number, 0 or more"));
  EXPECT_THAT(refusal({"--log-keep=2000"}), HasSubstr("expected at most 1000 old files"));
}

TEST_F(JobConfigTest, GivesWorkersTheirShareOfTheCores) {
  EXPECT_THAT(make({"--nproc-per-node=4"})->omp_threads, IsEmpty());
  EXPECT_THAT(make({"--nproc-per-node=4", "--omp=auto"})->omp_threads, ElementsAre(1, 1, 1, 1)) << "of six";
  EXPECT_THAT(make({"--nproc-per-node=2", "--omp=auto"})->omp_threads, ElementsAre(3, 3));
  EXPECT_THAT(make({"--nproc-per-node=8", "--omp=auto"})->omp_threads.back(), 1) << "more workers than cores";
  EXPECT_THAT(make({"--nproc-per-node=2", "--omp=5"})->omp_threads, ElementsAre(5, 5));
  const auto config = make({"--nproc-per-node=2", "--omp=auto"});
  EXPECT_EQ(worker_environment(*config, second_of_two()).get_or("OMP_NUM_THREADS", ""), "3");
  for (const char* threads : {"", "0", "-1", "many", "1000000"}) {
    EXPECT_EQ(refusal({std::string("--omp=") + threads}),
              std::string("--omp=") + threads + ": expected auto, or a number of threads, 1 or more");
  }
}

TEST_F(JobConfigTest, ReadsHowMuchIsSaid) {
  EXPECT_EQ(make({"--quiet"})->log_level, LogLevel::kError);
  host_.variable("LOGLEVEL", "DEBUG");
  EXPECT_EQ(make({"--quiet"})->log_level, LogLevel::kError) << "the command line counts before a variable";
  EXPECT_EQ(refusal({"--quiet", "--verbose"}), "--quiet excludes --verbose: give one of them");
  EXPECT_TRUE(make({"--report=torchrun"})->torchrun_report);
  EXPECT_EQ(refusal({"--report=short"}), "--report=short: expected ferrun or torchrun");
}

}  // namespace
}  // namespace ferrun
