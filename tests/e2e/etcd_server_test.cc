// An etcd of one server with troubles of its own: it forgets its history, is full, wants a password. Real agents, real
// etcd.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/e2e/etcd_run.h"

namespace ferrun::testing {
namespace {

using ::testing::HasSubstr;

class EtcdServer : public Etcd {
 protected:
  bool start(const std::string& flags = "") {
    server = std::make_unique<EtcdServers>(1, flags);
    endpoints = server->endpoints();
    return server->why_not().empty();
  }
  std::string revision() const {
    const std::string json = server->ask({"get", "nothing", "-w", "json"});
    const size_t at = json.find("\"revision\":") + 11;
    return json.substr(at, json.find_first_not_of("0123456789", at) - at);
  }

  std::unique_ptr<EtcdServers> server;
};

TEST_F(EtcdServer, AFullOneIsNamedAndForgottenHistoryHarmsNobody) {
  if (!start("--quota-backend-bytes=2000000")) GTEST_SKIP() << server->why_not();
  std::ofstream(file("ballast")) << std::string(600'000, 'x');
  std::string answer;
  for (int i = 0; i < 8 && answer.find("space exceeded") == std::string::npos; ++i) {
    Program put({"sh", "-c", "etcdctl --endpoints " + endpoints + " put ballast < " + file("ballast")},
                {.environment = {"ETCDCTL_API=3"}});
    put.wait();
    answer = put.err();
  }
  ASSERT_THAT(answer, HasSubstr("space exceeded"));
  auto first = meet("2", "full");
  ASSERT_TRUE(first->wait_for_output("etcd is full and takes no writes")) << first->err();
  server->ask({"del", "ballast"});
  server->ask({"compact", revision()});
  server->ask({"defrag"});
  server->ask({"alarm", "disarm"});
  auto second = meet("2", "full");
  ASSERT_TRUE(eventually_lines("up", 2)) << first->err();
  server->ask({"compact", revision()});
  touch("go");
  expect_success(*first);
  expect_success(*second);
}

TEST_F(EtcdServer, APasswordComesFromAFile) {
  if (!start()) GTEST_SKIP() << server->why_not();
  server->ask({"user", "add", "root:right"});
  server->ask({"user", "grant-role", "root", "root"});
  server->ask({"auth", "enable"});
  const auto with = [this](const std::string& password) -> Words {
    std::ofstream(file("password")) << password << "\n";
    std::filesystem::permissions(file("password"), std::filesystem::perms(0600));
    return {"--rdzv-conf=user=root,password_file=" + file("password")};
  };
  auto wrong = meet("2", "auth", with("wrong"));
  EXPECT_FALSE(wrong->wait().success());
  EXPECT_THAT(wrong->err(), HasSubstr("password_file of --rdzv-conf"));
  auto nobody = meet("2", "auth");
  EXPECT_FALSE(nobody->wait().success());
  const Words right = with("right");
  auto first = meet("2", "auth", right);
  auto second = meet("2", "auth", right);
  ASSERT_TRUE(eventually_lines("up", 2)) << first->err();
  touch("go");
  expect_success(*first);
  expect_success(*second);
}

}  // namespace
}  // namespace ferrun::testing
