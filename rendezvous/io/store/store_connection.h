// One client of the store: its socket, the parser of its stream, and what is still to be sent to it.
//
// Role: move bytes; what they mean is its owner's business. Ownership: held by the server, which removes it once it is
// closed; it owns the socket. Thread rule: the thread that runs the event loop.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "rendezvous/io/store/store_poll.h"
#include "rendezvous/store/store_codec.h"
#include "rendezvous/store/store_effects.h"

namespace ferrun {

class StoreConnection {
 public:
  class Owner {
   public:
    // The set of all connections.
    virtual StorePoll& poll() = 0;
    // The buffer that every connection reads into, one at a time.
    virtual std::span<char> read_buffer() = 0;
    // Bytes of the stream, valid during the call.
    virtual void received(StoreConnection& connection, std::string_view bytes) = 0;
    // What was sent has left; a connection that was congested may be served again.
    virtual void drained(StoreConnection& connection) = 0;
    // The peer has closed or failed. The connection may be gone when this returns.
    virtual void lost(StoreConnection& connection) = 0;

   protected:
    ~Owner() = default;
  };

  StoreConnection(boost::asio::ip::tcp::socket socket, const boost::asio::ip::tcp::endpoint& peer, StoreConnectionId id,
                  Owner& owner);
  ~StoreConnection() { close(); }
  StoreConnection(const StoreConnection&) = delete;
  StoreConnection& operator=(const StoreConnection&) = delete;

  // What the poll has seen of its socket. Calls one function of the owner at most, and nothing after lost().
  void ready(uint32_t events);

  // At once where the socket takes it; the rest is kept and sent when it does.
  void send(std::string_view bytes);

  // The peer does not read what it asked for: nothing more is read from it until drained().
  bool congested() const { return unsent() > kCongestedBytes; }

  bool open() const { return fd_ >= 0; }
  // Resets the connection: nothing more is sent or received.
  void close();

  StoreConnectionId id() const { return id_; }
  StoreParser& parser() { return parser_; }
  bool has_unread_bytes() const;
  // "10.0.0.7:51234", for a person.
  std::string peer() const;

 private:
  static constexpr size_t kCongestedBytes = 1 << 20;
  static constexpr size_t kKeptCapacity = 64 * 1024;

  void read();
  void flush();
  void watch();
  size_t unsent() const { return outbox_.size() - sent_; }
  size_t try_send(std::string_view bytes);

  Owner& owner_;
  StoreConnectionId id_;
  int fd_ = -1;  // none once closed
  uint32_t watched_ = 0;
  boost::asio::ip::tcp::endpoint peer_;
  bool failed_ = false;
  StoreParser parser_;
  std::string outbox_;
  size_t sent_ = 0;  // of the outbox
};

}  // namespace ferrun
