#include "launcher/config/etcd_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launcher/config/coordinator_job.h"
#include "launcher/config/job_config.h"
#include "launcher/node/node_setup.h"
#include "tests/launcher/config/host_fixture.h"

namespace ferrun {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using namespace std::chrono_literals;

class EtcdOptions : public ::testing::Test {
 protected:
  EtcdOptions() { host_.program("/usr/bin/prog"); }

  Result<JobConfig> make(std::vector<std::string> words, const std::string& nodes = "2") {
    words.insert(words.begin(), {"--nnodes=" + nodes, "--rdzv-backend=etcd"});
    words.push_back("prog");
    const Result<CommandLine> line = parse_command_line(words, host_.facts().environment);
    if (!line) return line.error();
    return make_job_config(*line, host_.facts());
  }
  RendezvousConfig config(std::vector<std::string> words) {
    const Result<JobConfig> made = make(std::move(words));
    EXPECT_TRUE(made) << made.error().message;
    return *made->rendezvous;
  }
  std::string refusal(std::vector<std::string> words) {
    const Result<JobConfig> made = make(std::move(words));
    return made ? "accepted" : made.error().message;
  }

  FakeHost host_;
};

TEST_F(EtcdOptions, NamesServersWithEtcdsPort) {
  const RendezvousConfig read = config({"--rdzv-endpoint=a, b:7,http://[::1]:8/", "--rdzv-id=fer"});
  EXPECT_THAT(read.etcd->servers, ElementsAre(Endpoint{"a", 2379}, Endpoint{"b", 7}, Endpoint{"::1", 8}));
  EXPECT_EQ(read.member.endpoint, "etcd (a:2379,b:7,[::1]:8)");
  const etcd::SeatConfig seat = seat_config(read);
  EXPECT_EQ(seat.prefix, "/ferrun/fer/");
  EXPECT_TRUE(seat.candidate);
  EXPECT_EQ(seat.state_seconds, 65);  // --coordinator-timeout and the keep-alive's time
}

// A takeover stops no worker: they may run for as long as a coordinator is waited for.
TEST_F(EtcdOptions, WorkersOutliveTheirCoordinator) {
  const RendezvousConfig read = config({"--rdzv-endpoint=a", "--coordinator-timeout=40"});
  const CoordinatorConfig coordinator = coordinator_config(read, AgentId{1}, "launch");
  EXPECT_TRUE(coordinator.has_successors);
  EXPECT_FALSE(coordinator.own_process);
  EXPECT_EQ(coordinator.lease, 40s);
}

TEST_F(EtcdOptions, HasAPrefixAndLeavesANodeOutOfTheElection) {
  const RendezvousConfig read = config({"--rdzv-endpoint=a", "--rdzv-conf=etcd_prefix=/team,is_host=0"});
  const etcd::SeatConfig seat = seat_config(read);
  EXPECT_EQ(seat.prefix, "/team/none/");
  EXPECT_FALSE(seat.candidate);
}

TEST_F(EtcdOptions, NeedsAnEndpoint) {
  EXPECT_THAT(refusal({}), HasSubstr("needs --rdzv-endpoint=HOST[:PORT]"));
  EXPECT_THAT(refusal({"--rdzv-endpoint=a,,b"}), HasSubstr("--rdzv-endpoint"));
  EXPECT_THAT(refusal({"--rdzv-endpoint=a:0"}), HasSubstr("port 0"));
  EXPECT_THAT(refusal({"--rdzv-endpoint=a b"}), StartsWith("--rdzv-endpoint: "));
}

TEST_F(EtcdOptions, RefusesAStateFile) {
  EXPECT_THAT(refusal({"--rdzv-endpoint=a", "--state-file=/s"}), HasSubstr("the state is kept there"));
}

TEST_F(EtcdOptions, SpeaksTlsWhereASchemeOrTheProtocolSaysSo) {
  EXPECT_FALSE(config({"--rdzv-endpoint=a,http://b", "--rdzv-conf=protocol=http"}).etcd->tls);
  EXPECT_EQ(config({"--rdzv-endpoint=a", "--rdzv-conf=protocol=https"}).etcd->tls, etcd::TlsFiles{});
  const RendezvousConfig read = config({"--rdzv-endpoint=https://a:7/,b"});
  EXPECT_EQ(read.etcd->tls, etcd::TlsFiles{});
  EXPECT_THAT(read.etcd->servers, ElementsAre(Endpoint{"a", 7}, Endpoint{"b", 2379}));
}

// No server is asked without TLS where it is asked for.
TEST_F(EtcdOptions, RefusesHalfOfTls) {
  host_.file("/ca", "ca");
  EXPECT_THAT(refusal({"--rdzv-endpoint=https://a,http://b"}), HasSubstr("or none of them"));
  EXPECT_THAT(refusal({"--rdzv-endpoint=https://a", "--rdzv-conf=protocol=http"}), HasSubstr("or none of them"));
  EXPECT_THAT(refusal({"--rdzv-endpoint=http://a", "--rdzv-conf=protocol=https"}), HasSubstr("or none of them"));
  EXPECT_THAT(refusal({"--rdzv-endpoint=a", "--rdzv-conf=protocol=tls"}), HasSubstr("expected http or https"));
  EXPECT_THAT(refusal({"--rdzv-endpoint=a", "--rdzv-conf=cacert=/ca"}), HasSubstr("cacert=/ca is for TLS: protocol="));
}

TEST_F(EtcdOptions, ReadsTheFilesOfTlsByBothOfTheirNames) {
  host_.file("/ca", "ca").file("/cert", "cert").file("/key", "key");
  const auto with = [](const std::string& conf) -> std::vector<std::string> {
    return {"--rdzv-endpoint=https://a", "--rdzv-conf=" + conf};
  };
  const etcd::TlsFiles all = {"/ca", "/cert", "/key"};
  EXPECT_EQ(config(with("cacert=/ca,cert=/cert,key=/key")).etcd->tls, all);
  EXPECT_EQ(config(with("ca_cert=/ca,ssl_cert=/cert,ssl_cert_key=/key")).etcd->tls, all);
  EXPECT_EQ(config(with("cert=/cert")).etcd->tls, (etcd::TlsFiles{"", "/cert", "/cert"}));
  EXPECT_THAT(refusal(with("key=/key")), HasSubstr("key=/key needs cert=FILE"));
  EXPECT_THAT(refusal(with("cacert=/gone")), HasSubstr("cacert=/gone: No such file"));
  EXPECT_EQ(make(with("cacert=/gone")).error().kind, ErrorKind::kUser);
}

TEST_F(EtcdOptions, APasswordIsOnNoCommandLine) {
  host_.file("/password", "secret\n").file("/empty", "\n");
  const auto with = [](const std::string& conf) -> std::vector<std::string> {
    return {"--rdzv-endpoint=a", "--rdzv-conf=" + conf};
  };
  EXPECT_EQ(config(with("user=fer,password_file=/password")).etcd->password, "secret");
  const std::string clear = refusal(with("user=fer,password=secret"));
  EXPECT_THAT(clear, HasSubstr("password_file=FILE or FERRUN_ETCD_PASSWORD"));
  EXPECT_THAT(clear, Not(HasSubstr("secret")));
  EXPECT_THAT(refusal(with("user=fer")), HasSubstr("needs a password"));
  EXPECT_THAT(refusal(with("password_file=/password")), HasSubstr("no user"));
  EXPECT_THAT(refusal(with("user=fer,password_file=/gone")), HasSubstr("No such file"));
  EXPECT_THAT(refusal(with("user=fer,password_file=/empty")), HasSubstr("no password in it"));
  host_.variable(kEtcdUserVariable, "env").variable(kEtcdPasswordVariable, "ironment");
  EXPECT_EQ(config({"--rdzv-endpoint=a"}).etcd->user, "env");
  EXPECT_EQ(config({"--rdzv-endpoint=a"}).etcd->password, "ironment");
}

TEST_F(EtcdOptions, OneNodeNeedsNoEtcd) {
  const Result<JobConfig> made = make({"--rdzv-endpoint=a,b", "--rdzv-conf=user=fer"}, "1");
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_FALSE(made->rendezvous);
  EXPECT_THAT(made->warnings, Not(Contains(HasSubstr("no setting"))));
}

}  // namespace
}  // namespace ferrun
