#include "rendezvous/io/net/fifo_timeout.h"

#include <utility>

namespace ferrun {

using Clock = std::chrono::steady_clock;

FifoTimeout::FifoTimeout(boost::asio::io_context& io, Duration time, std::function<void(uint64_t id)> expired)
    : state_(std::make_shared<State>(io)) {
  state_->time = time;
  state_->expired = std::move(expired);
}

FifoTimeout::~FifoTimeout() {
  state_->expired = nullptr;
  state_->timer.cancel();
}

void FifoTimeout::add(uint64_t id) {
  state_->entries.push_back({Clock::now() + state_->time, id});
  if (state_->entries.size() == 1) state_->await();
}

void FifoTimeout::State::await() {
  timer.expires_at(entries.front().until);
  timer.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
    if (error) return;
    while (self->expired && self->entries.front().until <= Clock::now()) {
      const uint64_t id = self->entries.front().id;
      self->expired(id);
      self->entries.pop_front();
      if (self->entries.empty()) return;
    }
    if (self->expired) self->await();
  });
}

}  // namespace ferrun
