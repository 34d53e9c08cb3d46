#include "rendezvous/store/store_machine.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "rendezvous/store/store_codec.h"

namespace ferrun {
namespace {

constexpr uint8_t kReady = 0;
constexpr uint8_t kNotReady = 1;
constexpr uint8_t kStopWaiting = 0;
constexpr uint8_t kWaitCanceled = 1;

void reply_byte(StoreEffects& effects, StoreConnectionId to, uint8_t byte) {
  effects.reply(to, [byte](std::string& out) { append_byte(out, byte); });
}

void reply_number(StoreEffects& effects, StoreConnectionId to, int64_t number) {
  effects.reply(to, [number](std::string& out) { append_i64(out, number); });
}

void reply_value(StoreEffects& effects, StoreConnectionId to, std::string_view value) {
  effects.reply(to, [value](std::string& out) { append_value(out, value); });
}

// As torch's server reads a counter: leading blanks, a sign, digits; whatever follows is ignored.
std::optional<int64_t> parse_counter(std::string_view text) {
  const size_t start = text.find_first_not_of(" \t\n\v\f\r");
  if (start == std::string_view::npos) return std::nullopt;
  text.remove_prefix(start);
  if (text.front() == '+') {
    text.remove_prefix(1);
    if (text.starts_with('-')) return std::nullopt;
  }
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  return value;
}

// Wraps around at the ends, as torch's server does.
int64_t wrapping_sum(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}

}  // namespace

void StoreMachine::step(StoreConnectionId from, const StoreRequest& request, StoreEffects& effects) {
  switch (request.op) {
    case StoreOp::kSet: return set(request.key, request.value, effects);
    case StoreOp::kCompareSet: return compare_set(from, request, effects);
    case StoreOp::kGet: return get(from, request.key, effects);
    case StoreOp::kAdd: return add(from, request.key, request.number, effects);
    case StoreOp::kCheck: return reply_byte(effects, from, all_present(request.keys) ? kReady : kNotReady);
    case StoreOp::kWait: return wait(from, request, effects);
    case StoreOp::kGetNumKeys: return reply_number(effects, from, static_cast<int64_t>(values_.size()));
    case StoreOp::kDeleteKey: {
      const auto entry = values_.find(request.key);
      const bool found = entry != values_.end();
      if (found) values_.erase(entry);
      return reply_number(effects, from, found ? 1 : 0);
    }
    case StoreOp::kAppend: return append(request.key, request.value, effects);
    case StoreOp::kMultiGet: return multi_get(from, request, effects);
    case StoreOp::kMultiSet:
      for (size_t i = 0; i < request.keys.size(); ++i) set(request.keys[i], request.values[i], effects);
      return;
    case StoreOp::kCancelWait: forget_wait(from); return reply_byte(effects, from, kWaitCanceled);
    case StoreOp::kPing:
      return effects.reply(from, [&](std::string& out) { append_u32(out, static_cast<uint32_t>(request.number)); });
    case StoreOp::kQueuePush: return queue_push(request.key, request.value, effects);
    case StoreOp::kQueuePop: return queue_pop(from, request.key, effects);
    case StoreOp::kQueueLen: return reply_number(effects, from, static_cast<int64_t>(queue_length(request.key)));
    case StoreOp::kListKeys: return list_keys(from, effects);
    case StoreOp::kBarrier: return barrier(from, request, effects);
    case StoreOp::kValidate: return;  // the parser consumes the handshake
  }
}

void StoreMachine::set(std::string_view key, std::string_view value, StoreEffects& effects) {
  value_at(key).assign(value);
  wake_all(key_waiters_, key, effects);
}

// torch's rules to the letter: an absent key that was expected to hold something answers with what was expected, and
// waiters are woken whatever came of it.
void StoreMachine::compare_set(StoreConnectionId from, const StoreRequest& request, StoreEffects& effects) {
  const auto entry = values_.find(request.key);
  if (entry != values_.end()) {
    if (entry->second == request.expected) entry->second.assign(request.value);
    reply_value(effects, from, entry->second);
  } else if (request.expected.empty()) {
    value_at(request.key).assign(request.value);
    reply_value(effects, from, request.value);
  } else {
    reply_value(effects, from, request.expected);
  }
  wake_all(key_waiters_, request.key, effects);
}

void StoreMachine::get(StoreConnectionId from, std::string_view key, StoreEffects& effects) {
  const auto entry = values_.find(key);
  reply_value(effects, from, entry == values_.end() ? std::string_view() : entry->second);
}

void StoreMachine::add(StoreConnectionId from, std::string_view key, int64_t delta, StoreEffects& effects) {
  const std::optional<int64_t> sum = add_to(key, delta);
  if (!sum) return refuse(from, "it added to a key that holds no number", effects);
  reply_number(effects, from, *sum);
  wake_all(key_waiters_, key, effects);
}

void StoreMachine::append(std::string_view key, std::string_view value, StoreEffects& effects) {
  value_at(key).append(value);
  wake_all(key_waiters_, key, effects);
}

void StoreMachine::multi_get(StoreConnectionId from, const StoreRequest& request, StoreEffects& effects) {
  uint64_t size = 0;
  for (const std::string_view key : request.keys) {
    const auto entry = values_.find(key);
    size += sizeof(uint64_t) + (entry == values_.end() ? 0 : entry->second.size());
  }
  // One value named again and again would make a reply without bound.
  if (size > kStoreMaxMessageBytes)
    return refuse(from, "it asked for a reply of " + std::to_string(size) + " bytes", effects);
  for (const std::string_view key : request.keys) get(from, key, effects);
}

void StoreMachine::list_keys(StoreConnectionId from, StoreEffects& effects) {
  effects.reply(from, [this](std::string& out) {
    append_i64(out, static_cast<int64_t>(values_.size()));
    for (const auto& [key, value] : values_) append_value(out, key);
  });
}

void StoreMachine::wait(StoreConnectionId from, const StoreRequest& request, StoreEffects& effects) {
  if (all_present(request.keys)) return reply_byte(effects, from, kStopWaiting);
  Wait wait;
  for (const std::string_view key : request.keys) {
    if (!present(key)) wait.keys.emplace_back(key);
  }
  std::sort(wait.keys.begin(), wait.keys.end());
  wait.keys.erase(std::unique(wait.keys.begin(), wait.keys.end()), wait.keys.end());
  start_wait(from, std::move(wait), key_waiters_, effects);
}

// The counter is an ordinary key and is never reset: a barrier name serves once.
void StoreMachine::barrier(StoreConnectionId from, const StoreRequest& request, StoreEffects& effects) {
  const std::optional<int64_t> arrived = add_to(request.key, 1);
  if (!arrived) return refuse(from, "it entered a barrier whose key holds no number", effects);
  wake_all(key_waiters_, request.key, effects);
  if (*arrived >= request.number) {
    wake_all(barrier_waiters_, request.key, effects);
    return reply_byte(effects, from, kStopWaiting);
  }
  Wait wait;
  wait.keys.emplace_back(request.key);
  wait.barrier = true;
  start_wait(from, std::move(wait), barrier_waiters_, effects);
}

void StoreMachine::queue_push(std::string_view name, std::string_view value, StoreEffects& effects) {
  auto queue = queues_.find(name);
  if (queue == queues_.end()) queue = queues_.emplace(std::string(name), std::deque<std::string>()).first;
  queue->second.emplace_back(value);
  wake_first(name, effects);
}

void StoreMachine::queue_pop(StoreConnectionId from, std::string_view name, StoreEffects& effects) {
  const auto queue = queues_.find(name);
  reply_number(effects, from, static_cast<int64_t>(queue == queues_.end() ? 0 : queue->second.size()));
  if (queue == queues_.end()) return;
  reply_value(effects, from, queue->second.front());
  queue->second.pop_front();
  if (queue->second.empty()) queues_.erase(queue);
}

size_t StoreMachine::queue_length(std::string_view name) const {
  const auto queue = queues_.find(name);
  return queue == queues_.end() ? 0 : queue->second.size();
}

bool StoreMachine::present(std::string_view key) const {
  return values_.find(key) != values_.end() || (!queues_.empty() && queues_.find(key) != queues_.end());
}

bool StoreMachine::all_present(const std::vector<std::string_view>& keys) const {
  return std::all_of(keys.begin(), keys.end(), [this](std::string_view key) { return present(key); });
}

std::string& StoreMachine::value_at(std::string_view key) {
  const auto entry = values_.find(key);
  return entry != values_.end() ? entry->second : values_.emplace(std::string(key), std::string()).first->second;
}

// Counters are kept as decimal text; an absent key counts as 0. Empty when the key holds no number.
std::optional<int64_t> StoreMachine::add_to(std::string_view key, int64_t delta) {
  const auto entry = values_.find(key);
  int64_t sum = delta;
  if (entry != values_.end()) {
    const std::optional<int64_t> old = parse_counter(entry->second);
    if (!old) return std::nullopt;
    sum = wrapping_sum(*old, delta);
  }
  std::array<char, 24> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), sum).ptr;
  std::string& value = entry != values_.end() ? entry->second : value_at(key);
  value.assign(text.data(), end);
  return sum;
}

void StoreMachine::start_wait(StoreConnectionId from, Wait wait, Waiters& waiters, StoreEffects& effects) {
  if (waits_.contains(from)) return refuse(from, "it started a second wait before the first was answered", effects);
  for (const std::string& key : wait.keys) waiters[key].push_back(from);
  wait.missing = wait.keys.size();
  waits_.emplace(from, std::move(wait));
}

void StoreMachine::wake_all(Waiters& waiters, std::string_view key, StoreEffects& effects) {
  if (waiters.empty()) return;
  const auto entry = waiters.find(key);
  if (entry == waiters.end()) return;
  const std::vector<StoreConnectionId> woken = std::move(entry->second);
  waiters.erase(entry);
  for (const StoreConnectionId connection : woken) one_key_came(connection, effects);
}

void StoreMachine::wake_first(std::string_view key, StoreEffects& effects) {
  const auto entry = key_waiters_.find(key);
  if (entry == key_waiters_.end()) return;
  const StoreConnectionId first = entry->second.front();
  entry->second.erase(entry->second.begin());
  if (entry->second.empty()) key_waiters_.erase(entry);
  one_key_came(first, effects);
}

void StoreMachine::one_key_came(StoreConnectionId connection, StoreEffects& effects) {
  const auto entry = waits_.find(connection);
  if (--entry->second.missing > 0) return;
  waits_.erase(entry);
  reply_byte(effects, connection, kStopWaiting);
}

void StoreMachine::forget_wait(StoreConnectionId connection) {
  const auto wait = waits_.find(connection);
  if (wait == waits_.end()) return;
  Waiters& waiters = wait->second.barrier ? barrier_waiters_ : key_waiters_;
  for (const std::string& key : wait->second.keys) {
    const auto entry = waiters.find(key);
    if (entry == waiters.end()) continue;  // this key has come, others are missing
    std::erase(entry->second, connection);
    if (entry->second.empty()) waiters.erase(entry);
  }
  waits_.erase(wait);
}

void StoreMachine::refuse(StoreConnectionId from, std::string why, StoreEffects& effects) {
  forget_wait(from);
  effects.close(from, std::move(why));
}

}  // namespace ferrun
