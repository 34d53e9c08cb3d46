#include "rendezvous/io/net/resolver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <future>

namespace ferrun {
namespace {

using ::testing::HasSubstr;

constexpr std::chrono::seconds kPatience{60};

struct Asked {
  explicit Asked(std::string name, Resolver::LookUp how = look_up)
      : resolver(Resolver::make(
            io, std::move(name), [this](const NameAnswer& answer) { answers.push_back(answer); }, std::move(how))) {
    resolver->start();
  }
  ~Asked() { resolver->stop(); }

  bool comes_to(size_t count) {
    io.restart();
    while (answers.size() < count && io.run_one_for(kPatience) > 0) {
    }
    return answers.size() == count;
  }

  boost::asio::io_context io;
  std::vector<NameAnswer> answers;
  std::shared_ptr<Resolver> resolver;
};

TEST(Resolver, AnswersANumericAddressWithoutAsking) {
  Asked asked("::1", [](const std::string&) -> NameAnswer { return {{}, "asked"}; });
  EXPECT_TRUE(asked.answers.empty()) << "called back from start()";
  ASSERT_TRUE(asked.comes_to(1));
  EXPECT_EQ(to_string(asked.answers[0].addresses.at(0)), "::1");
}

TEST(Resolver, FindsLocalhost) {
  Asked asked("localhost");
  ASSERT_TRUE(asked.comes_to(1));
  EXPECT_TRUE(is_loopback(asked.answers[0].addresses.at(0))) << asked.answers[0].error;
}

TEST(Resolver, SaysWhyANameDoesNotResolve) {
  const NameAnswer answer = look_up("no-such-host.invalid");
  EXPECT_TRUE(answer.addresses.empty());
  EXPECT_NE(answer.error, "");
}

TEST(Resolver, AsksAgainUntilThereIsAnAddress) {
  auto count = std::make_shared<std::atomic<int>>(0);
  Asked asked("node0", [count](const std::string&) -> NameAnswer {
    if (++*count < 3) return {{}, "not yet"};
    return {{*parse_ip_address("10.0.0.1")}, ""};
  });
  ASSERT_TRUE(asked.comes_to(3));
  EXPECT_EQ(asked.answers[0].error, "not yet");
  EXPECT_EQ(to_string(asked.answers[2].addresses.at(0)), "10.0.0.1");
  EXPECT_EQ(asked.io.poll(), 0U) << "it asked on";
}

TEST(Resolver, AnswersAnewWhenAskedAnew) {
  Asked asked("node0", [](const std::string&) -> NameAnswer { return {{*parse_ip_address("10.0.0.1")}, ""}; });
  ASSERT_TRUE(asked.comes_to(1));
  asked.resolver->start();
  asked.resolver->start();
  EXPECT_TRUE(asked.comes_to(2));
}

TEST(Resolver, IsSilentOnceStopped) {
  auto release = std::make_shared<std::promise<void>>();
  auto left = std::make_shared<std::promise<void>>();
  Asked asked("node0", [release, left](const std::string&) -> NameAnswer {
    release->get_future().wait();
    left->set_value();
    return {{}, "late"};
  });
  asked.resolver->stop();
  release->set_value();
  left->get_future().wait();
  asked.io.run();
  EXPECT_TRUE(asked.answers.empty());
}

TEST(Resolver, LetsAProcessEndWhileItAsks) {
  FILE* program = ::popen(FERRUN_TEST_BIN_DIR "/ferrun_hanging_lookup", "r");
  ASSERT_NE(program, nullptr);
  char line[64] = "";
  EXPECT_NE(std::fgets(line, sizeof(line), program), nullptr);
  EXPECT_STREQ(line, "ended\n");
  EXPECT_EQ(::pclose(program), 0);
}

}  // namespace
}  // namespace ferrun
