// The bytes of one session: a connected socket, and what is still to be sent through it.
//
// Role: moves bytes and tells how the connection ended; what they mean is its owner's business. Ownership: held by its
// owner and by its own pending operations; after close() it calls nobody. Thread rule: the thread that runs the loop.
#pragma once

#include <algorithm>
#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <boost/system/error_code.hpp>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "rendezvous/coordinator/coordinator_events.h"

namespace ferrun {

class SessionConnection : public std::enable_shared_from_this<SessionConnection> {
 public:
  class Owner {
   public:
    // Bytes of the stream, valid during the call.
    virtual void received(SessionConnection& connection, std::string_view bytes) = 0;
    // The connection has ended, and everything that came before that has been received. To be closed by the owner.
    virtual void lost(SessionConnection& connection, LossKind kind, const std::string& why) = 0;

   protected:
    ~Owner() = default;
  };

  // What a peer may leave unread, beside the largest message of it, before one more message is too much.
  static constexpr size_t kMaxUnsent = 1 << 20;

  SessionConnection(boost::asio::ip::tcp::socket socket, Owner& owner);
  virtual ~SessionConnection() = default;

  // Begins to read.
  void start();

  // Where what is to be sent is appended, up to the next flush().
  std::string& outbox() { return outbox_; }
  // A message of this size is there now. One large message is no proof that the peer does not read.
  void note_message(size_t bytes) { largest_ = std::max(largest_, bytes); }
  // The peer has left too much unread for another message.
  bool overfull() const { return outbox_.size() - sent_ > kMaxUnsent + largest_; }
  // Sends what the socket takes; the rest follows when it takes more.
  void flush();

  // Sends what is in the outbox and then the end of the stream. What still comes is dropped; lost() is called when the
  // peer has ended its side too, so that nothing sent is destroyed by a reset.
  void finish();

  bool open() const { return owner_ != nullptr; }
  // Ends it without waiting; what is not sent is dropped, and the peer sees an end of the stream, or a reset.
  void close();
  // Ends it such that the peer can only see a reset, never an end of the stream, whoever holds duplicates.
  void reset();

  int native_handle() { return socket_.native_handle(); }
  boost::asio::ip::tcp::socket& socket() { return socket_; }

 private:
  void await_bytes();
  void arrived(const boost::system::error_code& error, size_t size);
  void read_rest();
  void await_room();
  void try_send();
  void ended(int error);

  // Holds any common message; there may be 10,000 of these.
  static constexpr size_t kFirstBytes = 256;

  boost::asio::ip::tcp::socket socket_;
  std::array<char, kFirstBytes> first_bytes_;
  Owner* owner_;  // none once closed
  std::string outbox_;
  size_t sent_ = 0;     // of the outbox
  size_t largest_ = 0;  // message since the outbox was empty
  int send_error_ = 0;
  bool awaits_room_ = false;
  bool finishing_ = false;
};

// For a session's socket, or the listening one whose accepted sockets inherit it: a peer that has vanished without a
// word is noticed in the end even where nothing is sent.
void watch_for_vanished_peer(int fd);

}  // namespace ferrun
