#include "rendezvous/io/coordinator/coordinator_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <future>
#include <thread>

#include "rendezvous/io/coordinator/agent_listener.h"
#include "rendezvous/io/coordinator/file_store.h"
#include "rendezvous/io/net/random_bytes.h"
#include "rendezvous/job/job_status.h"
#include "rendezvous/wire/message_codec.h"
#include "tests/rendezvous/io/raw_client.h"
#include "tests/rendezvous/member/member_fleet.h"
#include "tests/temporary_directory.h"

namespace ferrun {
namespace {

using namespace std::chrono_literals;
using boost::asio::ip::tcp;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

std::shared_ptr<const JobSecret> job(const std::string& token = "token") {
  return std::make_shared<JobSecret>("job", token);
}

class CoordinatorServerTest : public ::testing::Test {
 protected:
  void serve(int nodes, const std::function<void(CoordinatorServer::Options&)>& adjust = nullptr) {
    CoordinatorServer::Options options;
    options.config.min_nodes = options.config.max_nodes = nodes;
    options.config.launch_id = "launch";
    options.secret = job();
    if (adjust) adjust(options);
    CoordinatorServer::Callbacks callbacks;
    callbacks.say = [this](const RendezvousSay& say) { lines.push_back(say.line); };
    callbacks.done = [this](const JobEnd& its_end) { end = its_end; };
    server = std::make_unique<CoordinatorServer>(io, std::move(options), std::move(callbacks));
    AgentListener::Callbacks port;
    port.agent = [this](tcp::socket socket, const tcp::endpoint& peer, std::string_view first) {
      if (send_buffer > 0) socket.set_option(tcp::socket::send_buffer_size(send_buffer));
      server->adopt(std::move(socket), peer, first);
    };
    auto opened = AgentListener::open(io, {true, false, {*parse_ip_address("127.0.0.1")}, ""}, 0, std::move(port));
    ASSERT_EQ(opened.outcome, AgentListener::Outcome::kListening) << opened.why;
    listener = std::move(opened.listener);
  }

  MemberLink::Options link_options(uint64_t agent, const std::string& token = "token") {
    MemberLink::Options options;
    options.endpoint = {"127.0.0.1", listener->port()};
    options.secret = job(token);
    options.agent = {agent};
    return options;
  }

  void add_members(int count) {
    for (int i = 0; i < count; ++i) fleet.add(link_options(static_cast<uint64_t>(i) + 1));
  }

  void run_until(const std::function<bool()>& holds) {
    while (!holds()) io.run_one();
  }
  void run_until_running(size_t count, const RoundId& at_least = {}) {
    run_until([&] { return fleet.running(at_least) == count; });
  }

  boost::asio::io_context io;
  MemberFleet fleet{io};
  std::vector<std::string> lines;
  std::optional<JobEnd> end;
  int send_buffer = 0;
  std::unique_ptr<CoordinatorServer> server;
  std::unique_ptr<AgentListener> listener;
};

TEST_F(CoordinatorServerTest, FormsARoundOfRealConnections) {
  serve(3);
  add_members(3);
  run_until_running(3);
  std::vector<int> ranks;
  for (size_t i = 0; i < 3; ++i) ranks.push_back(fleet[i].started->assignment.node_rank);
  EXPECT_THAT(ranks, UnorderedElementsAre(0, 1, 2));
  EXPECT_EQ(fleet[0].started->launch_id, "launch");
  EXPECT_EQ(server->machine().phase(), CoordinatorMachine::Phase::kRunning);
}

TEST_F(CoordinatorServerTest, StartsARoundAnewWhenAWorkerFails) {
  serve(3, [](CoordinatorServer::Options& options) { options.config.max_restarts = 1; });
  add_members(3);
  run_until_running(3);
  fleet[1].fail_a_worker();
  run_until_running(3, {1, 2});
  EXPECT_EQ(fleet[2].started->assignment.restart_count, 1);
}

TEST_F(CoordinatorServerTest, NoticesAnAgentsEndAtOnceAndTakesItsSuccessor) {
  serve(2, [](CoordinatorServer::Options& options) {
    options.config.max_restarts = 1;
    options.config.cause_wait = 1h;  // nobody else's word is waited for
  });
  add_members(2);
  run_until_running(2);
  fleet[1].link().hang_up();  // as if the process were gone
  run_until([&] { return fleet[0].stops == 1; });
  fleet.add(link_options(9));
  run_until([&] { return fleet.running({1, 2}) == 2; });
}

TEST_F(CoordinatorServerTest, EndsTheJobWhenItsOwnProcessIsToldTo) {
  serve(2, [](CoordinatorServer::Options& options) { options.config.own_process = true; });
  add_members(2);
  run_until_running(2);
  server->stop(15);
  run_until([&] { return end.has_value(); });
  EXPECT_EQ(end->exit_status, 128 + 15);
  run_until([&] { return fleet[0].end && fleet[1].end; });
  EXPECT_EQ(fleet[1].end->exit_status, 128 + 15);
  EXPECT_EQ(server->connection_count(), 0U);
}

TEST_F(CoordinatorServerTest, SavesTheStateBeforeARoundStarts) {
  const testing::TemporaryDirectory directory;
  StateOwner owner;
  owner.path = directory.file("state");
  FileStore store(io, owner);
  serve(2, [&](CoordinatorServer::Options& options) { options.store = &store; });
  add_members(2);
  run_until([&] { return fleet.running() > 0; });
  const auto state = load_state(directory.file("state"));
  ASSERT_TRUE(state.ok()) << state.error().message;
  EXPECT_EQ((*state)->newest, (RoundId{1, 1}));
  EXPECT_EQ((*state)->members.size(), 2U);
}

TEST_F(CoordinatorServerTest, AnswersWhoAsksForTheStatus) {
  serve(2);
  add_members(2);
  run_until_running(2);
  MemberLink::Options options = link_options(0);
  options.role = SessionRole::kStatus;
  std::unique_ptr<MemberLink> link;
  std::string json;
  MemberLink::Callbacks callbacks;
  callbacks.reached = [&](const CoordinatorReached&) { link->tell(StatusRequest{5}); };
  callbacks.said = [&](const CoordinatorSaid& said) {
    const auto& reply = std::get<StatusReply>(said.message);
    EXPECT_EQ(reply.id, 5U);
    json = reply.json;
  };
  link = std::make_unique<MemberLink>(io, std::move(options), std::move(callbacks));
  link->dial();
  run_until([&] { return !json.empty(); });
  const auto status = job_status_from_json(json);
  ASSERT_TRUE(status.ok()) << status.error().message;
  EXPECT_EQ(status->nodes.size(), 2U);
  EXPECT_EQ(fleet.running(), 2U);
}

TEST_F(CoordinatorServerTest, RefusesAWrongTokenAndSaysSoOnce) {
  serve(2);
  MemberFleet strangers(io);
  strangers.add(link_options(1, "another"));
  run_until([&] { return strangers[0].end.has_value(); });
  EXPECT_EQ(strangers[0].end->kind, JobEnd::Kind::kRefused);
  EXPECT_THAT(lines, ElementsAre(HasSubstr("refused a connection from 127.0.0.1: it has another job token")));
}

TEST_F(CoordinatorServerTest, EndsAHandshakeThatTakesTooLong) {
  serve(2);
  RawClient client = RawClient::open(listener->port());
  client.send(kStreamMagic);
  run_until([&] { return server->connection_count() == 1; });
  const auto begin = std::chrono::steady_clock::now();
  run_until([&] { return server->connection_count() == 0; });
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 4s);
  EXPECT_TRUE(client.is_closed());
}

// Each of them speaks as an agent does, and no further: its time alone would let them take all descriptors.
TEST_F(CoordinatorServerTest, HasRoomForABoundedNumberOfHandshakes) {
  serve(2, [](CoordinatorServer::Options& options) { options.most_handshakes = 8; });
  std::vector<RawClient> strangers;
  for (size_t i = 0; i < 8; ++i) {
    strangers.push_back(RawClient::open(listener->port()));
    strangers.back().send(kStreamMagic);
    run_until([&] { return server->connection_count() == i + 1; });
  }
  add_members(2);
  run_until_running(2);
  EXPECT_TRUE(strangers[0].is_closed());
  EXPECT_LE(server->connection_count(), 9U) << "two members, and the newest of the strangers";
  EXPECT_GE(server->connection_count(), 8U);
}

TEST_F(CoordinatorServerTest, CutsOffAPeerThatDoesNotRead) {
  serve(100);
  add_members(20);
  const auto all_wait = [&] {
    for (size_t i = 0; i < 20; ++i) {
      if (fleet[i].machine().phase() != MemberMachine::Phase::kWaiting) return false;
    }
    return true;
  };
  run_until(all_wait);  // there is much to tell
  send_buffer = 4096;
  RawClient client = RawClient::open(listener->port());
  std::string out;
  ClientSession session(job(), SessionRole::kStatus, {}, random_nonce(), out);
  client.send(out);
  out.clear();
  auto answer = std::async(std::launch::async, [&] {
    CoordinatorMessage message;
    SessionOutcome outcome = SessionOutcome::kNeedMore;
    while (outcome == SessionOutcome::kNeedMore) {
      const std::string bytes = client.receive(1);
      session.feed(bytes);
      outcome = session.next(message, boottime_now(), out);
    }
    return outcome;
  });
  while (answer.wait_for(0s) != std::future_status::ready) io.run_one_for(1ms);
  ASSERT_EQ(answer.get(), SessionOutcome::kAuthenticated);
  for (uint32_t i = 0; i < 1000; ++i) session.send(encode(StatusRequest{i}), out);
  auto sent = std::async(std::launch::async, [&] { client.send(out); });
  run_until([&] { return server->connection_count() == 21; });
  run_until([&] { return server->connection_count() == 20; });
  sent.wait();
}

// Its own standing still is not the members' silence.
TEST_F(CoordinatorServerTest, HearsWhatHasArrivedBeforeItJudges) {
  boost::asio::io_context elsewhere;
  MemberFleet others(elsewhere);
  serve(3, [](CoordinatorServer::Options& options) {
    options.config.own_process = true;
    options.config.heartbeat_interval = 20ms;
    options.config.silence = 3s;  // longer than a loaded machine keeps this thread waiting
    options.config.lease = 60s;
  });
  for (uint64_t i = 1; i <= 3; ++i) others.add(link_options(i));
  const auto both_run = [&] {
    io.run_one_for(1ms);
    elsewhere.run_one_for(1ms);
  };
  while (server->machine().phase() != CoordinatorMachine::Phase::kRunning) both_run();
  for (int stall = 0; stall < 2; ++stall) {
    elsewhere.run_for(3300ms);
    const auto end_of_stall = std::chrono::steady_clock::now();
    while (std::chrono::steady_clock::now() - end_of_stall < 200ms) both_run();
    EXPECT_EQ(server->machine().phase(), CoordinatorMachine::Phase::kRunning) << server->machine().reason();
    EXPECT_EQ(server->machine().round(), (RoundId{1, 1}));
  }
}

TEST_F(CoordinatorServerTest, CallsNobodyOnceItIsGone) {
  serve(2);
  add_members(1);
  run_until([&] { return server->connection_count() == 1; });
  const size_t before = lines.size();
  server.reset();
  listener.reset();
  io.run_for(50ms);
  EXPECT_EQ(lines.size(), before);
}

}  // namespace
}  // namespace ferrun
