// One request of torch's TCPStore protocol (torch 2.4 and newer) as a value, and the limits that every request keeps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace ferrun {

// The first byte of every message; the numbers are the protocol's.
enum class StoreOp : uint8_t {
  kValidate = 0,  // the handshake, once, first; the parser consumes it
  kSet = 1,
  kCompareSet = 2,
  kGet = 3,
  kAdd = 4,
  kCheck = 5,
  kWait = 6,
  kGetNumKeys = 7,
  kDeleteKey = 8,
  kAppend = 9,
  kMultiGet = 10,
  kMultiSet = 11,
  kCancelWait = 12,
  kPing = 13,
  kQueuePush = 14,
  kQueuePop = 15,
  kQueueLen = 16,
  kListKeys = 17,
  kBarrier = 18,
};
inline constexpr uint8_t kStoreOpCount = 19;
inline constexpr uint32_t kStoreMagic = 0x3C85F7CE;

// What torch's own server accepts, and no more.
inline constexpr uint64_t kStoreMaxKeyBytes = 8 * 1024;
inline constexpr uint64_t kStoreMaxValueBytes = 8 * 1024 * 1024;
inline constexpr uint64_t kStoreMaxKeys = 128 * 1024;
// A whole message, request or reply: room for the longest list of the longest keys.
inline constexpr uint64_t kStoreMaxMessageBytes = 16 + kStoreMaxKeys * (sizeof(uint64_t) + kStoreMaxKeyBytes);

// Views point into the parser's input and are valid until its next call. A field that the operation does not have
// keeps an older request's content.
struct StoreRequest {
  StoreOp op = StoreOp::kPing;
  std::string_view key;                  // also the name of a queue or barrier
  std::string_view expected;             // kCompareSet
  std::string_view value;                // kSet, kAppend, kQueuePush; the desired value of kCompareSet
  int64_t number = 0;                    // kAdd: delta; kBarrier: world size; kPing: the nonce to echo
  std::vector<std::string_view> keys;    // kCheck, kWait, kMultiGet, kMultiSet
  std::vector<std::string_view> values;  // kMultiSet: one for each key
};

}  // namespace ferrun
