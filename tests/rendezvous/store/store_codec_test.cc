#include "rendezvous/store/store_codec.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/rendezvous/store/store_messages.h"

namespace ferrun {
namespace {

namespace msg = store_messages;
using Outcome = StoreParser::Outcome;

// Everything that a parser makes of `pieces`, fed one after the other.
std::vector<std::string> parse_pieces(StoreParser& parser, const std::vector<std::string>& pieces) {
  std::vector<std::string> requests;
  StoreRequest request;
  for (const std::string& piece : pieces) {
    parser.feed(piece);
    while (parser.next(request) == Outcome::kRequest) requests.push_back(msg::describe(request));
  }
  return requests;
}

std::vector<std::string> parse(const std::string& stream) {
  StoreParser parser;
  return parse_pieces(parser, {stream});
}

// What the parser says about a stream that it refuses.
std::string refusal(const std::string& stream) {
  StoreParser parser;
  StoreRequest request;
  parser.feed(stream);
  Outcome outcome = parser.next(request);
  while (outcome == Outcome::kRequest) outcome = parser.next(request);
  EXPECT_EQ(outcome, Outcome::kRefused);
  return parser.refusal();
}

std::string all_messages() {
  std::string stream = msg::validate();
  for (const std::string& message : msg::one_of_each()) stream += message;
  return stream;
}

const std::vector<std::string> kAllDescribed = {"1</key><value>",
                                                "2</key><value><other>",
                                                "3</key>",
                                                "4</count>-42",
                                                "5</a></bb>",
                                                "6</a><></ccc>",
                                                "7",
                                                "8</key>",
                                                std::string("9</key><\0\xff>", 11),
                                                "10</a>",
                                                "11</a><1></b><>",
                                                "12",
                                                "13" + std::to_string(0xDEADBEEF),
                                                "14</queue><job>",
                                                "15</queue>",
                                                "16</queue>",
                                                "17",
                                                "18</barrier>4"};

TEST(StoreParser, ReadsEveryOperation) { EXPECT_EQ(parse(all_messages()), kAllDescribed); }

TEST(StoreParser, ReadsTheSameWhereverTheStreamIsSplitInTwo) {
  const std::string stream = all_messages();
  const std::vector<std::string> whole = parse(stream);
  ASSERT_EQ(whole.size(), static_cast<size_t>(kStoreOpCount - 1));
  for (size_t at = 0; at <= stream.size(); ++at) {
    StoreParser parser;
    EXPECT_EQ(parse_pieces(parser, {stream.substr(0, at), stream.substr(at)}), whole) << "split at byte " << at;
  }
}

TEST(StoreParser, ReadsTheSameByteByByte) {
  const std::string stream = all_messages();
  std::vector<std::string> bytes;
  for (const char byte : stream) bytes.emplace_back(1, byte);
  StoreParser parser;
  EXPECT_EQ(parse_pieces(parser, bytes), parse(stream));
}

TEST(StoreParser, ReadsTheSameInRandomPieces) {
  const std::vector<std::string> messages = msg::one_of_each();
  for (uint32_t seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    std::string stream = msg::validate();
    for (int i = 0; i < 40; ++i) stream += messages[random() % messages.size()];
    std::vector<std::string> pieces;
    for (size_t at = 0; at < stream.size();) {
      const size_t size = 1 + random() % 90;
      pieces.push_back(stream.substr(at, size));
      at += size;
    }
    StoreParser parser;
    EXPECT_EQ(parse_pieces(parser, pieces), parse(stream)) << "seed " << seed;
  }
}

TEST(StoreParser, GoesOnWhereItWasStoppedInTheMiddleOfABatch) {
  StoreParser parser;
  StoreRequest request;
  std::string buffer = msg::validate() + msg::set("a", "1") + msg::get("bb") + msg::add("c", 7).substr(0, 5);
  parser.feed(buffer);
  ASSERT_EQ(parser.next(request), Outcome::kRequest);
  EXPECT_EQ(msg::describe(request), "1<a><1>");
  parser.keep();
  std::fill(buffer.begin(), buffer.end(), '\x7f');  // the caller reuses its buffer
  ASSERT_EQ(parser.next(request), Outcome::kRequest);
  EXPECT_EQ(msg::describe(request), "3<bb>");
  EXPECT_EQ(parser.next(request), Outcome::kNeedMore);
  const std::string rest = msg::add("c", 7).substr(5);
  parser.feed(rest);
  ASSERT_EQ(parser.next(request), Outcome::kRequest);
  EXPECT_EQ(msg::describe(request), "4<c>7");
}

TEST(StoreParser, RefusesAnythingButTheHandshakeAtItsFirstByte) {
  for (int first = 1; first < 256; ++first) {
    EXPECT_NE(refusal(std::string(1, static_cast<char>(first))).find("torch 2.4 or newer is needed"), std::string::npos)
        << first;
  }
}

TEST(StoreParser, RefusesAWrongMagic) {
  EXPECT_NE(refusal(msg::validate(0x3C85F7CF)).find("torch 2.4 or newer is needed"), std::string::npos);
  EXPECT_NE(refusal(msg::validate(0)).find("torch 2.4 or newer is needed"), std::string::npos);
}

TEST(StoreParser, RefusesASecondHandshake) {
  EXPECT_NE(refusal(msg::validate() + msg::validate()).find("operation 0"), std::string::npos);
}

TEST(StoreParser, RefusesUnknownOperations) {
  for (int op = kStoreOpCount; op < 256; ++op) {
    const std::string why = refusal(msg::validate() + std::string(1, static_cast<char>(op)));
    EXPECT_NE(why.find("operation " + std::to_string(op)), std::string::npos) << why;
  }
}

TEST(StoreParser, TakesKeysOfExactlyTheLimit) {
  const std::string key(kStoreMaxKeyBytes, 'k');
  EXPECT_EQ(parse(msg::validate() + msg::get(key)), (std::vector<std::string>{"3<" + key + ">"}));
}

TEST(StoreParser, RefusesALongerKeyBeforeItsBytesCome) {
  const std::string head = msg::op_byte(StoreOp::kGet) + msg::number(static_cast<int64_t>(kStoreMaxKeyBytes) + 1);
  EXPECT_NE(refusal(msg::validate() + head).find("key of 8193 bytes"), std::string::npos);
}

TEST(StoreParser, TakesValuesOfExactlyTheLimit) {
  const std::string value(kStoreMaxValueBytes, 'v');
  EXPECT_EQ(parse(msg::validate() + msg::set("k", value)).size(), 1u);
}

TEST(StoreParser, RefusesALongerValueBeforeItsBytesCome) {
  const std::string head =
      msg::op_byte(StoreOp::kSet) + msg::text("k") + msg::number(static_cast<int64_t>(kStoreMaxValueBytes) + 1);
  EXPECT_NE(refusal(msg::validate() + head).find("value of 8388609 bytes"), std::string::npos);
}

TEST(StoreParser, NamesTheKeyOfALongerValue) {
  const auto why = [](const std::string& before) {
    return refusal(msg::validate() + before + msg::number(static_cast<int64_t>(kStoreMaxValueBytes) + 1));
  };
  const auto named = [](const std::string& key) { return "bytes for the key '" + key + "' (at most 8388608"; };
  const auto head = [](StoreOp op, const std::string& rest) { return msg::op_byte(op) + rest; };
  EXPECT_NE(why(head(StoreOp::kAppend, msg::text("/pg/0"))).find(named("pg/0")), std::string::npos);
  EXPECT_NE(why(head(StoreOp::kQueuePush, msg::text("q"))).find(named("q")), std::string::npos);
  EXPECT_NE(why(head(StoreOp::kCompareSet, msg::text("k") + msg::text("e"))).find(named("k")), std::string::npos);
  const std::string list = msg::number(2) + msg::text("a") + msg::text("1") + msg::text("b");
  EXPECT_NE(why(head(StoreOp::kMultiSet, list)).find(named("b")), std::string::npos);
  EXPECT_NE(why(head(StoreOp::kSet, msg::text(std::string("\x1b[2J\nk\0", 7)))).find(named("k")), std::string::npos)
      << "what a terminal may be given";
}

TEST(StoreParser, TakesAsManyKeysAsTheLimit) {
  const std::vector<std::string> keys(kStoreMaxKeys, "k");
  StoreParser parser;
  StoreRequest request;
  const std::string stream = msg::validate() + msg::check(keys);
  parser.feed(stream);
  ASSERT_EQ(parser.next(request), Outcome::kRequest);
  EXPECT_EQ(request.keys.size(), kStoreMaxKeys);
}

TEST(StoreParser, RefusesMoreKeysAndNegativeCountsBeforeTheyCome) {
  for (const int64_t count : {static_cast<int64_t>(kStoreMaxKeys) + 1, int64_t{-1}, INT64_MIN, INT64_MAX}) {
    for (const StoreOp op : {StoreOp::kCheck, StoreOp::kWait, StoreOp::kMultiGet, StoreOp::kMultiSet}) {
      EXPECT_NE(refusal(msg::validate() + msg::op_byte(op) + msg::number(count)).find("keys (at most 131072)"),
                std::string::npos);
    }
  }
}

TEST(StoreParser, StaysRefused) {
  StoreParser parser;
  StoreRequest request;
  parser.feed("x");
  EXPECT_EQ(parser.next(request), Outcome::kRefused);
  const std::string right = msg::validate() + msg::get("k");
  parser.feed(right);
  EXPECT_EQ(parser.next(request), Outcome::kRefused);
}

TEST(StoreParser, AllocatesForBytesThatCameNotForBytesThatWereAnnounced) {
  StoreParser parser;
  StoreRequest request;
  const int64_t announced = static_cast<int64_t>(kStoreMaxValueBytes);
  const std::string head = msg::validate() + msg::op_byte(StoreOp::kSet) + msg::text("k") + msg::number(announced);
  parser.feed(head);
  EXPECT_EQ(parser.next(request), Outcome::kNeedMore);
  EXPECT_LT(parser.held_bytes(), 1024u);
}

TEST(StoreParser, GivesTheMemoryOfALargeMessageBack) {
  StoreParser parser;
  StoreRequest request;
  const std::string stream = msg::validate() + msg::set("k", std::string(1 << 20, 'v'));
  const std::string_view all = stream;
  parser.feed(all.substr(0, all.size() - 1));
  EXPECT_EQ(parser.next(request), Outcome::kNeedMore);
  EXPECT_GT(parser.held_bytes(), size_t{1} << 20);
  parser.feed(all.substr(all.size() - 1));
  EXPECT_EQ(parser.next(request), Outcome::kRequest);
  EXPECT_EQ(request.value.size(), size_t{1} << 20);
  EXPECT_EQ(parser.next(request), Outcome::kNeedMore);
  EXPECT_LE(parser.held_bytes(), size_t{64} << 10);
}

TEST(StoreParser, KeepsNothingOfMessagesThatCameWhole) {
  StoreParser parser;
  StoreRequest request;
  const std::string stream = msg::validate() + msg::set("k", std::string(4000, 'v'));
  parser.feed(stream);
  ASSERT_EQ(parser.next(request), Outcome::kRequest);
  EXPECT_EQ(parser.next(request), Outcome::kNeedMore);
  EXPECT_LT(parser.held_bytes(), 100u);
}

TEST(StoreReplies, AreLittleEndianAndLengthPrefixed) {
  std::string out;
  append_byte(out, 1);
  append_u32(out, 0x01020304);
  append_i64(out, -2);
  append_value(out, "ab");
  EXPECT_EQ(out, std::string("\x01"
                             "\x04\x03\x02\x01"
                             "\xfe\xff\xff\xff\xff\xff\xff\xff"
                             "\x02\0\0\0\0\0\0\0"
                             "ab",
                             1 + 4 + 8 + 8 + 2));
}

}  // namespace
}  // namespace ferrun
