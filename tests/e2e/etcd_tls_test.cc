// An etcd that speaks TLS and wants a client's certificate, and agents that have what it takes, or lack one thing. Real
// agents, real etcd.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/e2e/etcd_run.h"

namespace ferrun::testing {
namespace {

using ::testing::HasSubstr;

class EtcdTls : public Etcd {
 protected:
  static void SetUpTestSuite() { servers = std::make_unique<EtcdServers>(1, "", EtcdServers::Speak::kTls); }
  static void TearDownTestSuite() { servers.reset(); }
  void SetUp() override {
    if (!servers->why_not().empty()) GTEST_SKIP() << servers->why_not();
    speak_to("https://127.0.0.1");
  }

  void speak_to(const std::string& host) {
    endpoints = host + servers->endpoints().substr(servers->endpoints().find(':'));
  }
  static std::string authority() { return "cacert=" + servers->file("ca.pem"); }
  static std::string client() { return ",cert=" + servers->file("client.pem") + ",key=" + servers->file("client.key"); }
  std::unique_ptr<Program> meet_with(const std::string& conf) const {
    return meet("2", "tls", {"--rdzv-conf=" + conf});
  }
  // What an agent says that gives up at once.
  std::string refusal(const std::string& conf) const {
    const auto agent = meet_with(conf);
    EXPECT_FALSE(agent->wait().success());
    return agent->err();
  }

  static std::unique_ptr<EtcdServers> servers;
};
std::unique_ptr<EtcdServers> EtcdTls::servers;

TEST_F(EtcdTls, AJobMeetsByNameAndByAddress) {
  auto first = meet_with(authority() + client());
  speak_to("https://localhost");
  auto second = meet_with(authority() + client());
  ASSERT_TRUE(eventually_lines("up", 2)) << first->err() << second->err();
  touch("go");
  expect_success(*first);
  expect_success(*second);
}

TEST_F(EtcdTls, AnAuthorityThatIsNotTrustedIsNamed) {
  EXPECT_THAT(refusal("protocol=https" + client()),
              HasSubstr("has a certificate that is not trusted (unable to get local issuer certificate): cacert"));
}

// The resolver knows these spellings of 127.0.0.1, the certificate does not.
TEST_F(EtcdTls, ACertificateOfAnotherNameIsRefused) {
  speak_to("https://127.1");
  EXPECT_THAT(refusal(authority() + client()), HasSubstr("has a certificate for other names (hostname mismatch)"));
}

TEST_F(EtcdTls, AClientsCertificateThatIsWantedIsNamed) {
  EXPECT_THAT(refusal(authority()), HasSubstr("wants a client's certificate: cert and key of --rdzv-conf"));
}

TEST_F(EtcdTls, AFileThatHoldsSomethingElseIsNamed) {
  std::ofstream(file("empty")) << "nothing\n";
  EXPECT_THAT(refusal("cacert=" + file("empty")),
              HasSubstr("cacert=" + file("empty") + " of --rdzv-conf cannot be used"));
}

// Each side only sees that the other one ends the connection.
TEST_F(EtcdTls, WhereOnlyOneSideSpeaksTlsTheSchemeIsAsked) {
  speak_to("http://127.0.0.1");
  const auto plain = meet("2", "plain");
  const EtcdServers without(1);
  endpoints = "https://" + without.endpoints();
  const auto with_tls = meet("2", "tls");
  EXPECT_TRUE(plain->wait_for_output("does it want TLS, https://?")) << plain->err();
  EXPECT_TRUE(with_tls->wait_for_output("does it speak without, http://?")) << with_tls->err();
}

}  // namespace
}  // namespace ferrun::testing
