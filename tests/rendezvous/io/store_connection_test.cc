#include "rendezvous/io/store/store_connection.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <optional>
#include <thread>

#include "rendezvous/io/net/listener.h"
#include "tests/rendezvous/io/raw_client.h"
#include "tests/rendezvous/io/resident_memory.h"

namespace ferrun {
namespace {

using boost::asio::ip::tcp;

// Always has more to send: refills what the peer has taken before the last of it has left.
class EndlessSource final : public StoreConnection::Owner, public StorePoll::Owner {
 public:
  explicit EndlessSource(size_t bytes) : left_(bytes) {}

  void serve(tcp::socket socket, const tcp::endpoint& peer) { connection_.emplace(std::move(socket), peer, 1, *this); }
  // Whether its only connection has come and gone.
  bool over() const { return connection_ && !connection_->open(); }

  void ready(StoreConnectionId, uint32_t events) override { connection_->ready(events); }
  StorePoll& poll() override { return poll_; }
  std::span<char> read_buffer() override { return buffer_; }
  void received(StoreConnection& connection, std::string_view) override { refill(connection); }
  void drained(StoreConnection& connection) override { refill(connection); }
  void lost(StoreConnection& connection) override { connection.close(); }

 private:
  void refill(StoreConnection& connection) {
    while (left_ > 0 && !connection.congested()) {
      const size_t size = std::min(left_, chunk_.size());
      connection.send(std::string_view(chunk_).substr(0, size));
      left_ -= size;
    }
  }

  StorePoll poll_{*this};
  std::optional<StoreConnection> connection_;
  std::array<char, 4096> buffer_;
  const std::string chunk_ = std::string(256 << 10, 'v');
  size_t left_;
};

TEST(StoreConnection, KeepsLittleForAPeerThatIsAlwaysBehind) {
  constexpr size_t kTotal = 192 << 20;
  boost::asio::io_context io;
  EndlessSource source(kTotal);
  const auto accept = [&](tcp::socket socket, const tcp::endpoint& peer) {
    socket.set_option(tcp::socket::send_buffer_size(128 << 10));  // the kernel never takes all that there is
    source.serve(std::move(socket), peer);
  };
  const auto listener = Listener::listen(io, "127.0.0.1", 0, accept, nullptr);
  ASSERT_TRUE(listener.ok()) << listener.error().message;
  const size_t before = resident_bytes();
  size_t most = 0, received = 0;
  std::thread peer([&, port = (*listener)->port()] {
    RawClient client = RawClient::open(port);
    client.send("!");
    for (std::string bytes = "x"; !bytes.empty() && received < kTotal; received += bytes.size()) {
      bytes = client.receive(1 << 20);
      most = std::max(most, resident_bytes());
    }
    client.disconnect();
  });
  while (!source.over()) io.run_one();
  peer.join();
  EXPECT_EQ(received, kTotal);
  EXPECT_LT(most, before + kLittleMemory);
  (*listener)->close();
}

}  // namespace
}  // namespace ferrun
