// The framing of ferrun's protocol: what a connection begins with, and bytes, split anywhere, to frames. Pure; one
// reader for each direction of a connection, owned by its session.
//
// A stream is kStreamMagic, then frames: a 32-bit little-endian size, and that many bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ferrun {

// The first bytes in both directions. They do not begin with 0x00, as every store client does (torch 2.4 and newer).
inline constexpr std::string_view kStreamMagic = "ferrun\r\n";

// The largest frames, without their size field.
inline constexpr size_t kHandshakeFrameLimit = 1024;
inline constexpr size_t kMemberFrameLimit = 128 << 10;  // by an agent: failures with their reports
inline constexpr size_t kCoordinatorFrameLimit = 8
                                                 << 20;  // by a coordinator: the addresses or the state of 10,000 nodes

inline constexpr size_t kFrameHeaderBytes = 4;
void append_frame_header(std::string& out, size_t size);

// Who has connected to a port that agents and workers share, by the first bytes of the connection: at most
// kStreamMagic.size() of them are needed.
enum class Caller {
  kUndecided,  // more bytes are needed
  kAgent,
  kStoreClient,
  kNeither,
};
Caller caller_of(std::string_view first_bytes);

// Memory follows the bytes that have arrived, never a size that a frame only claims; a frame that is complete in the
// bytes just fed is given where it lies, without a copy.
class FrameReader {
 public:
  explicit FrameReader(size_t limit = kHandshakeFrameLimit) : limit_(limit) {}
  FrameReader(const FrameReader&) = delete;  // it holds views into itself
  FrameReader& operator=(const FrameReader&) = delete;

  enum class Outcome {
    kFrame,     // `frame` is set, valid until the next call of next() or feed()
    kNeedMore,  // all complete frames are read; the rest is kept until more is fed
    kForeign,   // the stream does not begin with kStreamMagic, see refusal()
    kRefused,   // a frame is larger than the limit, see refusal()
  };

  // The next bytes of the stream. They have to stay in place until next() has returned something else than kFrame.
  void feed(std::string_view bytes);
  Outcome next(std::string_view& frame);

  // From the next frame on.
  void set_limit(size_t limit) { limit_ = limit; }

  // Why the stream was refused, as the second half of a sentence about the peer; it stays refused.
  const std::string& refusal() const { return refusal_; }

  // What the reader holds between calls (for limits and tests).
  size_t held_bytes() const { return held_.capacity(); }

 private:
  Outcome refuse(Outcome outcome, std::string why);
  Outcome keep();

  std::string held_;        // what is not read yet, between calls
  std::string_view input_;  // what is being read: held_, or the bytes just fed
  size_t cursor_ = 0;       // the first byte of input_ that is not read
  size_t limit_;
  bool begun_ = false;  // the magic is read
  Outcome refused_ = Outcome::kNeedMore;
  std::string refusal_;
};

}  // namespace ferrun
