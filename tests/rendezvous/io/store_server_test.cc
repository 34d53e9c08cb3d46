#include "rendezvous/io/store/store_server.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "rendezvous/io/net/port_owner.h"
#include "tests/rendezvous/io/raw_client.h"
#include "tests/rendezvous/io/resident_memory.h"
#include "tests/rendezvous/io/server_thread.h"
#include "tests/rendezvous/io/store_process.h"

namespace ferrun {
namespace {

namespace msg = store_messages;
using ::testing::HasSubstr;

const std::string kStopWaiting(1, '\0'), kCanceled(1, '\1');

class StoreServerTest : public ::testing::Test {
 protected:
  RawClient client() { return RawClient::greeted(server.port()); }

  ServerThread server;
};

TEST_F(StoreServerTest, AnswersOverIpv4) { EXPECT_EQ(client().ask(msg::ping(7), 4), msg::word(7)); }

TEST_F(StoreServerTest, AnswersOverIpv6OnTheSamePort) {
  RawClient v6 = RawClient::open_v6(server.port());
  if (!v6.connected()) GTEST_SKIP() << "this machine has no IPv6 loopback";
  EXPECT_EQ(v6.ask(msg::validate() + msg::ping(7), 4), msg::word(7));
}

TEST_F(StoreServerTest, SharesKeysBetweenClients) {
  RawClient a = client(), b = client();
  EXPECT_EQ(a.ask(msg::set("k", "v") + msg::ping(1), 4), msg::word(1));
  EXPECT_EQ(b.ask(msg::get("k"), 9), msg::text("v"));
}

TEST_F(StoreServerTest, AnswersPipelinedRequestsInOrder) {
  std::string requests, replies;
  for (int i = 1; i <= 5000; ++i) {
    requests += msg::add("n", 1) + msg::get("n");
    replies += msg::number(i) + msg::text(std::to_string(i));
  }
  RawClient a = client();
  std::thread sender([&] { a.send(requests); });
  EXPECT_EQ(a.receive(replies.size()), replies);
  sender.join();
}

TEST_F(StoreServerTest, TakesAFloodOfRequestsWithoutAnswers) {
  RawClient a = client();
  for (int batch = 0; batch < 100; ++batch) {
    std::string requests;
    for (int i = 0; i < 100; ++i) requests += msg::set("k" + std::to_string(batch) + "/" + std::to_string(i), "v");
    ASSERT_TRUE(a.send(requests));
  }
  EXPECT_EQ(a.ask(msg::get_num_keys(), 8), msg::number(10000));
}

TEST_F(StoreServerTest, TakesMessagesByteByByte) {
  RawClient a = RawClient::open(server.port());
  for (const char byte : msg::validate() + msg::set("key", "value") + msg::get("key")) a.send(std::string(1, byte));
  EXPECT_EQ(a.receive(13), msg::text("value"));
}

TEST_F(StoreServerTest, TakesAndGivesTheLargestValue) {
  const std::string value(kStoreMaxValueBytes, 'v');
  RawClient a = client();
  ASSERT_TRUE(a.send(msg::set("k", value)));
  EXPECT_EQ(a.ask(msg::get("k"), 8 + value.size()), msg::text(value));
}

TEST_F(StoreServerTest, AnswersAWaitWhenTheKeyComes) {
  RawClient a = client(), b = client();
  a.send(msg::wait({"k"}));
  EXPECT_EQ(b.ask(msg::set("k", "v") + msg::ping(1), 4), msg::word(1));
  EXPECT_EQ(a.receive(1), kStopWaiting);
}

TEST_F(StoreServerTest, AnswersACancelThatRacesWithTheKeyExactlyOnce) {
  RawClient a = client(), b = client();
  int answered_both = 0;
  for (int i = 0; i < 300; ++i) {
    const std::string key = "k" + std::to_string(i);
    a.send(msg::wait({key}));
    std::thread setter([&] { b.send(msg::set(key, "v")); });
    a.send(msg::cancel_wait());
    std::string answer = a.receive(1);
    if (answer == kStopWaiting) {
      ++answered_both;
      answer = a.receive(1);
    }
    EXPECT_EQ(answer, kCanceled);
    setter.join();
    EXPECT_EQ(a.ask(msg::ping(static_cast<uint32_t>(i)), 4), msg::word(static_cast<uint32_t>(i)))
        << "a stray byte came first";
  }
  RecordProperty("answered_both", answered_both);
}

TEST_F(StoreServerTest, ForgetsTheWaitOfAClientThatDisconnects) {
  RawClient a = client();
  a.send(msg::wait({"queue"}));
  RawClient b = client();
  a.send(msg::ping(1));
  ASSERT_EQ(a.receive(4), msg::word(1));
  b.send(msg::wait({"queue"}));
  a.disconnect();
  ASSERT_TRUE(server.comes_to_connections(1));
  RawClient c = client();
  c.send(msg::queue_push("queue", "job"));
  EXPECT_EQ(b.receive(1), kStopWaiting);
}

TEST_F(StoreServerTest, ClosesAnOldClientWithOneLineThatNamesIt) {
  RawClient old = RawClient::open(server.port());
  old.send(msg::add("init/", 1));  // what torch 1.13 sends first
  EXPECT_TRUE(old.is_closed());
  ASSERT_TRUE(server.comes_to_connections(0));
  ASSERT_EQ(server.lines().size(), 1u);
  EXPECT_THAT(server.lines()[0], HasSubstr("127.0.0.1:"));
  EXPECT_THAT(server.lines()[0], HasSubstr("torch 2.4 or newer is needed"));
}

TEST_F(StoreServerTest, NamesTheKeyOfAValueOverTheLimitInAWarning) {
  RawClient a = client();
  const std::string message = msg::set("/big", std::string(kStoreMaxValueBytes + 1, 'v'));
  a.send(message.substr(0, 100));
  EXPECT_TRUE(a.is_closed());
  ASSERT_EQ(server.lines().size(), 1u);
  EXPECT_THAT(server.lines()[0], HasSubstr("a value of 8388609 bytes for the key 'big' (at most 8388608"));
  EXPECT_EQ(server.warnings(), 1);
}

TEST_F(StoreServerTest, AFloodOfStrangersDoesNotFloodTheWarnings) {
  constexpr int kStrangers = 40;
  for (int i = 0; i < kStrangers; ++i) {
    RawClient stranger = RawClient::open(server.port());
    stranger.send("GET / HTTP/1.1\r\n\r\n");
    EXPECT_TRUE(stranger.is_closed());
  }
  EXPECT_EQ(server.lines().size(), static_cast<size_t>(kStrangers));
  EXPECT_LT(server.warnings(), kStrangers / 2);
  EXPECT_GT(server.warnings(), 0);
}

TEST_F(StoreServerTest, CountsTheClientsThatHaveSpoken) {
  RawClient silent = RawClient::open(server.port());
  RawClient stranger = RawClient::open(server.port());
  stranger.send("GET / HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(stranger.is_closed());
  EXPECT_EQ(server.clients_seen(), 0u);
  for (int i = 0; i < 2; ++i) ASSERT_EQ(client().ask(msg::ping(1) + msg::ping(1), 8), msg::word(1) + msg::word(1));
  EXPECT_EQ(server.clients_seen(), 2u) << "those that are gone as well";
  server.on_loop([](StoreServer& store) { store.reset(); });
  EXPECT_EQ(server.clients_seen(), 0u);
}

TEST_F(StoreServerTest, ClosesOnGarbageAndServesTheOthers) {
  RawClient good = client();
  for (const std::string& garbage :
       {std::string("GET / HTTP/1.1\r\n\r\n"), std::string(100, '\0'), std::string(100, '\xff'),
        msg::validate() + "\x7f", msg::validate() + msg::op_byte(StoreOp::kWait) + msg::number(-1)}) {
    RawClient bad = RawClient::open(server.port());
    bad.send(garbage);
    EXPECT_TRUE(bad.is_closed());
  }
  EXPECT_EQ(good.ask(msg::ping(1), 4), msg::word(1));
}

TEST_F(StoreServerTest, AnswersWhatCameBeforeABrokenRequest) {
  RawClient a = client();
  EXPECT_EQ(a.ask(msg::ping(1) + "\x7f", 4), msg::word(1));
  EXPECT_TRUE(a.is_closed());
}

TEST_F(StoreServerTest, ClosesWhenTheMachineRefuses) {
  RawClient a = client();
  a.send(msg::set("n", "no number") + msg::add("n", 1) + msg::ping(1));
  EXPECT_TRUE(a.is_closed());
  ASSERT_EQ(server.lines().size(), 1u);
  EXPECT_THAT(server.lines()[0], HasSubstr("holds no number"));
}

TEST_F(StoreServerTest, KeepsNoMoreThanALittleForAClientThatDoesNotRead) {
  const std::string value(1 << 20, 'v');
  constexpr int kRequests = 256;
  RawClient slow = client(), other = client();
  slow.send(msg::set("k", value));
  ASSERT_EQ(slow.ask(msg::ping(1), 4), msg::word(1));
  const size_t before = resident_bytes();
  std::string requests;
  for (int i = 0; i < kRequests; ++i) requests += msg::get("k");
  ASSERT_TRUE(slow.send(requests));
  for (uint32_t i = 0; i < 100; ++i) ASSERT_EQ(other.ask(msg::ping(i), 4), msg::word(i));
  EXPECT_LT(resident_bytes(), before + kLittleMemory) << "of " << kRequests << " MiB asked for";
  const std::string reply = msg::text(value);
  for (int i = 0; i < kRequests; ++i) ASSERT_EQ(slow.receive(reply.size()), reply) << "reply " << i;
  EXPECT_EQ(slow.ask(msg::ping(2), 4), msg::word(2));
}

TEST_F(StoreServerTest, LetsGoOfAClientThatNeverReadItsReplies) {
  RawClient slow = client();
  slow.send(msg::set("k", std::string(1 << 20, 'v')));
  for (int i = 0; i < 64; ++i) slow.send(msg::get("k"));
  slow.disconnect();
  EXPECT_TRUE(server.comes_to_connections(0));
}

TEST_F(StoreServerTest, ResetForgetsKeysAndResetsConnections) {
  RawClient a = client();
  ASSERT_EQ(a.ask(msg::set("k", "v") + msg::ping(1), 4), msg::word(1));
  const uint16_t port = server.port();
  server.on_loop([](StoreServer& store) { store.reset(); });
  EXPECT_TRUE(a.is_closed());
  EXPECT_EQ(server.port(), port);
  EXPECT_EQ(client().ask(msg::get_num_keys(), 8), msg::number(0));
}

TEST_F(StoreServerTest, ResetDropsWhatADeadClientLeftInTheBacklog) {
  std::vector<RawClient> stale;
  server.on_loop([&](StoreServer& store) {
    // The loop stands still: these connections and their bytes wait in the kernel.
    for (int i = 0; i < 10; ++i) {
      stale.push_back(client());
      stale.back().send(msg::set("stale", "value"));
    }
    store.reset();
  });
  for (RawClient& one : stale) EXPECT_TRUE(one.is_closed());
  RawClient fresh = client();
  EXPECT_EQ(fresh.ask(msg::get_num_keys(), 8), msg::number(0));
  EXPECT_EQ(server.connections(), 1u);
}

TEST_F(StoreServerTest, ServesTheNextAttemptAfterEveryReset) {
  for (int attempt = 0; attempt < 50; ++attempt) {
    RawClient a = client(), b = client();
    a.send(msg::wait({"never"}));
    EXPECT_EQ(b.ask(msg::add("n", 1), 8), msg::number(1)) << "attempt " << attempt;
    server.on_loop([](StoreServer& store) { store.reset(); });
  }
}

TEST_F(StoreServerTest, ClosesEverythingOnExec) {
  RawClient a = client();
  ASSERT_EQ(a.ask(msg::ping(1), 4), msg::word(1));
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const std::string target = std::filesystem::read_symlink(entry.path(), gone).string();
    if (gone || !target.starts_with("socket:")) continue;
    const int fd = std::stoi(entry.path().filename().string());
    EXPECT_TRUE((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0) << "descriptor " << fd << " is " << target;
  }
}

TEST_F(StoreServerTest, NamesTheProcessThatHoldsThePort) {
  boost::asio::io_context io;
  StoreServerOptions options;
  options.port = server.port();
  const auto second = StoreServer::listen(io, options);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().kind, ErrorKind::kPlatform);
  EXPECT_THAT(second.error().message, HasSubstr(":" + std::to_string(server.port()) + ": the port is in use by pid " +
                                                std::to_string(::getpid()) + " (store_server_te)"));
  EXPECT_EQ(second.error().message.find('\n'), std::string::npos);
}

TEST(StoreServerListen, TakesANumericAddressAndAName) {
  boost::asio::io_context io;
  for (const char* address : {"127.0.0.1", "localhost"}) {
    StoreServerOptions options;
    options.address = address;
    const auto server = StoreServer::listen(io, options);
    ASSERT_TRUE(server.ok()) << server.error().message;
    EXPECT_NE((*server)->port(), 0);
  }
}

TEST(StoreServerListen, SaysWhichAddressCannotBeUsed) {
  boost::asio::io_context io;
  StoreServerOptions options;
  options.address = "203.0.113.1";  // set aside for documentation
  const auto server = StoreServer::listen(io, options);
  ASSERT_FALSE(server.ok());
  EXPECT_THAT(server.error().message, HasSubstr("cannot listen on 203.0.113.1:0: "));
}

TEST(PortOwner, FindsListenersInTheKernelsTable) {
  const std::string table =
      "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
      "   0: 0100007F:5B9A 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000 100 0 0 "
      "10 0\n"
      "   1: 0100007F:5B9A 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0000 20 4 30 "
      "10 -1\n"
      "   2: 00000000:5B9B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0000 100 0 0 "
      "10 0\n"
      "   3: 00000000000000000000000000000000:5B9A 00000000000000000000000000000000:0000 0A 00000000:00000000 "
      "00:00000000 "
      "00000000     0        0 4714 1 0000 100 0 0 10 0\n"
      "garbage\n";
  EXPECT_EQ(listening_inodes(table, 0x5B9A), (std::vector<uint64_t>{4711, 4714}));
  EXPECT_TRUE(listening_inodes(table, 80).empty());
}

TEST(PortOwner, IsThisProcessOnlyWhileItListens) {
  const std::string self = "pid " + std::to_string(::getpid()) + " (store_server_te)";
  uint16_t port = 0;
  {
    boost::asio::io_context io;
    const auto server = StoreServer::listen(io, {});
    ASSERT_TRUE(server.ok());
    port = (*server)->port();
    EXPECT_EQ(port_owner(port), self);
  }
  EXPECT_NE(port_owner(port), self);
}

// What ferrun_store_server has spent of the processor, in clock ticks.
long cpu_ticks(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string field;
  for (int i = 0; i < 13; ++i) file >> field;
  long user = 0, system = 0;
  file >> user >> system;
  return user + system;
}

TEST(StoreServerProcess, WaitsWithoutSpinningWhenItIsOutOfDescriptors) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "UndefinedBehaviorSanitizer opens pipes of its own and stops the server without them";
#endif
  constexpr rlim_t kDescriptors = 24;
  StoreProcess server(kDescriptors);
  std::vector<RawClient> clients;
  for (rlim_t i = 0; i < 2 * kDescriptors; ++i) clients.push_back(RawClient::greeted(server.port()));
  ASSERT_THAT(server.next_line(), HasSubstr("cannot accept a connection: Too many open files"));
  const long before = cpu_ticks(server.pid());
  const auto begin = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() < begin + std::chrono::milliseconds(500)) {
    ASSERT_EQ(clients[0].ask(msg::ping(1), 4), msg::word(1)) << "it serves those that it has";
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const double spent =
      static_cast<double>(cpu_ticks(server.pid()) - before) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  EXPECT_LT(spent, 0.5 * seconds);
  RawClient last = std::move(clients.back());
  clients.clear();
  EXPECT_EQ(last.ask(msg::ping(2), 4), msg::word(2)) << "it accepts again when descriptors are free";
}

}  // namespace
}  // namespace ferrun
