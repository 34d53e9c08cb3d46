#include "launcher/config/rendezvous_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launcher/config/describe.h"
#include "launcher/config/job_config.h"
#include "tests/launcher/config/host_fixture.h"

namespace ferrun {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;
using namespace std::chrono_literals;

class RendezvousConfigTest : public ::testing::Test {
 protected:
  RendezvousConfigTest() { host_.program("/usr/bin/prog"); }

  Result<JobConfig> make(std::vector<std::string> words, std::vector<std::string> program = {"prog"}) {
    words.insert(words.end(), program.begin(), program.end());
    const Result<CommandLine> line = parse_command_line(words, host_.facts().environment);
    if (!line) return line.error();
    return make_job_config(*line, host_.facts());
  }
  // The part of a job with several nodes that starts with --nnodes=4 --rdzv-endpoint=node0 and these words.
  RendezvousConfig nodes(std::vector<std::string> words = {}) {
    words.insert(words.begin(), {"--nnodes=4", "--rdzv-endpoint=node0"});
    const Result<JobConfig> config = make(words);
    EXPECT_TRUE(config) << config.error().message;
    return *config->rendezvous;
  }
  std::string refusal(std::vector<std::string> words) {
    words.insert(words.begin(), {"--nnodes=4", "--rdzv-endpoint=node0"});
    const Result<JobConfig> config = make(words);
    return config ? "accepted" : config.error().message;
  }
  std::string term(const std::vector<Term>& terms, const std::string& name) {
    for (const Term& term : terms) {
      if (term.name == name) return term.value;
    }
    return "no such term";
  }

  FakeHost host_;
};

TEST_F(RendezvousConfigTest, IsThereForSeveralNodesAlone) {
  EXPECT_FALSE(make({})->rendezvous);
  EXPECT_FALSE(make({"--nnodes=1:1", "--rdzv-endpoint=node0:29400"})->rendezvous);
  EXPECT_TRUE(make({"--nnodes=1:2"})->rendezvous);
}

TEST_F(RendezvousConfigTest, HasDefaultsForEverything) {
  const RendezvousConfig config = nodes();
  EXPECT_EQ(config.coordinator.min_nodes, 4);
  EXPECT_EQ(config.coordinator.max_nodes, 4);
  EXPECT_EQ(config.coordinator.job_id, "none");
  EXPECT_EQ(config.token, "");
  EXPECT_EQ(config.member.join_timeout, 600s);
  EXPECT_EQ(config.coordinator.last_call, 30s);
  EXPECT_EQ(config.coordinator.close_timeout, 30s);
  EXPECT_EQ(config.coordinator.silence, 5s);
  EXPECT_EQ(config.is_host, std::nullopt);
  EXPECT_EQ(config.member.coordinator_timeout, 60s);
  EXPECT_EQ(config.coordinator.min_uptime, 30s);
  EXPECT_EQ(config.coordinator.scale_interval, 30s);
  EXPECT_EQ(config.member.node_rank, std::nullopt);
  EXPECT_EQ(config.store_port, 0);
  EXPECT_FALSE(config.ports.given());
  EXPECT_EQ(make({"--nnodes=2"})->stop.failure_grace, 5s);
  EXPECT_EQ(make({"--nnodes=2"})->run_id, "none");
}

TEST_F(RendezvousConfigTest, ReadsTheSizeAsARange) {
  const Result<JobConfig> config = make({"--nnodes=2:4", "--rdzv-endpoint=node0"});
  EXPECT_EQ(config->rendezvous->coordinator.min_nodes, 2);
  EXPECT_EQ(config->rendezvous->coordinator.max_nodes, 4);
  // As a variable of a shell that was not set makes it.
  EXPECT_THAT(refusal({"--nnodes=2", "--rdzv-endpoint", ""}),
              HasSubstr("--rdzv-endpoint=: it is empty (is a variable?)"));
  EXPECT_THAT(refusal({"--nnodes=4:2"}), HasSubstr("0 < MIN <= MAX"));
  EXPECT_THAT(refusal({"--nnodes=0:2"}), HasSubstr("0 < MIN <= MAX"));
  EXPECT_THAT(refusal({"--nnodes=9999999"}), HasSubstr("expected at most 1000000 nodes"));
}

TEST_F(RendezvousConfigTest, MeetsAtTheEndpointOrAtTheMastersAddress) {
  const auto endpoint = [this](std::vector<std::string> words) {
    words.insert(words.begin(), "--nnodes=2");
    return to_string(make(words)->rendezvous->endpoint);
  };
  EXPECT_EQ(endpoint({"--rdzv-endpoint=node0:4000"}), "node0:4000");
  EXPECT_EQ(endpoint({"--rdzv-endpoint=node0"}), "node0:29500");
  EXPECT_EQ(endpoint({"--rdzv-endpoint=node0", "--rdzv-backend=c10d"}), "node0:29400");
  EXPECT_EQ(endpoint({"--rdzv-endpoint=[fd00::1]:4000"}), "[fd00::1]:4000");
  EXPECT_EQ(endpoint({"--master-addr=node1"}), "node1:29500");
  EXPECT_EQ(endpoint({"--master-addr=node1", "--master-port=4001"}), "node1:4001");
  EXPECT_EQ(endpoint({"--rdzv-endpoint=node0:4000", "--master-port=4001"}), "node0:4000");
  EXPECT_EQ(endpoint({}), "127.0.0.1:29500");
  EXPECT_EQ(endpoint({"--rdzv-backend=c10d"}), "127.0.0.1:29400");
}

TEST_F(RendezvousConfigTest, TheStoresPortIsFixedByMasterPortAlone) {
  EXPECT_EQ(nodes({"--master-port=4001"}).store_port, 4001);
  EXPECT_EQ(nodes({"--rdzv-endpoint=node0:4000"}).store_port, 0);
}

TEST_F(RendezvousConfigTest, SaysThatLoopbackIsForOneMachine) {
  EXPECT_THAT(
      make({"--nnodes=2"})->warnings,
      ElementsAre("no --rdzv-endpoint is given: agents meet at 127.0.0.1:29500, which only those on this machine "
                  "reach"));
  EXPECT_THAT(make({"--nnodes=2", "--rdzv-endpoint=localhost"})->warnings, IsEmpty());
}

TEST_F(RendezvousConfigTest, SaysWhichVariablesDoNotCount) {
  const auto warnings = [this](std::vector<std::string> words) {
    words.insert(words.begin(), "--nnodes=2");
    return make(words)->warnings;
  };
  host_.variable("MASTER_ADDR", "localhost").variable("MASTER_PORT", "4000");
  EXPECT_THAT(warnings({"--rdzv-endpoint=localhost:4000"}), IsEmpty());
  EXPECT_THAT(warnings({"--rdzv-endpoint=localhost:4001", "--master-port=4000"}), IsEmpty());
  EXPECT_THAT(
      warnings({"--rdzv-endpoint=localhost"}),
      ElementsAre(StartsWith("MASTER_PORT=4000 of the environment does not count: agents meet at localhost:29500")));
  EXPECT_THAT(warnings({"--rdzv-endpoint=127.0.0.1"}),
              ElementsAre(StartsWith("MASTER_ADDR=localhost, MASTER_PORT=4000 of the environment does not count")));
  EXPECT_THAT(warnings({"--master-port=4000"}),
              ElementsAre(HasSubstr("reach; MASTER_ADDR=localhost of the environment does not count")));
}

TEST_F(RendezvousConfigTest, AnAddressThatIsEmptyIsNoLoopback) {
  const auto complaint = [this](const std::string& word) {
    const Result<JobConfig> config = make({"--nnodes=2", word});
    return config ? "accepted" : config.error().message;
  };
  EXPECT_THAT(complaint("--master-addr="), StartsWith("--master-addr=: it is empty"));
  EXPECT_THAT(complaint("--rdzv-endpoint=:29500"),
              StartsWith("--rdzv-endpoint: bad endpoint ':29500': there is no host"));
}

TEST_F(RendezvousConfigTest, ReadsTheSettingsOfTorchrun) {
  const RendezvousConfig config =
      nodes({"--rdzv-conf=join_timeout=90, last_call_timeout=0.5,close_timeout=3,"
             "keep_alive_interval=2,keep_alive_max_attempt=4,is_host=Yes,store_type=tcp"});
  EXPECT_EQ(config.member.join_timeout, 90s);
  EXPECT_EQ(config.coordinator.last_call, 500ms);
  EXPECT_EQ(config.coordinator.close_timeout, 3s);
  EXPECT_EQ(config.coordinator.heartbeat_interval, 2s);
  EXPECT_EQ(config.coordinator.silence, 8s);
  EXPECT_EQ(config.keep_alive_attempts, 4);
  EXPECT_EQ(config.is_host, true);
  EXPECT_EQ(nodes({"--rdzv-conf=is_host=0"}).is_host, false);
  EXPECT_THAT(config.warnings, ElementsAre(HasSubstr("no token")));
}

TEST_F(RendezvousConfigTest, TheStaticTimeoutIsTheTimeToJoin) {
  EXPECT_EQ(nodes({"--rdzv-conf=timeout=70"}).member.join_timeout, 70s);
  EXPECT_EQ(nodes({"--rdzv-conf=timeout=70,join_timeout=80"}).member.join_timeout, 80s);
  EXPECT_EQ(nodes({"--rdzv-backend=c10d", "--rdzv-conf=timeout=70"}).member.join_timeout, 600s);
}

TEST_F(RendezvousConfigTest, WarnsOfSettingsThatAreNone) {
  EXPECT_THAT(
      nodes({"--rdzv-conf=jion_timeout=3,read_timeout=3"}).warnings,
      ElementsAre("--rdzv-conf: 'jion_timeout' is no setting of the rendezvous; ignored", HasSubstr("no token")));
  EXPECT_THAT(nodes({"--rdzv-conf=read_timeout=3,heartbeat_timeout=3"}).notes,
              ElementsAre(HasSubstr("heartbeat_timeout has no effect"), HasSubstr("read_timeout has no effect")));
}

TEST_F(RendezvousConfigTest, RefusesSettingsThatMakeNoSense) {
  EXPECT_EQ(refusal({"--rdzv-conf=join_timeout=0"}), "--rdzv-conf: join_timeout=0: expected seconds, more than 0");
  EXPECT_THAT(refusal({"--rdzv-conf=last_call_timeout=-1"}), HasSubstr("expected seconds, more than 0"));
  EXPECT_THAT(refusal({"--rdzv-conf=close_timeout=soon"}), HasSubstr("expected seconds, more than 0"));
  EXPECT_THAT(refusal({"--rdzv-conf=keep_alive_interval=x"}), HasSubstr("expected seconds, more than 0"));
  EXPECT_THAT(refusal({"--rdzv-conf=keep_alive_max_attempt=0"}), HasSubstr("expected a whole number, 1 or more"));
  EXPECT_THAT(refusal({"--rdzv-conf=is_host=maybe"}), HasSubstr("expected 1 or 0"));
  EXPECT_THAT(refusal({"--rdzv-conf=store_type=file"}), HasSubstr("only tcp is supported"));
  EXPECT_THAT(refusal({"--rdzv-conf=endpoint=node1"}), HasSubstr("there is an option for it"));
  EXPECT_THAT(refusal({"--rdzv-conf=join_timeout"}), HasSubstr("expected key=value"));
}

TEST_F(RendezvousConfigTest, RefusesOptionsThatMakeNoSense) {
  EXPECT_EQ(refusal({"--coordinator-timeout=0"}), "--coordinator-timeout=0: expected seconds, more than 0");
  EXPECT_THAT(refusal({"--min-uptime=-1"}), HasSubstr("expected seconds, 0 or more"));
  EXPECT_THAT(refusal({"--scale-interval=often"}), HasSubstr("expected seconds, 0 or more"));
  EXPECT_THAT(refusal({"--failure-grace=-1"}), HasSubstr("expected seconds, 0 or more"));
  EXPECT_THAT(refusal({"--port-range=30000"}), HasSubstr("expected FIRST-LAST"));
  EXPECT_THAT(refusal({"--port-range=30001-30000"}), HasSubstr("expected FIRST-LAST"));
  EXPECT_THAT(refusal({"--port-range=0-70000"}), HasSubstr("expected FIRST-LAST"));
  EXPECT_THAT(refusal({"--node-rank=4"}), HasSubstr("a node's rank, 0 to 3"));
  EXPECT_THAT(refusal({"--node-rank=-1"}), HasSubstr("a node's rank, 0 to 3"));
  EXPECT_THAT(refusal({"--rdzv-endpoint=node0:0"}), HasSubstr("cannot meet at port 0"));
  EXPECT_THAT(refusal({"--rdzv-endpoint=a b:1"}), StartsWith("--rdzv-endpoint: "));
  EXPECT_THAT(refusal({"--master-port=70000"}), HasSubstr("a port from 0 to 65535"));
  EXPECT_THAT(refusal({"--local-addr=node1:80"}), HasSubstr("without a port"));
  EXPECT_THAT(refusal({"--rdzv-backend=etcd-v2"}), HasSubstr("--rdzv-backend=etcd, with the same endpoint"));
  EXPECT_THAT(refusal({"--rdzv-backend=zeus"}), HasSubstr("expected static, c10d or etcd"));
  EXPECT_THAT(refusal({"--rdzv-id=" + std::string(513, 'x')}), HasSubstr("expected at most 512 bytes"));
  EXPECT_THAT(refusal({"--standalone"}), HasSubstr("it excludes --nnodes=4"));
  EXPECT_THAT(refusal({"--max-restarts=-1"}), HasSubstr("0 or more"));
}

TEST_F(RendezvousConfigTest, OneNodeChecksTheValuesToo) {
  const auto one_node = [this](const std::string& word) {
    const Result<JobConfig> config = make({word});
    return config ? "accepted" : config.error().message;
  };
  EXPECT_THAT(one_node("--coordinator-timeout=0"), HasSubstr("more than 0"));
  EXPECT_THAT(one_node("--port-range=x"), HasSubstr("expected FIRST-LAST"));
  EXPECT_THAT(one_node("--failure-grace=x"), HasSubstr("0 or more"));
  EXPECT_EQ(one_node("--token-file=/nowhere"), "accepted");
}

TEST_F(RendezvousConfigTest, TheSecretComesFromTheFileThenFromTheVariable) {
  host_.variable("FERRUN_TOKEN", "from the variable").file("/token", "from the token file\n").file("/empty", " \n");
  EXPECT_EQ(nodes().token, "from the variable");
  EXPECT_EQ(nodes({"--token-file=/token"}).token, "from the token file");
  EXPECT_EQ(refusal({"--token-file=/empty"}), "--token-file=/empty: there is no token in it");
  EXPECT_EQ(refusal({"--token-file=/gone"}), "--token-file=/gone: No such file or directory");
  EXPECT_THAT(nodes({"--token-file=/token", "--rdzv-endpoint=127.0.0.1:1"}).warnings, IsEmpty());
  EXPECT_EQ(make({"--nnodes=2"})->environment.get("FERRUN_TOKEN"), std::nullopt) << "workers need not know it";
  host_.variable("FERRUN_ETCD_PASSWORD", "etcd's");
  EXPECT_EQ(make({"--nnodes=2"})->environment.get("FERRUN_ETCD_PASSWORD"), std::nullopt) << "nor etcd's";
}

TEST_F(RendezvousConfigTest, ASecretThatOthersMayReadIsWarnedOf) {
  host_.file("/token", "read by everybody").readable_by_all("/token");
  EXPECT_THAT(nodes({"--token-file=/token"}).warnings,
              ElementsAre("--token-file=/token: others on this machine may read it: chmod 600"));
}

TEST_F(RendezvousConfigTest, ASecretThatCanBeGuessedIsRefused) {
  host_.file("/short", "fifteen letters\n").file("/long", "sixteen letters.");
  EXPECT_EQ(refusal({"--token-file=/short"}),
            "--token-file=/short: the token has 15 bytes and can be guessed; it needs at least 16, at random: "
            "'openssl rand -hex 16' makes a good one");
  EXPECT_EQ(nodes({"--token-file=/long"}).token, "sixteen letters.");
  host_.variable("FERRUN_TOKEN", "short");
  EXPECT_THAT(refusal({}), StartsWith("FERRUN_TOKEN: the token has 5 bytes"));
}

TEST_F(RendezvousConfigTest, WarnsOnceWithoutASecretWhereOthersCanReachIt) {
  EXPECT_THAT(
      nodes().warnings,
      ElementsAre("no token is given (--token-file, FERRUN_TOKEN): whoever reaches node0:29500 can take part in "
                  "the job"));
  EXPECT_THAT(nodes({"--rdzv-endpoint=127.0.0.2:4000"}).warnings, IsEmpty());
  EXPECT_THAT(nodes({"--rdzv-endpoint=[::1]:4000"}).warnings, IsEmpty());
  EXPECT_THAT(nodes({"--rdzv-endpoint=127.example.org:4000"}).warnings, ElementsAre(HasSubstr("no token")));
  host_.variable("FERRUN_TOKEN", "a secret of some length");
  EXPECT_THAT(nodes().warnings, IsEmpty());
}

TEST_F(RendezvousConfigTest, TheAgentsOfASlurmJobHaveASecretByMunge) {
  host_.variable("SLURM_JOB_ID", "7").munge();
  const RendezvousConfig config = nodes({"--rdzv-id=j"});
  EXPECT_EQ(config.token.size(), 32U);
  EXPECT_EQ(config.wrapped_token, "MUNGE:ferrun j\n" + config.token);
  EXPECT_THAT(config.warnings, IsEmpty());
  EXPECT_THAT(config.notes, Contains(HasSubstr("by munge")));
  EXPECT_EQ(config.unwrap_token(config.wrapped_token).value(), config.token);
  EXPECT_THAT(config.unwrap_token("MUNGE:ferrun k\nabc").error().message, HasSubstr("another job"));
  EXPECT_THAT(config.unwrap_token("forged").error().message,
              AllOf(HasSubstr("Invalid credential"), HasSubstr("--token-file")));
  host_.variable("FERRUN_TOKEN", "a secret of some length");
  const RendezvousConfig given = nodes();
  EXPECT_EQ(given.token, "a secret of some length");
  EXPECT_EQ(given.wrapped_token, "");
  EXPECT_FALSE(given.unwrap_token) << "what is given counts alone";
}

TEST_F(RendezvousConfigTest, ASlurmJobWithoutMungeSaysThatAnybodyCanTakePart) {
  host_.variable("SLURM_JOB_ID", "7");
  const RendezvousConfig config = nodes();
  EXPECT_EQ(config.token, "");
  EXPECT_THAT(config.warnings, ElementsAre(AllOf(HasSubstr("whoever reaches node0:29500"), HasSubstr("no munge"))));
}

TEST_F(RendezvousConfigTest, OutsideOfSlurmTheSecretOfASlurmJobCanBeRead) {
  host_.munge();
  const RendezvousConfig config = nodes({"--rdzv-id=j"});
  EXPECT_EQ(config.token, "") << "nothing is wrapped where munge may be nobody's";
  ASSERT_TRUE(config.unwrap_token);
  EXPECT_EQ(config.unwrap_token("MUNGE:ferrun j\nabc").value(), "abc");
  EXPECT_FALSE(nodes({"--rdzv-endpoint=127.0.0.1:1"}).unwrap_token);
}

TEST_F(RendezvousConfigTest, EveryOptionHasItsVariable) {
  host_.variable("PET_NNODES", "2:3").variable("PET_RDZV_ENDPOINT", "node9:1234").variable("PET_NODE_RANK", "2");
  host_.variable("PET_COORDINATOR_TIMEOUT", "7").variable("PET_STATE_FILE", "/state").variable("PET_IFACE", "ib0");
  host_.variable("PET_PORT_RANGE", "30000-30010").variable("PET_MIN_UPTIME", "1").variable("PET_SCALE_INTERVAL", "2");
  host_.variable("PET_FAILURE_GRACE", "3").variable("PET_LOCAL_ADDR", "10.0.0.3");
  host_.file("/secret", "s0123456789abcdef").variable("PET_TOKEN_FILE", "/secret");
  const Result<JobConfig> config = make({});
  ASSERT_TRUE(config) << config.error().message;
  const RendezvousConfig& nodes = *config->rendezvous;
  EXPECT_EQ(nodes.coordinator.max_nodes, 3);
  EXPECT_EQ(to_string(nodes.endpoint), "node9:1234");
  EXPECT_EQ(nodes.member.node_rank, 2);
  EXPECT_EQ(nodes.member.coordinator_timeout, 7s);
  EXPECT_EQ(nodes.coordinator.min_uptime, 1s);
  EXPECT_EQ(nodes.coordinator.scale_interval, 2s);
  EXPECT_EQ(config->stop.failure_grace, 3s);
  EXPECT_EQ(nodes.state_file, "/state");
  EXPECT_EQ(nodes.interface, "ib0");
  EXPECT_EQ(nodes.local_address, "10.0.0.3");
  EXPECT_EQ(nodes.ports, (PortRange{30000, 30010}));
  EXPECT_EQ(nodes.token, "s0123456789abcdef");
}

TEST_F(RendezvousConfigTest, AnInterfaceIsForTheWorkersTooUnlessTheyHaveOne) {
  host_.variable("NCCL_SOCKET_IFNAME", "ib1");
  const Result<JobConfig> config = make({"--nnodes=2", "--iface=eth1"});
  EXPECT_EQ(config->environment.get("GLOO_SOCKET_IFNAME"), "eth1");
  EXPECT_EQ(config->environment.get("NCCL_SOCKET_IFNAME"), "ib1");
  EXPECT_EQ(make({"--iface=eth1"})->environment.get("GLOO_SOCKET_IFNAME"), std::nullopt) << "one node needs none";
}

TEST_F(RendezvousConfigTest, TermsAreWhatAgentsCompare) {
  const Result<JobConfig> config =
      make({"--nnodes=2:4", "--max-restarts=3", "--failure-grace=0.5", "--role=reader", "--node-rank=1"},
           {"prog", "--epochs=100", "two words"});
  ASSERT_TRUE(config);
  const std::vector<Term>& terms = config->rendezvous->coordinator.terms;
  EXPECT_EQ(term(terms, "--nnodes"), "2:4");
  EXPECT_EQ(term(terms, "--max-restarts"), "3");
  EXPECT_EQ(term(terms, "--failure-grace"), "0.5");
  EXPECT_EQ(term(terms, "--shutdown-timeout"), "30");
  EXPECT_EQ(term(terms, "--coordinator-timeout"), "60");
  EXPECT_EQ(term(terms, "--rdzv-conf keep_alive_max_attempt"), "5");
  EXPECT_EQ(term(terms, "--master-port"), "free");
  EXPECT_EQ(term(terms, "the program"), "prog");
  EXPECT_EQ(term(terms, "the rest of its command line"), "--epochs=100 'two words'");
  EXPECT_EQ(term(terms, "--role"), "no such term");
  EXPECT_EQ(term(terms, "--node-rank"), "no such term");
}

TEST_F(RendezvousConfigTest, ALongCommandLineIsATermOfBoundedLength) {
  const auto program = [this](const std::string& last) {
    return term(make({"--nnodes=2"}, {"prog", std::string(5000, 'x'), last})->rendezvous->coordinator.terms,
                "the rest of its command line");
  };
  EXPECT_THAT(program("a"), StartsWith("xxxx"));
  EXPECT_LT(program("a").size(), 300u);
  EXPECT_NE(program("a"), program("b"));
  EXPECT_EQ(program("a"), program("a"));
}

TEST_F(RendezvousConfigTest, AProgramIsTheSameWhereverItLies) {
  host_.program("/opt/prog");
  const auto program = [this](const std::vector<std::string>& words) {
    return term(make({"--nnodes=2", "--no-python"}, words)->rendezvous->coordinator.terms, "the program");
  };
  EXPECT_EQ(program({"/opt/prog"}), "--no-python prog");
  EXPECT_EQ(program({"prog", "--scratch=/local/node1"}), "--no-python prog");
}

TEST_F(RendezvousConfigTest, IsDescribedByADryRun) {
  host_.variable("FERRUN_TOKEN", "the secret of the job");
  const std::string text = describe(*make({"--nnodes=2:4", "--rdzv-endpoint=node0:29400", "--rdzv-id=run7"}));
  EXPECT_THAT(text, HasSubstr("nodes:     2 to 4, meeting at node0:29400 as job run7\n"));
  EXPECT_THAT(text, HasSubstr("store:     on the node of rank 0, port chosen for every round\n"));
  EXPECT_THAT(text, Not(HasSubstr("secret")));
}

}  // namespace
}  // namespace ferrun
