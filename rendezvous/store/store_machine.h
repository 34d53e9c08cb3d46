// The workers' key-value store as a state machine: torch's TCPStore with the semantics of its libuv server.
//
// Role: decides what every request changes and whom it answers, at once or later. It knows connections by number only;
// framing is the parser's part and sockets are the server's. Owned by the server; one thread.
//
// Waiting: a WAIT is answered when each of its keys has been written or pushed to since it was asked (or was there
// already), a BARRIER when enough have arrived. A connection has at most one unanswered wait, as torch's client, which
// holds a lock for each request; CANCEL_WAIT ends it.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "rendezvous/store/store_effects.h"
#include "rendezvous/store/store_request.h"

namespace ferrun {

class StoreMachine {
 public:
  // Carries out one request and appends the replies that it causes, to `from` and to connections that it wakes.
  // A request that cannot be answered closes `from`.
  void step(StoreConnectionId from, const StoreRequest& request, StoreEffects& effects);

  // The connection is gone: its wait is forgotten. What it stored stays.
  void disconnect(StoreConnectionId connection) { forget_wait(connection); }

  size_t key_count() const { return values_.size(); }
  size_t waiting_connections() const { return waits_.size(); }

 private:
  // Lookup by string_view, without a copy of the key.
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  template <typename T>
  using Table = std::unordered_map<std::string, T, Hash, std::equal_to<>>;
  using Waiters = Table<std::vector<StoreConnectionId>>;  // each connection once, first come first; no empty entry

  struct Wait {
    std::vector<std::string> keys;  // distinct
    size_t missing = 0;
    bool barrier = false;
  };

  void set(std::string_view key, std::string_view value, StoreEffects& effects);
  void compare_set(StoreConnectionId from, const StoreRequest& request, StoreEffects& effects);
  void get(StoreConnectionId from, std::string_view key, StoreEffects& effects);
  void add(StoreConnectionId from, std::string_view key, int64_t delta, StoreEffects& effects);
  void append(std::string_view key, std::string_view value, StoreEffects& effects);
  void multi_get(StoreConnectionId from, const StoreRequest& request, StoreEffects& effects);
  void list_keys(StoreConnectionId from, StoreEffects& effects);
  void wait(StoreConnectionId from, const StoreRequest& request, StoreEffects& effects);
  void barrier(StoreConnectionId from, const StoreRequest& request, StoreEffects& effects);
  void queue_push(std::string_view name, std::string_view value, StoreEffects& effects);
  void queue_pop(StoreConnectionId from, std::string_view name, StoreEffects& effects);
  size_t queue_length(std::string_view name) const;

  bool present(std::string_view key) const;
  bool all_present(const std::vector<std::string_view>& keys) const;
  std::string& value_at(std::string_view key);
  std::optional<int64_t> add_to(std::string_view key, int64_t delta);
  void start_wait(StoreConnectionId from, Wait wait, Waiters& waiters, StoreEffects& effects);
  void wake_all(Waiters& waiters, std::string_view key, StoreEffects& effects);
  void wake_first(std::string_view key, StoreEffects& effects);
  void one_key_came(StoreConnectionId connection, StoreEffects& effects);
  void forget_wait(StoreConnectionId connection);
  void refuse(StoreConnectionId from, std::string why, StoreEffects& effects);

  Table<std::string> values_;
  Table<std::deque<std::string>> queues_;  // no empty entry
  Waiters key_waiters_;
  Waiters barrier_waiters_;
  std::unordered_map<StoreConnectionId, Wait> waits_;
};

}  // namespace ferrun
