// The store's connections as one descriptor of the event loop: an epoll set of their own.
//
// Role: say which connections can be read or written, many at a time, at the price of one system call; Asio's own way
// costs one for each wait and some hundred bytes for each descriptor. It decides nothing about them. Ownership: owned
// by the store's server; the descriptors in it are their connections'. Thread rule: the thread that runs `io`.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <memory>
#include <optional>

#include "rendezvous/store/spin_policy.h"
#include "rendezvous/store/store_effects.h"

namespace ferrun {

class StorePoll {
 public:
  class Owner {
   public:
    // `events`: EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP. The id may be one of a connection that was removed since.
    virtual void ready(StoreConnectionId id, uint32_t events) = 0;

   protected:
    ~Owner() = default;
  };

  explicit StorePoll(Owner& owner) : owner_(owner) {}
  ~StorePoll();
  StorePoll(const StorePoll&) = delete;
  StorePoll& operator=(const StorePoll&) = delete;

  // Begins to watch the loop `executor` with the first connection. False when the machine refuses, as without a
  // descriptor that is free.
  bool add(const boost::asio::any_io_executor& executor, int fd, StoreConnectionId id, uint32_t events);
  // Other events than before, for a descriptor in the set.
  void change(int fd, StoreConnectionId id, uint32_t events);
  // To be called before `fd` is closed: a child between its fork and its exec would keep it in the set.
  void remove(int fd);

  // For an owner that is being told of what is ready: the next ones are told of a moment later.
  void rest() { resting_ = true; }

 private:
  static constexpr int kBatch = 128;

  bool open(const boost::asio::any_io_executor& executor);
  void await();
  void pause();
  void turn();
  int serve_ready();
  void spin();

  Owner& owner_;
  std::optional<boost::asio::posix::stream_descriptor> set_;  // the epoll set; none before the first connection
  std::optional<boost::asio::steady_timer> pause_;
  bool resting_ = false;
  int connections_ = 0;
  SpinPolicy spin_;
  std::array<epoll_event, kBatch> events_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace ferrun
