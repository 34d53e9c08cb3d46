// What ferrun doctor makes of what etcd says.
#include "launcher/doctor/etcd_judgement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ferrun {
namespace {

using namespace std::chrono_literals;
using enum Finding::Status;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::Not;

auto is(Finding::Status status, const std::string& check, const std::string& part) {
  return AllOf(Field(&Finding::status, status), Field(&Finding::check, check), Field(&Finding::text, HasSubstr(part)));
}

EtcdServerFacts etcd_server(const std::string& host, const std::string& number, const std::string& leader) {
  EtcdServerFacts facts;
  facts.endpoint = {host, 2379};
  facts.status.version = "3.5.9";
  facts.status.server = number;
  facts.status.leader = leader;
  facts.status.bytes = 32768;
  facts.took = 2ms;
  return facts;
}

EtcdFacts healthy() {
  EtcdFacts facts;
  facts.servers = {etcd_server("e0", "17", "18"), etcd_server("e1", "18", "18")};
  facts.job_id = "fer";
  facts.prefix = "/ferrun/fer/";
  facts.read.emplace();
  facts.write.emplace();
  facts.alarms.emplace();
  facts.read_took = 1ms;
  return facts;
}

etcd::Outcome no_answer(etcd::Refusal refusal, const std::string& line) { return {etcd::Failure{refusal, line}, {}}; }

TEST(EtcdJudgement, AllThatIsWellIsOneLineEach) {
  const auto findings = judge_etcd(healthy());
  EXPECT_THAT(findings, Each(Field(&Finding::status, kOk)));
  EXPECT_THAT(findings,
              ElementsAre(is(kOk, "etcd", "e0:2379 answers in 2.0 ms: etcd 3.5.9"), is(kOk, "etcd", "which leads"),
                          is(kOk, "tls", "none"), is(kOk, "quorum", "1.0 ms"),
                          is(kOk, "user", "whoever asks may read and write /ferrun/fer/*"), is(kOk, "alarms", "32 KiB"),
                          is(kOk, "seat", "nobody coordinates job fer: the first")));
}

TEST(EtcdJudgement, AServerThatIsGoneIsAWarningAndAllOfThemAreAFailure) {
  EtcdFacts facts = healthy();
  facts.servers[0].failure = etcd::Failure{etcd::Refusal::kNoAnswer, "e0:2379 refused the connection"};
  EXPECT_THAT(judge_etcd(facts), Contains(is(kWarn, "etcd", "e0:2379 refused the connection; agents ask the others")));
  facts.servers[1].failure = etcd::Failure{etcd::Refusal::kOther, "HTTP status 404: is this etcd 3.4 or later"};
  facts.read = facts.write = facts.alarms = std::nullopt;
  EXPECT_THAT(judge_etcd(facts),
              ElementsAre(is(kFail, "etcd", "client endpoints"), is(kFail, "etcd", "e1:2379: HTTP status 404")));
}

TEST(EtcdJudgement, AServerWithoutALeaderAndAClusterWithoutAQuorumAreSaid) {
  EtcdFacts facts = healthy();
  facts.servers[0].status.leader = "";
  facts.read = no_answer(etcd::Refusal::kNoAnswer, "e0:2379 did not answer in time");
  facts.write = facts.read;
  const auto findings = judge_etcd(facts);
  EXPECT_THAT(findings, Contains(is(kWarn, "etcd", "hears no leader")));
  EXPECT_THAT(findings, Contains(is(kFail, "quorum", "did not answer in time); no round starts")));
  EXPECT_THAT(findings, Not(Contains(Field(&Finding::check, "user"))));
  facts = healthy();
  facts.read_took = 900ms;
  EXPECT_THAT(judge_etcd(facts), Contains(is(kWarn, "quorum", "slow")));
}

TEST(EtcdJudgement, WhoMayNotReadAndWhoMayNotWriteAreToldWhatHelps) {
  EtcdFacts facts = healthy();
  facts.user = "rd";
  facts.write = no_answer(etcd::Refusal::kForbidden, "permission denied");
  EXPECT_THAT(judge_etcd(facts),
              Contains(is(kFail, "user", "rd may read /ferrun/fer/* and not write it (permission denied): etcdctl")));
  facts.read = no_answer(etcd::Refusal::kForbidden, "authentication failed");
  const auto findings = judge_etcd(facts);
  EXPECT_THAT(findings, Contains(is(kFail, "user", "password_file of --rdzv-conf")));
  EXPECT_THAT(findings, Not(Contains(Field(&Finding::check, "seat"))));
}

TEST(EtcdJudgement, AFullEtcdAndADistrustedOneFail) {
  EtcdFacts facts = healthy();
  facts.write = no_answer(etcd::Refusal::kFull, "database space exceeded");
  EXPECT_THAT(judge_etcd(facts), AllOf(Contains(is(kFail, "alarms", "NOSPACE")), Contains(is(kOk, "user", "may"))));
  facts = healthy();
  facts.alarms->reply.alarms = {"CORRUPT"};
  EXPECT_THAT(judge_etcd(facts), Contains(is(kFail, "alarms", "CORRUPT")));
}

TEST(EtcdJudgement, APasswordThatTheNetworkCanReadIsAWarning) {
  EtcdFacts facts = healthy();
  facts.user = "fer";
  EXPECT_THAT(judge_etcd(facts), Contains(is(kWarn, "tls", "the password of fer can be read")));
  facts.loopback = true;
  EXPECT_THAT(judge_etcd(facts), Contains(is(kOk, "tls", "none")));
  facts.tls = etcd::TlsFiles{"ca.pem", "client.pem", "client.key"};
  EXPECT_THAT(judge_etcd(facts), Contains(is(kOk, "tls", "in ca.pem; client.pem is shown")));
}

TEST(EtcdJudgement, TheSeatAndWhatALaunchHasLeftAreTold) {
  EtcdFacts facts = healthy();
  facts.state = true;
  facts.state_seconds = 43;
  EXPECT_THAT(judge_etcd(facts), Contains(is(kWarn, "seat", "for 43 s more")));
  facts.seat = true;
  EXPECT_THAT(judge_etcd(facts), Contains(is(kOk, "seat", "has just taken")));
  facts.holder = etcd::SeatHolder{"a", "node0", {"10.0.0.1"}, 4711};
  facts.seat_seconds = 2;
  EXPECT_THAT(judge_etcd(facts), Contains(is(kOk, "seat", "node0 (10.0.0.1), port 4711, coordinates job fer")));
}

}  // namespace
}  // namespace ferrun
