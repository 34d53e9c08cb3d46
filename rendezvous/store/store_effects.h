// What the store machine wants done to connections: bytes to send, connections to close, in order.
//
// One buffer holds all replies and is reused from step to step, so that answering costs no allocation. The order is
// part of the contract: effects for one connection are to be carried out in the order in which they stand here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ferrun {

// Chosen by the caller, never reused while the machine lives.
using StoreConnectionId = uint64_t;

class StoreEffects {
 public:
  struct Effect {
    StoreConnectionId connection = 0;
    size_t begin = 0;  // of the bytes to send in the buffer
    size_t size = 0;
    std::string close;  // not empty: close the connection, for this reason
  };

  // The buffer to append a reply for `connection` to; replies in a row to one connection become one effect.
  template <typename Append>
  void reply(StoreConnectionId connection, Append append) {
    if (effects_.empty() || effects_.back().connection != connection || !effects_.back().close.empty()) {
      effects_.push_back({connection, bytes_.size(), 0, {}});
    }
    append(bytes_);
    effects_.back().size = bytes_.size() - effects_.back().begin;
  }

  void close(StoreConnectionId connection, std::string reason) {
    effects_.push_back({connection, bytes_.size(), 0, std::move(reason)});
    closes_ = true;
  }

  std::span<const Effect> all() const { return effects_; }
  std::string_view bytes_of(const Effect& effect) const {
    return std::string_view(bytes_).substr(effect.begin, effect.size);
  }
  size_t byte_count() const { return bytes_.size(); }
  bool has_close() const { return closes_; }

  void clear() {
    effects_.clear();
    bytes_.clear();
    if (bytes_.capacity() > kKeptCapacity) bytes_.shrink_to_fit();
    closes_ = false;
  }

 private:
  static constexpr size_t kKeptCapacity = 1 << 20;

  std::vector<Effect> effects_;
  std::string bytes_;
  bool closes_ = false;
};

}  // namespace ferrun
