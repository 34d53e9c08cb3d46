// The TCPStore protocol's framing: bytes, split anywhere, to requests; replies to bytes. Pure; one parser for each
// connection, owned by it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "rendezvous/store/store_request.h"

namespace ferrun {

// Reads one connection's stream of messages. Memory follows the bytes that have arrived, never a length that a
// message only claims; a message that is complete in the bytes just fed is parsed where it lies, without a copy.
class StoreParser {
 public:
  StoreParser() = default;
  StoreParser(const StoreParser&) = delete;  // it holds views into itself
  StoreParser& operator=(const StoreParser&) = delete;

  enum class Outcome {
    kRequest,   // `request` is filled
    kNeedMore,  // all complete messages are read; the rest is kept until more is fed
    kRefused,   // the stream breaks the protocol or a limit, see refusal(); it stays refused
  };

  // The next bytes of the stream. They have to stay in place until next() has returned something else than kRequest,
  // or until keep().
  void feed(std::string_view bytes);

  Outcome next(StoreRequest& request);

  // Copies what is not parsed yet, for a caller that stops before kNeedMore and reuses its buffer.
  void keep();

  // The handshake has come: it is a client of the protocol.
  bool greeted() const { return validated_; }

  // Why the stream was refused, as the second half of a sentence about the peer.
  const std::string& refusal() const { return refusal_; }

  // What the parser holds between calls (for limits and tests).
  size_t held_bytes() const { return held_.capacity(); }

 private:
  enum class Progress { kDone, kShort, kRefused };
  struct Slice {
    size_t begin;  // relative to the message, which may move while it is incomplete
    size_t size;
  };

  Progress read_message();
  Progress read_operation();
  Progress read_count();
  Progress read_field(char kind);
  Progress read_string(uint64_t limit, const char* what);
  std::string owner_of_value() const;
  template <typename T>
  bool read_integer(T& value);
  Progress refuse(std::string why);
  void start_next_message();
  void fill(StoreRequest& request) const;
  std::string_view slice(size_t index) const;

  std::string held_;        // the unfinished message, when there is one
  std::string_view input_;  // what is being read: held_, or the bytes just fed
  size_t message_ = 0;      // where the current message begins in input_
  size_t cursor_ = 0;       // the first byte of input_ that is not read

  bool validated_ = false;
  StoreOp op_ = StoreOp::kPing;
  bool counted_ = false;  // the number of fields is known
  uint64_t fields_ = 0;   // in this message
  uint64_t fields_read_ = 0;
  int64_t number_ = 0;
  std::vector<Slice> strings_;
  std::string refusal_;
};

// Replies, appended to `out` as the protocol has them: integers little-endian, a value as its length and its bytes.
void append_byte(std::string& out, uint8_t value);
void append_u32(std::string& out, uint32_t value);
void append_i64(std::string& out, int64_t value);
void append_value(std::string& out, std::string_view value);

}  // namespace ferrun
