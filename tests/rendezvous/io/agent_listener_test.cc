#include "rendezvous/io/coordinator/agent_listener.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <functional>
#include <future>

#include "rendezvous/wire/frame_codec.h"
#include "tests/rendezvous/io/raw_client.h"

namespace ferrun {
namespace {

using boost::asio::ip::tcp;
using Outcome = AgentListener::Outcome;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

IpAddress ip(std::string_view text) { return parse_ip_address(text).value(); }

HostElection on(const std::vector<std::string>& addresses) {
  HostElection election{true, addresses.empty(), {}, ""};
  for (const std::string& text : addresses) election.listen.push_back(ip(text));
  return election;
}

class AgentListenerTest : public ::testing::Test {
 protected:
  AgentListener::Callbacks callbacks(bool with_store = true) {
    AgentListener::Callbacks made;
    const auto keep = [this](std::vector<std::string>& firsts) {
      return [this, &firsts](tcp::socket socket, const tcp::endpoint&, std::string_view first) {
        held.push_back(std::move(socket));
        firsts.emplace_back(first);
      };
    };
    made.agent = keep(agents);
    if (with_store) made.store_client = keep(store_clients);
    made.log = [this](const std::string& line) { lines.push_back(line); };
    return made;
  }

  void listen(const std::vector<std::string>& addresses = {"127.0.0.1"}, bool with_store = true) {
    AgentListener::Opened opened = AgentListener::open(io, on(addresses), 0, callbacks(with_store));
    ASSERT_EQ(opened.outcome, Outcome::kListening) << opened.why;
    listener = std::move(opened.listener);
  }

  RawClient client() { return RawClient::open(listener->port()); }

  void run_until(const std::function<bool()>& holds) {
    while (!holds()) io.run_one();
  }

  bool comes_to_be_closed(RawClient& client) {
    auto closed = std::async(std::launch::async, [&] { return client.is_closed(); });
    while (closed.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
      io.run_one_for(std::chrono::milliseconds(1));
    }
    return closed.get();
  }

  boost::asio::io_context io;
  std::vector<std::string> agents, store_clients, lines;
  std::vector<tcp::socket> held;
  std::unique_ptr<AgentListener> listener;
};

TEST_F(AgentListenerTest, TellsAgentsFromStoreClientsByTheirFirstBytes) {
  listen();
  RawClient agent = client(), store = client();
  agent.send(std::string(kStreamMagic) + "more");
  store.send(store_messages::validate());
  run_until([&] { return agents.size() + store_clients.size() == 2; });
  EXPECT_THAT(agents, ElementsAre(std::string(kStreamMagic) + "more"));
  EXPECT_THAT(store_clients, ElementsAre(store_messages::validate()));
}

TEST_F(AgentListenerTest, TellsThemApartHoweverTheBytesAreSplit) {
  listen();
  for (size_t split = 1; split < kStreamMagic.size(); ++split) {
    RawClient agent = client();
    agent.send(kStreamMagic.substr(0, split));
    run_until([&] { return listener->undecided() == 1; });
    io.poll();
    EXPECT_THAT(agents, IsEmpty()) << split;
    agent.send(kStreamMagic.substr(split));
    run_until([&] { return agents.size() == 1; });
    EXPECT_THAT(agents, ElementsAre(kStreamMagic)) << split;
    agents.clear();
  }
}

TEST_F(AgentListenerTest, ClosesStrangersAndSaysSoOnce) {
  listen();
  for (int i = 0; i < 3; ++i) {
    RawClient stranger = client();
    stranger.send("GET / HTTP/1.1\r\n");
    EXPECT_TRUE(comes_to_be_closed(stranger));
  }
  EXPECT_THAT(lines, ElementsAre(HasSubstr("which is no agent: it began with 'GET / HTTP/1.1'")));
  EXPECT_EQ(listener->undecided(), 0U);
}

TEST_F(AgentListenerTest, ClosesStoreClientsWhereNoStoreIsServed) {
  listen({"127.0.0.1"}, false);
  RawClient store = client();
  store.send(store_messages::validate());
  EXPECT_TRUE(comes_to_be_closed(store));
}

TEST_F(AgentListenerTest, KeepsNoAgentOutDuringAFloodOfSilentStrangers) {
  listen();
  std::vector<RawClient> silent;
  for (int i = 0; i < 1500; ++i) {
    silent.push_back(client());
    ASSERT_TRUE(silent.back().connected());
    io.poll();
  }
  EXPECT_LE(listener->undecided(), 1024U);
  RawClient agent = client();
  agent.send(kStreamMagic);
  run_until([&] { return agents.size() == 1; });
  EXPECT_TRUE(silent.front().is_closed());
}

TEST_F(AgentListenerTest, ClosesWhoSaysNothingInTime) {
  listen();
  RawClient silent = client();
  const auto begin = std::chrono::steady_clock::now();
  run_until([&] { return listener->undecided() == 1; });
  run_until([&] { return listener->undecided() == 0; });
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::seconds(4));
  EXPECT_TRUE(silent.is_closed());
}

TEST_F(AgentListenerTest, ForgetsStoreClientsOfAnOldRoundThatHaveNotSpoken) {
  listen();
  RawClient waiting = client(), split = client();
  split.send(store_messages::validate().substr(0, 1));
  waiting.send("");
  listener->forget_store_clients();
  RawClient fresh = client();
  for (RawClient* each : {&waiting, &split, &fresh}) each->send(store_messages::validate());
  run_until([&] { return store_clients.size() == 1; });
  EXPECT_TRUE(comes_to_be_closed(waiting));
  EXPECT_TRUE(comes_to_be_closed(split));
  EXPECT_EQ(store_clients.size(), 1U);
  RawClient agent = client();
  agent.send(kStreamMagic);
  run_until([&] { return agents.size() == 1; });
}

TEST_F(AgentListenerTest, ListensOnEveryAddressOfTheElection) {
  listen({"127.0.0.1", "127.0.0.2"});
  EXPECT_THAT(listener->addresses(), ElementsAre(ip("127.0.0.1"), ip("127.0.0.2")));
  const auto second = AgentListener::open(io, on({"127.0.0.2"}), listener->port(), callbacks());
  EXPECT_EQ(second.outcome, Outcome::kTaken);
  EXPECT_THAT(second.why, HasSubstr("is in use by another process"));
  EXPECT_EQ(AgentListener::open(io, on({"127.0.0.3"}), listener->port(), callbacks()).outcome, Outcome::kListening);
}

TEST_F(AgentListenerTest, LetsTheFirstAddressDecide) {
  listen({"127.0.0.2"});
  EXPECT_EQ(AgentListener::open(io, on({"127.0.0.2", "127.0.0.1"}), listener->port(), callbacks()).outcome,
            Outcome::kTaken);
  const auto partly = AgentListener::open(io, on({"127.0.0.1", "127.0.0.2"}), listener->port(), callbacks());
  EXPECT_EQ(partly.outcome, Outcome::kListening);
  EXPECT_THAT(lines, ElementsAre(HasSubstr("127.0.0.2:" + std::to_string(listener->port()) + " is in use")));
}

TEST_F(AgentListenerTest, IsNotTheHostWithAnAddressOfAnother) {
  const auto opened = AgentListener::open(io, on({"203.0.113.5"}), 0, callbacks());
  EXPECT_EQ(opened.outcome, Outcome::kNotHere);
}

TEST_F(AgentListenerTest, ListensEverywhereWhenTheUserSaysSo) {
  listen({});
  EXPECT_TRUE(client().connected());
  EXPECT_THAT(listener->addresses(), ElementsAre(ip("127.0.0.1")));
}

TEST_F(AgentListenerTest, EndsEveryConnectionThatNobodyHasTaken) {
  listen();
  RawClient silent = client();
  run_until([&] { return listener->undecided() == 1; });
  listener.reset();
  EXPECT_TRUE(silent.is_closed());
  io.run();
}

}  // namespace
}  // namespace ferrun
