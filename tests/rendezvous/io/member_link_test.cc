#include "rendezvous/io/member/member_link.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <deque>
#include <future>

#include "common/io/clock.h"
#include "rendezvous/io/coordinator/coordinator_peer.h"
#include "rendezvous/io/net/listener.h"
#include "rendezvous/io/net/random_bytes.h"
#include "rendezvous/wire/message_codec.h"

namespace ferrun {
namespace {

using boost::asio::ip::tcp;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

IpAddress link_ip(std::string_view text) { return parse_ip_address(text).value(); }

std::shared_ptr<const JobSecret> link_job(const std::string& id = "job", const std::string& token = "token") {
  return std::make_shared<JobSecret>(id, token);
}

// The coordinator's end of a session, without a coordinator: it records, and says what a test wants.
class Host final : public SessionConnection::Owner {
 public:
  Host(boost::asio::io_context& io, const std::string& address, uint16_t port,
       std::shared_ptr<const JobSecret> secret = link_job()) {
    const auto accept = [this, secret](tcp::socket socket, const tcp::endpoint&) {
      peers.push_back(
          std::make_shared<CoordinatorPeer>(std::move(socket), *this, peers.size(), "", secret, random_nonce()));
      peers.back()->start();
    };
    listener = Listener::listen(io, address, port, accept, nullptr).value();
  }
  ~Host() {
    listener->close();
    for (const auto& peer : peers) peer->close();
  }

  void received(SessionConnection& connection, std::string_view bytes) override {
    auto& peer = static_cast<CoordinatorPeer&>(connection);
    peer.session.feed(bytes);
    for (bool more = true; more;) {
      MemberMessage message;
      switch (peer.session.next(message, boottime_now(), peer.outbox())) {
        case SessionOutcome::kAuthenticated: authenticated.push_back(peer.id); break;
        case SessionOutcome::kMessage: heard.push_back(std::move(message)); break;
        case SessionOutcome::kNeedMore:
        case SessionOutcome::kWrapped: more = false; break;
        case SessionOutcome::kEnded:
          more = false;
          peer.finish();
          break;
      }
    }
    peer.flush();
  }

  void lost(SessionConnection& connection, LossKind kind, const std::string&) override {
    losses.push_back(kind);
    connection.close();
  }

  void say(const CoordinatorMessage& message) {
    CoordinatorPeer& peer = *peers.at(authenticated.back());
    peer.session.send(encode(message), peer.outbox());
    peer.flush();
  }

  uint16_t port() const { return listener->port(); }

  std::shared_ptr<Listener> listener;
  std::deque<std::shared_ptr<CoordinatorPeer>> peers;
  std::vector<ConnectionId> authenticated;
  std::vector<MemberMessage> heard;
  std::vector<LossKind> losses;
};

class MemberLinkTest : public ::testing::Test {
 protected:
  MemberLink& link_to(const std::string& name, uint16_t port, std::vector<std::string> addresses = {},
                      std::shared_ptr<const JobSecret> secret = link_job()) {
    MemberLink::Options options;
    options.endpoint = {name, port};
    options.secret = std::move(secret);
    options.unwrap = unwrap;
    options.agent = {7};
    options.look_up = [addresses](const std::string&) -> NameAnswer {
      NameAnswer answer{{}, addresses.empty() ? "no such name" : ""};
      for (const std::string& text : addresses) answer.addresses.push_back(link_ip(text));
      return answer;
    };
    MemberLink::Callbacks callbacks;
    callbacks.reached = [this](const CoordinatorReached& event) { reached.push_back(event); };
    callbacks.gone = [this](const CoordinatorGone& event) { gone.push_back(event); };
    callbacks.said = [this](CoordinatorSaid event) { said.push_back(std::move(event)); };
    callbacks.note = [this](const DialNote& note) { notes.push_back(note); };
    callbacks.share_connection = [this](int fd) { shared.push_back(fd); };
    callbacks.hung_up = [this] { hung_up = true; };
    link = std::make_unique<MemberLink>(io, std::move(options), std::move(callbacks));
    return *link;
  }

  ~MemberLinkTest() override {
    for (const int fd : shared) ::close(fd);
  }

  void run_until(const std::function<bool()>& holds) {
    while (!holds()) io.run_one();
  }
  void run_until_reached(size_t times = 1) {
    run_until([&] { return reached.size() >= times; });
  }

  boost::asio::io_context io;
  std::unique_ptr<MemberLink> link;
  std::vector<CoordinatorReached> reached;
  std::vector<CoordinatorGone> gone;
  std::vector<CoordinatorSaid> said;
  std::vector<DialNote> notes;
  std::vector<int> shared;
  bool hung_up = false;
  TokenUnwrap unwrap;
};

TEST_F(MemberLinkTest, ReachesTheCoordinatorAndCarriesMessages) {
  Host host(io, "127.0.0.1", 0);
  link_to("node0", host.port(), {"127.0.0.1"}).dial();
  run_until_reached();
  EXPECT_EQ(reached[0].where, "node0 (127.0.0.1), port " + std::to_string(host.port()));
  link->tell(Heartbeat{3});
  run_until([&] { return host.heard.size() == 1; });
  EXPECT_EQ(std::get<Heartbeat>(host.heard[0]).number, 3U);
  EXPECT_EQ(host.peers[0]->session.agent(), AgentId{7});
  host.say(HeartbeatAnswer{3});
  host.say(Waiting{"for node1"});
  run_until([&] { return said.size() == 2; });
  EXPECT_EQ(said[0].connection, reached[0].connection);
  EXPECT_EQ(std::get<Waiting>(said[1].message).sentence, "for node1");
  EXPECT_THAT(notes, IsEmpty());
}

TEST_F(MemberLinkTest, DialsAllAddressesAtOnce) {
  Host silent(io, "127.0.0.2", 0);
  silent.listener->close();  // refuses
  Host host(io, "127.0.0.3", silent.port());
  link_to("node0", host.port(), {"127.0.0.2", "192.0.2.1", "127.0.0.3"}).dial();
  run_until_reached();
  EXPECT_THAT(reached[0].where, HasSubstr("127.0.0.3"));
}

TEST_F(MemberLinkTest, ProvesItselfOnOneOfSeveralAddressesOnly) {
  Host one(io, "127.0.0.1", 0);
  Host other(io, "127.0.0.2", one.port());
  link_to("node0", one.port(), {"127.0.0.1", "127.0.0.2"}).dial();
  run_until_reached();
  link->tell(Heartbeat{1});
  run_until([&] { return one.heard.size() + other.heard.size() == 1; });
  EXPECT_EQ(one.authenticated.size() + other.authenticated.size(), 1U);
}

TEST_F(MemberLinkTest, ReachesACoordinatorThatStartsLaterAndTellsWhatItTried) {
  uint16_t port = 0;
  { port = Host(io, "127.0.0.1", 0).port(); }
  link_to("node0", port, {"127.0.0.1"}).dial();
  run_until([&] { return !notes.empty(); });
  EXPECT_EQ(notes[0].tried, "node0 (127.0.0.1) refused the connection");
  EXPECT_FALSE(notes[0].final);
  Host host(io, "127.0.0.1", port);
  run_until_reached();
}

TEST_F(MemberLinkTest, LooksTheNameUpUntilItResolves) {
  Host host(io, "127.0.0.1", 0);
  auto resolves = std::make_shared<std::atomic<bool>>(false);
  MemberLink::Options options;
  options.endpoint = {"node0", host.port()};
  options.secret = link_job();
  options.look_up = [resolves](const std::string&) -> NameAnswer {
    if (!*resolves) return {{}, "not yet"};
    return {{link_ip("127.0.0.1")}, ""};
  };
  bool there = false;
  MemberLink::Callbacks callbacks;
  callbacks.note = [this](const DialNote& note) { notes.push_back(note); };
  callbacks.reached = [&](const CoordinatorReached&) { there = true; };
  MemberLink late(io, std::move(options), std::move(callbacks));
  late.dial();
  run_until([&] { return !notes.empty(); });
  EXPECT_EQ(notes[0].tried, "the name node0 does not resolve (not yet)");
  *resolves = true;
  run_until([&] { return there; });
}

TEST_F(MemberLinkTest, UnwrapsTheTokenThatTheCoordinatorHandsOut) {
  Host host(io, "127.0.0.1", 0, std::make_shared<JobSecret>("job", "a token", "(a token)"));
  std::atomic<int> tries = 0;
  unwrap = [&tries](const std::string& wrapped) -> Result<std::string> {
    if (tries++ == 0) return Error{ErrorKind::kPlatform, "munged does not answer"};
    return wrapped.substr(1, wrapped.size() - 2);
  };
  link_to("node0", host.port(), {"127.0.0.1"}, std::make_shared<JobSecret>("job", "")).dial();
  run_until_reached();
  EXPECT_EQ(tries, 2);
  EXPECT_THAT(notes.front().tried, HasSubstr("munged does not answer"));
  link->tell(Heartbeat{3});
  run_until([&] { return host.heard.size() == 1; });
}

TEST_F(MemberLinkTest, AnUnwrappingThatComesTooLateIsForNobody) {
  Host host(io, "127.0.0.1", 0, std::make_shared<JobSecret>("job", "a token", "(a token)"));
  std::promise<void> go;
  std::atomic<bool> asked = false;
  auto gate = std::make_shared<std::shared_future<void>>(go.get_future().share());
  unwrap = [gate, &asked](const std::string&) -> Result<std::string> {
    asked = true;
    gate->wait();
    return std::string("a token");
  };
  link_to("node0", host.port(), {"127.0.0.1"}, std::make_shared<JobSecret>("job", "")).dial();
  while (!asked) io.run_one_for(std::chrono::milliseconds(1));
  link->hang_up();
  run_until([&] { return hung_up; });
  go.set_value();
  EXPECT_THAT(reached, IsEmpty());
}

TEST_F(MemberLinkTest, DialsTheCoordinatorOfItsOwnProcessDirectly) {
  Host host(io, "127.0.0.1", 0);
  MemberLink::Options options;
  options.endpoint = {"gateway", host.port()};
  options.here = {link_ip("127.0.0.1")};
  options.secret = link_job();
  options.look_up = [](const std::string&) -> NameAnswer { return {{}, "asked"}; };
  bool there = false;
  MemberLink::Callbacks callbacks;
  callbacks.reached = [&](const CoordinatorReached&) { there = true; };
  MemberLink own(io, std::move(options), std::move(callbacks));
  own.dial();
  run_until([&] { return there; });
}

TEST_F(MemberLinkTest, GivesUpOnATokenThatDoesNotFitAndBothSidesNameIt) {
  Host host(io, "127.0.0.1", 0, link_job("job", "another"));
  link_to("127.0.0.1", host.port(), {}).dial();
  run_until([&] { return !notes.empty() && notes.back().final; });
  EXPECT_THAT(notes.back().tried, HasSubstr("no session with 127.0.0.1: it has another job token"));
  EXPECT_THAT(host.peers[0]->session.end().line, HasSubstr("it has another job token"));
  EXPECT_THAT(reached, IsEmpty());
}

TEST_F(MemberLinkTest, GivesUpOnAnotherJob) {
  Host host(io, "127.0.0.1", 0, link_job("other-job"));
  link_to("127.0.0.1", host.port(), {}).dial();
  run_until([&] { return !notes.empty() && notes.back().final; });
  EXPECT_THAT(notes.back().tried, HasSubstr("'other-job', and this is job 'job'"));
}

TEST_F(MemberLinkTest, IsNotTakenInByAStranger) {
  std::vector<tcp::socket> held;
  const auto greet = [&](tcp::socket socket, const tcp::endpoint&) {
    ::send(socket.native_handle(), "SSH-2.0-OpenSSH_9.2\r\n", 21, MSG_NOSIGNAL);
    held.push_back(std::move(socket));
  };
  const auto stranger = Listener::listen(io, "127.0.0.1", 0, greet, nullptr).value();
  link_to("127.0.0.1", stranger->port(), {}).dial();
  run_until([&] { return !notes.empty(); });
  EXPECT_THAT(notes[0].tried, HasSubstr("127.0.0.1 is no coordinator"));
  EXPECT_FALSE(notes[0].final);
  stranger->close();
}

TEST_F(MemberLinkTest, TellsHowTheCoordinatorWent) {
  Host host(io, "127.0.0.1", 0);
  link_to("127.0.0.1", host.port(), {}).dial();
  run_until_reached();
  link->tell(Heartbeat{1});
  run_until([&] { return host.heard.size() == 1; });
  host.peers[0]->close();
  run_until([&] { return !gone.empty(); });
  EXPECT_EQ(gone[0].kind, LossKind::kEndOfStream) << gone[0].why;
  link->tell(Heartbeat{2});  // into nothing
  link->dial();
  run_until_reached(2);
  EXPECT_NE(reached[1].connection, reached[0].connection);
  link->tell(Heartbeat{3});
  run_until([&] { return host.heard.size() == 2; });
  host.peers.back()->reset();
  run_until([&] { return gone.size() == 2; });
  EXPECT_EQ(gone[1].kind, LossKind::kReset) << gone[1].why;
  EXPECT_EQ(gone[1].connection, reached[1].connection);
}

TEST_F(MemberLinkTest, NeverEndsTheStreamOfAConnectionThatItGivesUpForANewOne) {
  Host host(io, "127.0.0.1", 0);
  link_to("127.0.0.1", host.port(), {}).dial();
  run_until_reached();
  ASSERT_EQ(shared.size(), 1U);
  EXPECT_NE(::fcntl(shared[0], F_GETFD) & FD_CLOEXEC, 0);
  link->dial();
  run_until([&] { return !host.losses.empty() && reached.size() == 2; });
  EXPECT_THAT(host.losses, ElementsAre(LossKind::kReset));
  EXPECT_THAT(gone, IsEmpty());
}

// A process that is killed closes its connections as this destructor does.
TEST_F(MemberLinkTest, AConnectionThatNobodyElseHoldsEndsInAReset) {
  Host host(io, "127.0.0.1", 0);
  link_to("node0", host.port(), {"127.0.0.1"}).dial();
  run_until_reached();
  ::close(shared.back());
  shared.clear();
  run_until([&] { return !host.authenticated.empty(); });
  link.reset();
  run_until([&] { return !host.losses.empty(); });
  EXPECT_THAT(host.losses, ElementsAre(LossKind::kReset));
}

TEST_F(MemberLinkTest, TheEndOfTheStreamIsLeftToTheSentinel) {
  Host host(io, "127.0.0.1", 0);
  link_to("node0", host.port(), {"127.0.0.1"}).dial();
  run_until_reached();
  constexpr linger kEndOfStream = {0, 0};
  ASSERT_EQ(::setsockopt(shared.back(), SOL_SOCKET, SO_LINGER, &kEndOfStream, sizeof(kEndOfStream)), 0);
  run_until([&] { return !host.authenticated.empty(); });
  link.reset();
  ::close(shared.back());
  shared.clear();
  run_until([&] { return !host.losses.empty(); });
  EXPECT_THAT(host.losses, ElementsAre(LossKind::kEndOfStream));
}

TEST_F(MemberLinkTest, HangsUpWithAllItHadToSayAndThenTheEnd) {
  Host host(io, "127.0.0.1", 0);
  link_to("127.0.0.1", host.port(), {}).dial();
  run_until_reached();
  link->tell(Goodbye{15, "told to stop"});
  link->tell(NodeReaped{{1, 2}});
  link->hang_up();
  run_until([&] { return hung_up; });
  EXPECT_EQ(host.heard.size(), 2U);
  EXPECT_THAT(host.losses, ElementsAre(LossKind::kEndOfStream));
  EXPECT_THAT(gone, IsEmpty());
}

TEST_F(MemberLinkTest, HangsUpOnACoordinatorThatDoesNotAnswer) {
  Host host(io, "127.0.0.1", 0);
  link_to("127.0.0.1", host.port(), {}).dial();
  run_until_reached();
  boost::asio::io_context standing_still;
  host.peers[0]->socket().release();  // open, and nobody reads it
  link->hang_up();
  run_until([&] { return hung_up; });
}

TEST_F(MemberLinkTest, EndsItsAttempts) {
  link_to("node0", 1, {}).dial();
  run_until([&] { return !notes.empty(); });
  link->hang_up();
  run_until([&] { return hung_up; });
  io.run();
  EXPECT_EQ(notes.size(), 1U);
}

TEST_F(MemberLinkTest, GivesUpACoordinatorThatDoesNotRead) {
  Host host(io, "127.0.0.1", 0);
  link_to("127.0.0.1", host.port(), {}).dial();
  run_until_reached();
  while (gone.empty()) link->tell(Goodbye{0, std::string(4000, 'x')});
  EXPECT_EQ(gone[0].kind, LossKind::kLocal);
}

TEST_F(MemberLinkTest, CallsNobodyOnceItIsGone) {
  Host host(io, "127.0.0.1", 0);
  link_to("127.0.0.1", host.port(), {}).dial();
  link.reset();
  run_until([&] { return host.peers.empty() || !host.losses.empty(); });
  EXPECT_THAT(reached, IsEmpty());
}

}  // namespace
}  // namespace ferrun
