#include "rendezvous/io/store/store_dial.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/write.hpp>
#include <optional>

#include "rendezvous/io/net/listener.h"
#include "rendezvous/io/store/store_server.h"

namespace ferrun {
namespace {

using boost::asio::ip::tcp;
using ::testing::HasSubstr;

constexpr Duration kPatience = std::chrono::seconds(60);
constexpr Duration kShort = std::chrono::milliseconds(100);

class StoreDialTest : public ::testing::Test {
 protected:
  // On this address of the loopback network; port 0 takes one that the others may share.
  void serve(const std::string& address, uint16_t at = 0) {
    auto server = StoreServer::listen(io, {address, at, nullptr});
    ASSERT_TRUE(server.ok()) << server.error().message;
    port = (*server)->port();
    servers.push_back(std::move(*server));
  }

  // A listener that does nothing with its connections.
  void hold_silent(const std::string& address) {
    auto keep = [this](tcp::socket socket, const tcp::endpoint&) { held.push_back(std::move(socket)); };
    silent = Listener::listen(io, address, port, keep, nullptr).value();
  }

  Result<StoreRoute> dial(const std::vector<std::string>& addresses, Duration patience = kPatience) {
    std::optional<Result<StoreRoute>> found;
    const auto dialled =
        StoreDial::start(io, addresses, port, patience, [&](Result<StoreRoute> route) { found = std::move(route); });
    while (!found) io.run_one();
    return *found;
  }

  ~StoreDialTest() override {
    if (silent) silent->close();
  }

  boost::asio::io_context io;
  std::vector<std::unique_ptr<StoreServer>> servers;
  std::vector<tcp::socket> held;
  std::shared_ptr<Listener> silent;
  uint16_t port = 0;
};

TEST_F(StoreDialTest, FindsTheStoreAndTheInterfaceThatLeadsToIt) {
  serve("127.0.0.1");
  const Result<StoreRoute> route = dial({"127.0.0.1"});
  ASSERT_TRUE(route.ok()) << route.error().message;
  EXPECT_EQ(route->address, "127.0.0.1");
  EXPECT_EQ(route->local, "127.0.0.1");
  EXPECT_EQ(route->interface, "lo");
}

TEST_F(StoreDialTest, PrefersTheFirstOfSeveralThatWork) {
  serve("127.0.0.1");
  serve("127.0.0.2", port);
  serve("127.0.0.3", port);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(dial({"127.0.0.2", "127.0.0.3", "127.0.0.1"})->address, "127.0.0.2");
}

TEST_F(StoreDialTest, TakesALaterAddressWhenTheFirstRefuses) {
  serve("127.0.0.1");
  EXPECT_EQ(dial({"127.0.0.2", "127.0.0.1"})->address, "127.0.0.1");
}

TEST_F(StoreDialTest, TakesALaterAddressWhenTheFirstIsSilent) {
  serve("127.0.0.1");
  hold_silent("127.0.0.2");
  EXPECT_EQ(dial({"127.0.0.2", "127.0.0.1"})->address, "127.0.0.1");
}

TEST_F(StoreDialTest, IsNotTakenInByAStranger) {
  serve("127.0.0.1");
  auto echo = [this](tcp::socket socket, const tcp::endpoint&) {
    boost::asio::write(socket, boost::asio::buffer("HTTP/1.1 400", 12));
    held.push_back(std::move(socket));
  };
  silent = Listener::listen(io, "127.0.0.2", port, echo, nullptr).value();
  EXPECT_EQ(dial({"127.0.0.2", "127.0.0.1"})->address, "127.0.0.1");
}

TEST_F(StoreDialTest, FindsAStoreThatComesLater) {
  serve("127.0.0.1");
  servers.clear();
  bool done = false;
  const auto dialled = StoreDial::start(io, {"127.0.0.1"}, port, kPatience, [&](const Result<StoreRoute>& route) {
    EXPECT_TRUE(route.ok());
    done = true;
  });
  io.run_for(std::chrono::milliseconds(5));
  serve("127.0.0.1", port);
  while (!done) io.run_one();
}

TEST_F(StoreDialTest, NamesEveryAddressAndWhatBecameOfIt) {
  serve("127.0.0.1");
  hold_silent("127.0.0.3");
  servers.clear();
  const Result<StoreRoute> route = dial({"127.0.0.2", "127.0.0.3"}, kShort);
  ASSERT_FALSE(route.ok());
  EXPECT_THAT(route.error().message, HasSubstr("127.0.0.2:" + std::to_string(port) + " refused the connection"));
  EXPECT_THAT(route.error().message, HasSubstr("127.0.0.3:" + std::to_string(port) + " did not answer"));
}

TEST_F(StoreDialTest, SaysWhenThereIsNoAddressToTry) { EXPECT_FALSE(dial({"node0"}).ok()); }

TEST_F(StoreDialTest, IsSilentOnceCancelled) {
  serve("127.0.0.1");
  const auto dialled = StoreDial::start(io, {"127.0.0.1"}, port, kShort, [](const Result<StoreRoute>&) { FAIL(); });
  dialled->cancel();
  io.run_for(2 * kShort);
}

}  // namespace
}  // namespace ferrun
