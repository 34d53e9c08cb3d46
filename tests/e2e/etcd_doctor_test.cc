// ferrun doctor looks at a real etcd: at its servers, at what a user may do there, and at a job's seat.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "tests/e2e/etcd_run.h"

namespace ferrun::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class EtcdDoctor : public Etcd {
 protected:
  bool start(int count, const std::string& flags = "", EtcdServers::Speak speak = EtcdServers::Speak::kPlain) {
    servers = std::make_unique<EtcdServers>(count, flags, speak);
    endpoints = servers->endpoints();
    return servers->why_not().empty();
  }
  // Its exit status and what it says.
  std::pair<int, std::string> doctor(Words options = {}, const Words& variables = {}) const {
    options.insert(options.begin(), {"doctor", "--rdzv-backend=etcd", "--rdzv-endpoint=" + endpoints, "--rdzv-id=fer"});
    const auto program = ferrun(options, variables);
    const int code = program->wait().code();
    return {code, program->out() + program->err()};
  }
  Words password(const std::string& text) const {
    std::ofstream(file("password")) << text << "\n";
    std::filesystem::permissions(file("password"), std::filesystem::perms(0600));
    return {"--rdzv-conf=user=rd,password_file=" + file("password")};
  }

  std::unique_ptr<EtcdServers> servers;
};

TEST_F(EtcdDoctor, LooksAtEachServerAndAtTheSeat) {
  if (!start(3)) GTEST_SKIP() << servers->why_not();
  const auto [code, text] = doctor();
  EXPECT_EQ(code, 0) << text;
  EXPECT_THAT(text, AllOf(HasSubstr("which leads"), HasSubstr("ok    quorum  "), HasSubstr("whoever asks may read and"),
                          HasSubstr("ok    alarms  none"), HasSubstr("nobody coordinates job fer")));
  EXPECT_THAT(servers->ask({"get", "/ferrun/", "--prefix"}), "") << "the doctor has written something";

  auto agents = meet_all(2, "fer");
  // A variable says the same as options do.
  const auto program =
      ferrun({"doctor"}, {"PET_RDZV_BACKEND=etcd", "PET_RDZV_ENDPOINT=" + endpoints, "PET_RDZV_ID=fer"});
  EXPECT_TRUE(program->wait().success());
  EXPECT_THAT(program->out(), AllOf(HasSubstr(", coordinates job fer, by a lease of"),
                                    HasSubstr("ok    agents  the coordinator answers at")));
  touch("go");
  for (const auto& agent : agents) expect_success(*agent);
}

TEST_F(EtcdDoctor, NamesServersThatAreGoneAndAQuorumThatIsLost) {
  if (!start(3)) GTEST_SKIP() << servers->why_not();
  const int leader = servers->leader();
  const int lost = (leader + 1) % 3;
  const pid_t pid = servers->pid(lost);
  servers->signal(lost, SIGKILL);
  ASSERT_TRUE(eventually([pid] { return kill(pid, 0) != 0; }));
  const auto [with_one_lost, text] = doctor();
  EXPECT_EQ(with_one_lost, 0) << text;
  EXPECT_THAT(text, HasSubstr("refused the connection; agents ask the others"));
  servers->signal((leader + 2) % 3, SIGSTOP);
  const auto [without_quorum, words] = doctor();
  EXPECT_EQ(without_quorum, 1);
  EXPECT_THAT(words, AllOf(HasSubstr("did not answer in time; agents ask the others"), HasSubstr("FAIL  quorum")));
}

TEST_F(EtcdDoctor, TellsWhatTheUserMayDoAndNeverThePassword) {
  if (!start(1)) GTEST_SKIP() << servers->why_not();
  for (const Words& words : std::vector<Words>{{"user", "add", "root:r"},
                                               {"user", "grant-role", "root", "root"},
                                               {"role", "add", "rd"},
                                               {"role", "grant-permission", "rd", "read", "/ferrun/", "--prefix"},
                                               {"user", "add", "rd:right-one"},
                                               {"user", "grant-role", "rd", "rd"},
                                               {"auth", "enable"}}) {
    servers->ask(words);
  }
  const auto [no_user, nobody] = doctor();
  EXPECT_EQ(no_user, 1);
  EXPECT_THAT(nobody, AllOf(HasSubstr("FAIL  user"), HasSubstr("user and password_file of --rdzv-conf")));
  const auto [reader, may_read] = doctor(password("right-one"));
  EXPECT_EQ(reader, 1);
  EXPECT_THAT(may_read, AllOf(HasSubstr("rd may read /ferrun/fer/* and not write it"), Not(HasSubstr("right-one"))));
  const auto [stranger, wrong] = doctor(password("wrong-one"));
  EXPECT_EQ(stranger, 1);
  EXPECT_THAT(wrong, AllOf(HasSubstr("authentication failed"), Not(HasSubstr("wrong-one"))));
  servers->ask({"--user", "root:r", "role", "grant-permission", "rd", "readwrite", "/ferrun/", "--prefix"});
  const auto [writer, may_write] = doctor(password("right-one"));
  EXPECT_EQ(writer, 0) << may_write;
  EXPECT_THAT(may_write, HasSubstr("rd may read and write /ferrun/fer/*"));
}

TEST_F(EtcdDoctor, FailsForAFullOne) {
  if (!start(1, "--quota-backend-bytes=2000000")) GTEST_SKIP() << servers->why_not();
  ASSERT_TRUE(fill(*servers));
  const auto [code, text] = doctor();
  EXPECT_EQ(code, 1);
  EXPECT_THAT(text, AllOf(HasSubstr("FAIL  alarms"), HasSubstr("etcdctl alarm disarm")));
}

TEST_F(EtcdDoctor, TellsWhatIsMissingForTls) {
  if (!start(1, "", EtcdServers::Speak::kTls)) GTEST_SKIP() << servers->why_not();
  const std::string authority = "--rdzv-conf=protocol=https,cacert=" + servers->file("ca.pem");
  const std::string client = ",cert=" + servers->file("client.pem") + ",key=" + servers->file("client.key");
  const auto [without, refused] = doctor({authority});
  EXPECT_EQ(without, 1);
  EXPECT_THAT(refused, HasSubstr("wants a client's certificate: cert and key of --rdzv-conf"));
  const auto [with, text] = doctor({authority + client});
  EXPECT_EQ(with, 0) << text;
  EXPECT_THAT(text, HasSubstr("ok    tls     the certificates are from an authority in " + servers->file("ca.pem")));
  const auto [plain, words] = doctor();
  EXPECT_EQ(plain, 1);
  EXPECT_THAT(words, HasSubstr("does it want TLS, https://?"));
}

}  // namespace
}  // namespace ferrun::testing
