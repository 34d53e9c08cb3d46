#include "rendezvous/wire/message_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "rendezvous/job/limits.h"
#include "rendezvous/wire/frame_codec.h"
#include "rendezvous/wire/frame_seal.h"
#include "tests/rendezvous/wire/message_examples.h"
#include "tests/seeds.h"

namespace ferrun {
namespace {

namespace examples = message_examples;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// The two directions, so that each test holds for both.
struct FromMember {
  using Message = MemberMessage;
  static Result<Message> decode(std::string_view content) { return decode_member_message(content); }
  static std::vector<Message> examples() { return examples::of_members(); }
};
struct FromCoordinator {
  using Message = CoordinatorMessage;
  static Result<Message> decode(std::string_view content) { return decode_coordinator_message(content); }
  static std::vector<Message> examples() { return examples::of_coordinators(); }
};

template <typename Direction>
class MessageCodec : public ::testing::Test {};
using Directions = ::testing::Types<FromMember, FromCoordinator>;
TYPED_TEST_SUITE(MessageCodec, Directions);

// A copy of exactly its size, so that a read past its end is seen by a sanitizer.
template <typename Direction>
Result<typename Direction::Message> decode_copy(std::string_view content) {
  const std::vector<char> copy(content.begin(), content.end());
  return Direction::decode({copy.data(), copy.size()});
}

TYPED_TEST(MessageCodec, ReadsBackOneOfEachKind) {
  std::set<size_t> kinds;
  for (const auto& message : TypeParam::examples()) {
    const auto decoded = decode_copy<TypeParam>(encode(message));
    ASSERT_TRUE(decoded.ok()) << decoded.error().message;
    EXPECT_EQ(*decoded, message);
    kinds.insert(message.index());
  }
  EXPECT_EQ(kinds.size(), std::variant_size_v<typename TypeParam::Message>);
}

TYPED_TEST(MessageCodec, RefusesEveryMessageThatIsCutOrContinued) {
  for (const auto& message : TypeParam::examples()) {
    const std::string content = encode(message);
    for (size_t size = 0; size < content.size(); ++size) {
      const auto decoded = decode_copy<TypeParam>(content.substr(0, size));
      ASSERT_FALSE(decoded.ok()) << "kind " << message.index() << ", " << size << " bytes";
      EXPECT_THAT(decoded.error().message, StartsWith("sent a"));
    }
    EXPECT_THAT(decode_copy<TypeParam>(content + "x").error().message, HasSubstr("goes on for 1 bytes behind its end"));
  }
}

TYPED_TEST(MessageCodec, RefusesUnknownKindsInOneLine) {
  std::set<uint8_t> known;
  for (const auto& message : TypeParam::examples()) known.insert(static_cast<uint8_t>(encode(message)[0]));
  for (int kind = 0; kind < 256; ++kind) {
    if (known.contains(static_cast<uint8_t>(kind))) continue;
    const auto decoded = decode_copy<TypeParam>(std::string(1, static_cast<char>(kind)) + "content\n");
    ASSERT_FALSE(decoded.ok()) << kind;
    EXPECT_EQ(decoded.error().message, "sent a message of the unknown kind " + std::to_string(kind));
  }
}

TYPED_TEST(MessageCodec, ReadsBackRandomMessages) {
  for (uint32_t seed = 0; seed < seeds_to_try(3000); ++seed) {
    examples::RandomFields random(seed);
    const auto message = random.any(std::type_identity<typename TypeParam::Message>());
    const auto decoded = decode_copy<TypeParam>(encode(message));
    ASSERT_TRUE(decoded.ok()) << decoded.error().message << ", seed " << seed;
    ASSERT_EQ(*decoded, message) << "seed " << seed;
  }
}

// Whatever comes is refused or is a message that is written as it was read.
TYPED_TEST(MessageCodec, SurvivesDamagedMessages) {
  for (uint32_t seed = 0; seed < seeds_to_try(3000); ++seed) {
    examples::RandomFields random(seed);
    std::string content = encode(random.any(std::type_identity<typename TypeParam::Message>()));
    std::mt19937 damage(seed);
    for (uint32_t i = 0; i <= damage() % 3; ++i) content[damage() % content.size()] = static_cast<char>(damage());
    const auto decoded = decode_copy<TypeParam>(content);
    if (decoded.ok()) {
      EXPECT_EQ(encode(*decoded), content) << "seed " << seed;
    } else {
      EXPECT_EQ(decoded.error().message.find('\n'), std::string::npos);
    }
  }
}

// The numbers are the protocol's: another one needs another version.
TEST(MessageKinds, AreNumberedForGood) {
  uint8_t kind = 16;
  for (const MemberMessage& message : examples::of_members())
    EXPECT_EQ(static_cast<uint8_t>(encode(message)[0]), kind++);
  kind = 64;
  for (const CoordinatorMessage& message : examples::of_coordinators())
    EXPECT_EQ(static_cast<uint8_t>(encode(message)[0]), kind++);
}

TEST(MessageBytes, AreLittleEndianAndLengthPrefixed) {
  EXPECT_EQ(encode(MemberMessage(Goodbye{15, "why"})), std::string("\x1a"
                                                                   "\x0f\0\0\0"
                                                                   "\x03\0\0\0why",
                                                                   12));
  EXPECT_EQ(encode(CoordinatorMessage(DialStore{{2, 7}, {"::1"}, 0x7203})), std::string("\x45"
                                                                                        "\x02\0\0\0\0\0\0\0"
                                                                                        "\x07\0\0\0\0\0\0\0"
                                                                                        "\x01\0\0\0"
                                                                                        "\x03\0\0\0::1"
                                                                                        "\x03\x72",
                                                                                        30));
}

// What is too long for a reader never leaves a writer.
TEST(MessageLimits, LongTextsAreCutBetweenCharacters) {
  std::string text(kMaxSentenceBytes - 1, 'x');
  text += "\xC3\xBC and more";
  const auto decoded = decode_coordinator_message(encode(CoordinatorMessage(Waiting{text})));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(std::get<Waiting>(*decoded).sentence, std::string(kMaxSentenceBytes - 1, 'x'));
}

TEST(MessageLimits, LongListsAreCut) {
  Join join = examples::join();
  join.addresses.assign(1000, std::string(1000, '1'));
  join.terms.assign(1000, {std::string(1000, 'n'), std::string(100'000, 'v')});
  const std::string content = encode(MemberMessage(join));
  EXPECT_LT(content.size(), kMemberFrameLimit - FrameSeal::kTagBytes);
  const auto decoded = decode_member_message(content);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(std::get<Join>(*decoded).addresses,
            std::vector<std::string>(kMaxAddresses, std::string(kMaxAddressBytes, '1')));
  EXPECT_EQ(std::get<Join>(*decoded).terms.size(), kMaxTerms);
}

TEST(MessageLimits, ReportsOfManyFailuresFitIntoOneFrame) {
  NodeFailed failed{{1, 7}, {}};
  for (int rank = 0; rank < 2000; ++rank) {
    LocalFailure failure = examples::failure();
    failure.rank = rank;
    failure.report = {std::string(500, 'a'), std::string(3000, 'b')};
    failed.failures.push_back(failure);
  }
  const std::string content = encode(MemberMessage(failed));
  EXPECT_LT(content.size(), kMemberFrameLimit - FrameSeal::kTagBytes);
  const auto decoded = decode_member_message(content);
  ASSERT_TRUE(decoded.ok()) << decoded.error().message;
  const auto& failures = std::get<NodeFailed>(*decoded).failures;
  ASSERT_EQ(failures.size(), kMaxFailures);
  EXPECT_EQ(failures.front(), failed.failures.front());
  EXPECT_EQ(failures.back().rank, static_cast<int>(kMaxFailures) - 1);
  EXPECT_EQ(failures.back().report, std::vector<std::string>{std::string(kShortReportBytes, 'a')});
}

TEST(MessageLimits, OfALongEndTheLastLinesStay) {
  JobEnd end{JobEnd::Kind::kFailed, 1, {}};
  for (int line = 0; line < 1000; ++line) end.report.push_back(std::to_string(line) + std::string(500, '.'));
  const auto decoded = decode_coordinator_message(encode(CoordinatorMessage(Close{end})));
  ASSERT_TRUE(decoded.ok());
  const auto& report = std::get<Close>(*decoded).end.report;
  EXPECT_EQ(report.size(), kMaxReportBytes / 507);
  EXPECT_EQ(report.back(), end.report.back());
  EXPECT_EQ(report.front(), end.report[end.report.size() - report.size()]);
}

TEST(MessageLimits, AClaimedLengthTakesNoMemory) {
  // A Prepare whose list of admitted addresses claims more items than bytes are there.
  std::string content = encode(CoordinatorMessage(Prepare{examples::assignment(), true, {}}));
  content.replace(content.size() - 4, 4, std::string("\x00\x00\x01\x00", 4));
  EXPECT_THAT(decode_coordinator_message(content).error().message, HasSubstr("ends within its list"));
  content.replace(content.size() - 4, 4, std::string("\xff\xff\xff\xff", 4));
  EXPECT_THAT(decode_coordinator_message(content).error().message, HasSubstr("4294967295 items of address"));
}

TEST(MessageLimits, TheLongestPrepareFitsIntoAFrame) {
  Prepare prepare{examples::assignment(), true, {}};
  prepare.admitted.assign(kMaxAdmitted, std::string(kMaxAddressBytes, '1'));
  EXPECT_LE(encode(CoordinatorMessage(prepare)).size() + FrameSeal::kTagBytes, kCoordinatorFrameLimit);
}

TEST(MessageLimits, NumbersOutOfRangeAreNamed) {
  Join join = examples::join();
  for (const int workers : {0, -1, kMostWorkersOfNode + 1}) {
    join.workers = workers;
    const auto decoded = decode_member_message(encode(MemberMessage(join)));
    ASSERT_FALSE(decoded.ok());
    EXPECT_EQ(decoded.error().message, "sent a Join that has the workers " + std::to_string(workers));
  }
  Prepare prepare{examples::assignment(), false, {}};
  prepare.assignment.node_rank = prepare.assignment.node_count;
  EXPECT_EQ(decode_coordinator_message(encode(CoordinatorMessage(prepare))).error().message,
            "sent a Prepare that has a rank outside its world");
  EXPECT_FALSE(
      decode_coordinator_message(encode(CoordinatorMessage(Welcome{1, false, -Duration(1), {}, "", false}))).ok());
  EXPECT_FALSE(decode_member_message(encode(MemberMessage(NodeFailed{{1, 7}, {}}))).ok()) << "a failure without one";
}

}  // namespace
}  // namespace ferrun
