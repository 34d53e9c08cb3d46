#include "rendezvous/wire/frame_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace ferrun {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Outcome = FrameReader::Outcome;

std::string frame_of(std::string_view content) {
  std::string frame;
  append_frame_header(frame, content.size());
  return frame.append(content);
}

std::string magic() { return std::string(kStreamMagic); }

std::vector<std::string> read_pieces(FrameReader& reader, const std::vector<std::string>& pieces) {
  std::vector<std::string> frames;
  std::string_view frame;
  for (const std::string& piece : pieces) {
    // A copy of exactly its size, that is gone before the next piece: nothing may point into it.
    const std::vector<char> bytes(piece.begin(), piece.end());
    reader.feed({bytes.data(), bytes.size()});
    while (reader.next(frame) == Outcome::kFrame) frames.emplace_back(frame);
  }
  return frames;
}

Outcome last_outcome(FrameReader& reader, const std::string& stream) {
  std::string_view frame;
  reader.feed(stream);
  Outcome outcome = reader.next(frame);
  while (outcome == Outcome::kFrame) outcome = reader.next(frame);
  return outcome;
}

TEST(FrameReader, ReadsFramesBehindTheMagic) {
  FrameReader reader;
  EXPECT_THAT(read_pieces(reader, {magic() + frame_of("one") + frame_of("") + frame_of("three")}),
              ElementsAre("one", "", "three"));
}

TEST(FrameReader, ReadsTheSameWhereverTheStreamIsSplit) {
  const std::string stream = magic() + frame_of("one") + frame_of("") + frame_of(std::string(300, 'x'));
  for (size_t at = 0; at <= stream.size(); ++at) {
    FrameReader reader;
    EXPECT_THAT(read_pieces(reader, {stream.substr(0, at), stream.substr(at)}),
                ElementsAre("one", "", std::string(300, 'x')))
        << "split at byte " << at;
  }
  std::vector<std::string> bytes;
  for (const char byte : stream) bytes.emplace_back(1, byte);
  FrameReader reader;
  EXPECT_THAT(read_pieces(reader, bytes), ElementsAre("one", "", std::string(300, 'x')));
}

TEST(FrameReader, ReadsTheSameInRandomPieces) {
  for (uint32_t seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    std::string stream = magic();
    std::vector<std::string> frames;
    for (int i = 0; i < 30; ++i) {
      frames.emplace_back(random() % 400, static_cast<char>('a' + i % 26));
      stream += frame_of(frames.back());
    }
    std::vector<std::string> pieces;
    for (size_t at = 0; at < stream.size(); at += pieces.back().size())
      pieces.push_back(stream.substr(at, 1 + random() % 500));
    FrameReader reader;
    EXPECT_EQ(read_pieces(reader, pieces), frames) << "seed " << seed;
  }
}

TEST(FrameReader, KnowsAForeignStreamAtItsFirstWrongByte) {
  for (const std::string stream : {"HTTP/1.1 400 Bad Request\r\n", "f\n", "ferrun\n", "\x16\x03\x01"}) {
    FrameReader reader;
    EXPECT_EQ(last_outcome(reader, stream), Outcome::kForeign) << stream;
  }
  FrameReader reader;
  EXPECT_EQ(last_outcome(reader, "HTTP/1.1 400 Bad Request\r\n\x1B[31m"), Outcome::kForeign);
  EXPECT_EQ(reader.refusal(), "it does not speak ferrun's protocol: it begins with \"HTTP/1.1 400 Bad Request\"");
}

TEST(FrameReader, RefusesALargerFrameBeforeItsBytesCome) {
  FrameReader reader;
  std::string stream = magic() + frame_of(std::string(kHandshakeFrameLimit, 'x'));
  EXPECT_EQ(last_outcome(reader, stream), Outcome::kNeedMore);
  stream.clear();
  append_frame_header(stream, kHandshakeFrameLimit + 1);
  EXPECT_EQ(last_outcome(reader, stream), Outcome::kRefused);
  EXPECT_EQ(reader.refusal(), "it sent a frame of 1025 bytes (at most 1024)");
  EXPECT_EQ(last_outcome(reader, frame_of("more")), Outcome::kRefused);
}

TEST(FrameReader, TakesLargerFramesOnceItMay) {
  FrameReader reader;
  std::string_view frame;
  const std::string stream = magic() + frame_of("hello") + frame_of(std::string(5000, 'x'));
  reader.feed(stream);
  ASSERT_EQ(reader.next(frame), Outcome::kFrame);
  reader.set_limit(5000);
  ASSERT_EQ(reader.next(frame), Outcome::kFrame);
  EXPECT_EQ(frame.size(), 5000u);
}

TEST(FrameReader, HoldsNoMoreThanWhatHasCome) {
  FrameReader reader(1 << 30);
  std::string stream = magic();
  append_frame_header(stream, 1 << 29);
  EXPECT_EQ(last_outcome(reader, stream + "a few"), Outcome::kNeedMore);
  EXPECT_LT(reader.held_bytes(), 200u);
}

TEST(FrameReader, GivesTheMemoryOfALargeFrameBack) {
  FrameReader reader(1 << 20);
  const std::string stream = magic() + frame_of(std::string(1 << 20, 'x'));
  EXPECT_EQ(read_pieces(reader, {stream.substr(0, 1 << 19), stream.substr(1 << 19)}).size(), 1u);
  EXPECT_LE(reader.held_bytes(), size_t{16} << 10);
}

TEST(CallerOf, TellsAgentsFromStoreClients) {
  EXPECT_EQ(caller_of(""), Caller::kUndecided);
  EXPECT_EQ(caller_of(std::string_view("\0", 1)), Caller::kStoreClient);
  EXPECT_EQ(caller_of(std::string_view("\0ferrun", 7)), Caller::kStoreClient);
  for (size_t size = 1; size < kStreamMagic.size(); ++size) {
    EXPECT_EQ(caller_of(kStreamMagic.substr(0, size)), Caller::kUndecided) << size;
    EXPECT_EQ(caller_of(magic().substr(0, size) + "?"), Caller::kNeither) << size;
  }
  EXPECT_EQ(caller_of(kStreamMagic), Caller::kAgent);
  EXPECT_EQ(caller_of(magic() + "more"), Caller::kAgent);
  EXPECT_EQ(caller_of("GET / HTTP/1.1"), Caller::kNeither);
  EXPECT_EQ(caller_of("\x01"), Caller::kNeither);
}

}  // namespace
}  // namespace ferrun
