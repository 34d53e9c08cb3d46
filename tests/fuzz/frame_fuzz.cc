// The frames' reader against arbitrary bytes: any stream, split in any way, is read or refused as in one piece, and the
// reader holds no more than what came.
//
// Input: one byte that chooses how the rest is split, then the stream. Its first frame raises the limit.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "rendezvous/wire/frame_codec.h"
#include "tests/fuzz/require.h"

namespace ferrun {
namespace {

constexpr size_t kLargeLimit = 4096;

struct Reading {
  std::vector<std::string> frames;
  std::string refusal;
  bool operator==(const Reading&) const = default;
};

Reading read(std::string_view stream, size_t step) {
  Reading reading;
  FrameReader reader;
  std::string_view frame;
  size_t received = 0;
  for (size_t at = 0; at < stream.size(); at += step) {
    // A copy of exactly its size, so that a read past its end is seen, and gone before the next one.
    const std::string_view part = stream.substr(at, step);
    const std::vector<char> piece(part.begin(), part.end());
    received += piece.size();
    reader.feed({piece.data(), piece.size()});
    FrameReader::Outcome outcome = reader.next(frame);
    for (; outcome == FrameReader::Outcome::kFrame; outcome = reader.next(frame)) {
      require(frame.size() <= (reading.frames.empty() ? kHandshakeFrameLimit : kLargeLimit), "frames keep their limit");
      reading.frames.emplace_back(frame);
      reader.set_limit(kLargeLimit);
    }
    require((outcome == FrameReader::Outcome::kNeedMore) == reader.refusal().empty(), "a refusal has a reason");
    require(reader.held_bytes() <= 2 * received + (16 << 10), "memory follows the bytes that came");
    reading.refusal = reader.refusal();
  }
  return reading;
}

// The first bytes decide the same way, however many are there.
void try_caller(std::string_view stream) {
  Caller before = Caller::kUndecided;
  for (size_t size = 0; size <= std::min(stream.size(), kStreamMagic.size() + 1); ++size) {
    const Caller caller = caller_of(stream.substr(0, size));
    require(before == Caller::kUndecided || caller == before, "a decision stays");
    require(size < kStreamMagic.size() || caller != Caller::kUndecided, "the magic's length decides");
    before = caller;
  }
}

}  // namespace
}  // namespace ferrun

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ferrun;
  if (size < 2) return 0;
  const std::string_view stream(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Reading whole = read(stream, stream.size());
  const Reading split = read(stream, 1 + size_t{data[0]});
  // The words of a foreign stream are those that were there.
  require(whole.frames == split.frames && whole.refusal.empty() == split.refusal.empty(),
          "how a stream is split changes nothing");
  try_caller(stream);
  return 0;
}
