#include "rendezvous/io/net/session_connection.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <optional>
#include <thread>

#include "rendezvous/io/net/listener.h"
#include "tests/rendezvous/io/raw_client.h"

namespace ferrun {
namespace {

using boost::asio::ip::tcp;

class Recorder final : public SessionConnection::Owner {
 public:
  void received(SessionConnection&, std::string_view bytes) override { got += bytes; }
  void lost(SessionConnection& connection, LossKind kind, const std::string& why) override {
    loss = kind;
    reason = why;
    connection.close();
  }

  std::string got, reason;
  std::optional<LossKind> loss;
};

// A session's connection on the loop's side, and a plain client at its other end.
class SessionConnectionTest : public ::testing::Test {
 protected:
  SessionConnectionTest() {
    const auto accept = [this](tcp::socket socket, const tcp::endpoint&) {
      connection = std::make_shared<SessionConnection>(std::move(socket), recorder);
      connection->start();
    };
    const auto listener = Listener::listen(io, "127.0.0.1", 0, accept, nullptr).value();
    client = RawClient::open(listener->port());
    while (!connection) io.run_one();
    listener->close();
    io.poll();
  }

  void send(const std::string& bytes) {
    connection->outbox() += bytes;
    connection->flush();
  }

  void run_until_lost() {
    while (!recorder.loss) io.run_one();
  }

  boost::asio::io_context io;
  Recorder recorder;
  std::shared_ptr<SessionConnection> connection;
  RawClient client;
};

TEST_F(SessionConnectionTest, CarriesBytesBothWays) {
  client.send("ping");
  while (recorder.got != "ping") io.run_one();
  send("pong");
  EXPECT_EQ(client.receive(4), "pong");
}

TEST_F(SessionConnectionTest, TellsAnEndOfTheStreamAfterEverythingBeforeIt) {
  client.send("last words");
  client.disconnect();
  run_until_lost();
  EXPECT_EQ(recorder.got, "last words");
  EXPECT_EQ(recorder.loss, LossKind::kEndOfStream) << recorder.reason;
}

TEST_F(SessionConnectionTest, TellsAResetFromAnEnd) {
  client.reset();
  run_until_lost();
  EXPECT_EQ(recorder.loss, LossKind::kReset) << recorder.reason;
}

// The kernel gives the error to the write, and would then give an end of the stream to the read.
TEST_F(SessionConnectionTest, TellsAResetThatAWriteHasMetFirst) {
  client.reset();
  pollfd broken{connection->native_handle(), 0, 0};
  ASSERT_EQ(::poll(&broken, 1, -1), 1);
  send("x");
  send("y");
  run_until_lost();
  EXPECT_EQ(recorder.loss, LossKind::kReset) << recorder.reason;
}

TEST_F(SessionConnectionTest, TakesTheEndOfAPeerThatResetsLaterAsTheEnd) {
  client.disconnect();  // a closed socket answers what comes with a reset
  pollfd ended{connection->native_handle(), POLLRDHUP, 0};
  ASSERT_EQ(::poll(&ended, 1, -1), 1);
  send("x");
  ended.events = 0;
  ASSERT_EQ(::poll(&ended, 1, -1), 1);  // until the reset is there
  send("y");
  run_until_lost();
  EXPECT_EQ(recorder.loss, LossKind::kEndOfStream) << recorder.reason;
}

TEST_F(SessionConnectionTest, SendsEverythingBeforeItsEnd) {
  const std::string large(4 << 20, 'x');
  connection->outbox() += large;
  connection->finish();
  std::string received;
  std::thread reader([&] {
    received = client.receive(large.size() + 1);
    client.disconnect();
  });
  run_until_lost();
  reader.join();
  EXPECT_EQ(received, large);
}

TEST_F(SessionConnectionTest, HearsNothingOnceItEnds) {
  connection->finish();
  client.send("too late");
  client.disconnect();
  run_until_lost();
  EXPECT_EQ(recorder.got, "");
}

TEST_F(SessionConnectionTest, KnowsWhenThePeerLeavesTooMuchUnread) {
  for (int sent = 0; !connection->overfull(); ++sent) {
    ASSERT_LT(sent, 1000) << "no limit";
    send(std::string(256 << 10, 'x'));
  }
  client.disconnect();
  run_until_lost();
}

TEST_F(SessionConnectionTest, TakesOneLargeMessageForNoProofThatThePeerDoesNotRead) {
  const std::string large(6 * SessionConnection::kMaxUnsent, 'x');
  connection->socket().set_option(tcp::socket::send_buffer_size(4096));
  send(large);
  connection->note_message(large.size());
  EXPECT_FALSE(connection->overfull()) << "the network is slow, and a heartbeat is to be answered meanwhile";
  send(large);
  EXPECT_TRUE(connection->overfull());
}

TEST_F(SessionConnectionTest, CallsNobodyOnceClosed) {
  connection->close();
  client.send("x");
  client.disconnect();
  io.run();
  EXPECT_EQ(recorder.got, "");
  EXPECT_FALSE(recorder.loss);
}

// Its end would say that nothing is left behind it.
TEST_F(SessionConnectionTest, ResetsAlthoughAnotherProcessHoldsADuplicate) {
  const int duplicate = ::dup(connection->native_handle());
  connection->reset();
  char byte;
  EXPECT_LT(client.receive_now(&byte, 1), 0);
  EXPECT_EQ(errno, ECONNRESET);
  ::close(duplicate);
}

TEST_F(SessionConnectionTest, SurvivesItsOwnCloseInAnotherProcessesHands) {
  const int duplicate = ::dup(connection->native_handle());
  connection->close();
  ASSERT_EQ(::send(duplicate, "x", 1, MSG_NOSIGNAL), 1);
  EXPECT_EQ(client.receive(1), "x");
  ::close(duplicate);
  EXPECT_TRUE(client.is_closed());
}

}  // namespace
}  // namespace ferrun
