// Many things that all have the same time, with one timer for all of them.
//
// Ownership: owned by a driver, on the thread that runs `io`. Nothing is called once it is gone.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>

#include "common/time.h"

namespace ferrun {

class FifoTimeout {
 public:
  // `expired` is called for everything that was added, when its time is over: whether it still matters, the owner
  // knows.
  FifoTimeout(boost::asio::io_context& io, Duration time, std::function<void(uint64_t id)> expired);
  ~FifoTimeout();

  void add(uint64_t id);

 private:
  struct State : std::enable_shared_from_this<State> {
    explicit State(boost::asio::io_context& io) : timer(io) {}
    void await();

    boost::asio::steady_timer timer;
    Duration time{};
    std::function<void(uint64_t)> expired;  // none once the owner is gone
    struct Entry {
      std::chrono::steady_clock::time_point until;
      uint64_t id;
    };
    std::deque<Entry> entries;
  };
  std::shared_ptr<State> state_;
};

}  // namespace ferrun
