// Requests of the TCPStore protocol as a client writes them, and a reader of replies, for tests.
#pragma once

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rendezvous/store/store_codec.h"
#include "rendezvous/store/store_request.h"

namespace ferrun::store_messages {

inline std::string op_byte(StoreOp op) { return std::string(1, static_cast<char>(op)); }

inline std::string text(std::string_view value) {
  std::string out;
  append_value(out, value);
  return out;
}

inline std::string number(int64_t value) {
  std::string out;
  append_i64(out, value);
  return out;
}

inline std::string word(uint32_t value) {
  std::string out;
  append_u32(out, value);
  return out;
}

using Keys = std::vector<std::string>;

inline std::string key_list(StoreOp op, const Keys& keys) {
  std::string out = op_byte(op) + number(static_cast<int64_t>(keys.size()));
  for (const std::string& key : keys) out += text(key);
  return out;
}

inline std::string validate(uint32_t magic = kStoreMagic) { return op_byte(StoreOp::kValidate) + word(magic); }
inline std::string set(std::string_view key, std::string_view value) {
  return op_byte(StoreOp::kSet) + text(key) + text(value);
}
inline std::string compare_set(std::string_view key, std::string_view expected, std::string_view desired) {
  return op_byte(StoreOp::kCompareSet) + text(key) + text(expected) + text(desired);
}
inline std::string get(std::string_view key) { return op_byte(StoreOp::kGet) + text(key); }
inline std::string add(std::string_view key, int64_t delta) {
  return op_byte(StoreOp::kAdd) + text(key) + number(delta);
}
inline std::string check(const Keys& keys) { return key_list(StoreOp::kCheck, keys); }
inline std::string wait(const Keys& keys) { return key_list(StoreOp::kWait, keys); }
inline std::string get_num_keys() { return op_byte(StoreOp::kGetNumKeys); }
inline std::string delete_key(std::string_view key) { return op_byte(StoreOp::kDeleteKey) + text(key); }
inline std::string append(std::string_view key, std::string_view value) {
  return op_byte(StoreOp::kAppend) + text(key) + text(value);
}
inline std::string multi_get(const Keys& keys) { return key_list(StoreOp::kMultiGet, keys); }
inline std::string multi_set(const std::vector<std::pair<std::string, std::string>>& items) {
  std::string out = op_byte(StoreOp::kMultiSet) + number(static_cast<int64_t>(items.size()));
  for (const auto& [key, value] : items) out += text(key) + text(value);
  return out;
}
inline std::string cancel_wait() { return op_byte(StoreOp::kCancelWait); }
inline std::string ping(uint32_t nonce) { return op_byte(StoreOp::kPing) + word(nonce); }
inline std::string queue_push(std::string_view name, std::string_view value) {
  return op_byte(StoreOp::kQueuePush) + text(name) + text(value);
}
inline std::string queue_pop(std::string_view name) { return op_byte(StoreOp::kQueuePop) + text(name); }
inline std::string queue_len(std::string_view name) { return op_byte(StoreOp::kQueueLen) + text(name); }
inline std::string list_keys() { return op_byte(StoreOp::kListKeys); }
inline std::string barrier(std::string_view key, int64_t world) {
  return op_byte(StoreOp::kBarrier) + text(key) + number(world);
}

// One message of each operation after the handshake, in the order of their numbers.
inline std::vector<std::string> one_of_each() {
  return {set("/key", "value"),
          compare_set("/key", "value", "other"),
          get("/key"),
          add("/count", -42),
          check({"/a", "/bb"}),
          wait({"/a", "", "/ccc"}),
          get_num_keys(),
          delete_key("/key"),
          append("/key", std::string("\0\xff", 2)),
          multi_get({"/a"}),
          multi_set({{"/a", "1"}, {"/b", ""}}),
          cancel_wait(),
          ping(0xDEADBEEF),
          queue_push("/queue", "job"),
          queue_pop("/queue"),
          queue_len("/queue"),
          list_keys(),
          barrier("/barrier", 4)};
}

// A request as text, to compare and to print: the views of a StoreRequest do not outlive the parser's next call.
inline std::string describe(const StoreRequest& request) {
  const auto quoted = [](std::string_view value) { return "<" + std::string(value) + ">"; };
  std::string out = std::to_string(static_cast<int>(request.op));
  switch (request.op) {
    case StoreOp::kSet:
    case StoreOp::kAppend:
    case StoreOp::kQueuePush: return out + quoted(request.key) + quoted(request.value);
    case StoreOp::kCompareSet: return out + quoted(request.key) + quoted(request.expected) + quoted(request.value);
    case StoreOp::kAdd:
    case StoreOp::kBarrier: return out + quoted(request.key) + std::to_string(request.number);
    case StoreOp::kGet:
    case StoreOp::kDeleteKey:
    case StoreOp::kQueuePop:
    case StoreOp::kQueueLen: return out + quoted(request.key);
    case StoreOp::kCheck:
    case StoreOp::kWait:
    case StoreOp::kMultiGet:
      for (const std::string_view key : request.keys) out += quoted(key);
      return out;
    case StoreOp::kMultiSet:
      for (size_t i = 0; i < request.keys.size(); ++i) out += quoted(request.keys[i]) + quoted(request.values[i]);
      return out;
    case StoreOp::kPing: return out + std::to_string(request.number);
    default: return out;
  }
}

}  // namespace ferrun::store_messages
