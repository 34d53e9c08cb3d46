// Connections that a store server is given, and those that it refuses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "rendezvous/io/net/listener.h"
#include "rendezvous/io/store/store_server.h"
#include "tests/rendezvous/io/raw_client.h"

namespace ferrun {
namespace {

namespace msg = store_messages;
using boost::asio::ip::tcp;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

tcp::endpoint from(const std::string& address) { return {boost::asio::ip::make_address(address), 4711}; }

// Accepts connections of this machine and gives them to a store server as if they came from elsewhere.
class StoreAdmission : public ::testing::Test {
 protected:
  StoreAdmission() {
    StoreServerOptions options;
    options.port = 29500;
    options.warn = [this](const std::string& line) { lines.push_back(line); };
    options.patience = std::chrono::milliseconds(10);
    server = StoreServer::without_listener(options);
    const auto accept = [this](tcp::socket socket, const tcp::endpoint&) {
      server->adopt(std::move(socket), from(peer), first);
      ++adopted;
    };
    listener = Listener::listen(io, "127.0.0.1", 0, accept, nullptr).value();
  }
  ~StoreAdmission() override { listener->close(); }

  RawClient client(const std::string& address, const std::string& first_bytes = "") {
    peer = address;
    first = first_bytes;
    RawClient made = RawClient::open(listener->port());
    for (const int before = adopted; adopted == before;) io.run_one();
    return made;
  }

  std::string ping(RawClient& client, const std::string& request) {
    client.send(request);
    auto reply = std::async(std::launch::async, [&] { return client.receive(4); });
    while (reply.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
      io.run_one_for(std::chrono::milliseconds(1));
    }
    return reply.get();
  }

  boost::asio::io_context io;
  std::vector<std::string> lines;
  std::string peer, first;
  int adopted = 0;
  std::unique_ptr<StoreServer> server;
  std::shared_ptr<Listener> listener;
};

TEST_F(StoreAdmission, ServesAConnectionOfWhichSomeBytesAreRead) {
  const std::string request = msg::validate() + msg::ping(7);
  RawClient split = client("10.0.0.1", request.substr(0, 3));
  EXPECT_EQ(ping(split, request.substr(3)), msg::word(7));
  RawClient whole = client("10.0.0.1", request);
  EXPECT_EQ(ping(whole, ""), msg::word(7));
  EXPECT_EQ(server->port(), 29500);
}

TEST_F(StoreAdmission, AdmitsTheNodesOfTheJobAndThisHost) {
  server->admit_only({"10.0.0.1", "fe80::1%eth7", "not an address"});
  for (const std::string address : {"10.0.0.1", "::ffff:10.0.0.1", "fe80::1", "127.0.0.1", "127.0.1.1", "::1"}) {
    RawClient admitted = client(address);
    EXPECT_EQ(ping(admitted, msg::validate() + msg::ping(7)), msg::word(7)) << address;
  }
  EXPECT_THAT(lines, IsEmpty());
}

TEST_F(StoreAdmission, RefusesEveryOtherAddressAndSaysSoOnce) {
  server->admit_only({"10.0.0.1"});
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(client("10.0.0.2").is_closed());
  EXPECT_EQ(server->connection_count(), 0U);
  EXPECT_THAT(lines, ElementsAre(HasSubstr("refused a connection from 10.0.0.2:4711")));
}

TEST_F(StoreAdmission, LetsGoOfAClientThatNeverSpeaksAndOfNoOther) {
  RawClient idle = client("10.0.0.1", msg::validate());
  RawClient halfway = client("10.0.0.1", msg::validate().substr(0, 3));
  RawClient silent = client("10.0.0.1");
  EXPECT_EQ(server->connection_count(), 3U);
  while (server->connection_count() > 1) ASSERT_GT(io.run_one_for(std::chrono::seconds(60)), 0U);
  EXPECT_TRUE(silent.is_closed());
  EXPECT_TRUE(halfway.is_closed());
  EXPECT_EQ(ping(idle, msg::ping(7)), msg::word(7));
}

TEST_F(StoreAdmission, AClientThatIsReadLateIsNotSilent) {
  peer = "10.0.0.1";
  RawClient early = RawClient::open(listener->port());
  ASSERT_TRUE(early.send(msg::validate() + msg::ping(7)));
  while (adopted == 0) io.run_one();
  // The loop stands still for longer than the patience while the request waits to be read.
  const auto begin = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() < begin + std::chrono::milliseconds(20)) {
  }
  EXPECT_EQ(ping(early, ""), msg::word(7));
}

TEST_F(StoreAdmission, WithoutOthersAdmitsThisHostAlone) {
  server->admit_only({});
  RawClient own = client("127.0.0.1", msg::validate());
  EXPECT_EQ(ping(own, msg::ping(7)), msg::word(7));
  EXPECT_TRUE(client("10.0.0.1").is_closed());
}

TEST_F(StoreAdmission, RefusesANodeThatIsAdmittedNoMore) {
  server->admit_only({"10.0.0.1", "10.0.0.2"});
  RawClient before = client("10.0.0.2");
  server->reset();
  server->admit_only({"10.0.0.1"});
  EXPECT_TRUE(before.is_closed());
  EXPECT_TRUE(client("10.0.0.2").is_closed());
}

}  // namespace
}  // namespace ferrun
