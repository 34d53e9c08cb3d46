// The decisions about workers' output, without files, threads or clocks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>

#include "launcher/logs/log_flow.h"
#include "launcher/logs/log_loss.h"
#include "launcher/logs/log_patience.h"
#include "launcher/logs/log_queue.h"
#include "launcher/logs/log_rotation.h"
#include "launcher/logs/log_tail.h"

namespace ferrun {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Verdict = LogFlow::Verdict;

constexpr LogFlow::Limits kLimits = {.high = 100, .low = 50, .late = 10s, .patience = 10s};
constexpr TimePoint kNever{};

TEST(LogFlow, AcceptsUntilTheQueueIsHigh) {
  LogFlow flow(kLimits);
  EXPECT_EQ(flow.judge(99, kNever, TimePoint{}), Verdict::kAccept);
  EXPECT_EQ(flow.next_deadline(), std::nullopt);
  EXPECT_EQ(flow.judge(100, kNever, TimePoint{}), Verdict::kWait);
}

TEST(LogFlow, WaitsUntilTheQueueIsLowAgain) {
  LogFlow flow(kLimits);
  flow.judge(100, kNever, TimePoint{});
  EXPECT_EQ(flow.judge(51, kNever, TimePoint{1s}), Verdict::kWait);
  EXPECT_EQ(flow.judge(50, kNever, TimePoint{2s}), Verdict::kAccept);
  EXPECT_EQ(flow.judge(99, kNever, TimePoint{3s}), Verdict::kAccept);
}

TEST(LogFlow, LosesOnceThePatienceIsOver) {
  LogFlow flow(kLimits);
  flow.judge(100, kNever, TimePoint{5s});
  EXPECT_EQ(flow.next_deadline(), TimePoint{15s});
  EXPECT_EQ(flow.judge(100, kNever, TimePoint{15s} - 1ns), Verdict::kWait);
  EXPECT_EQ(flow.judge(100, kNever, TimePoint{15s}), Verdict::kLose);
  EXPECT_EQ(flow.next_deadline(), std::nullopt);
}

TEST(LogFlow, KeepsLosingUntilTheQueueHasDrainedAndThenHasPatienceAgain) {
  LogFlow flow(kLimits);
  flow.judge(100, kNever, TimePoint{});
  flow.judge(100, kNever, TimePoint{10s});
  EXPECT_EQ(flow.judge(51, kNever, TimePoint{100s}), Verdict::kLose);
  EXPECT_EQ(flow.judge(50, kNever, TimePoint{101s}), Verdict::kAccept);
  EXPECT_EQ(flow.judge(100, kNever, TimePoint{102s}), Verdict::kWait);
  EXPECT_EQ(flow.next_deadline(), TimePoint{112s});
}

TEST(LogFlow, WaitsForADestinationThatTakesSomeNowAndThen) {
  LogFlow flow(kLimits);
  flow.judge(100, kNever, TimePoint{});
  EXPECT_EQ(flow.judge(100, TimePoint{9s}, TimePoint{12s}), Verdict::kWait);
  EXPECT_EQ(flow.next_deadline(), TimePoint{19s});
  EXPECT_EQ(flow.judge(100, TimePoint{9s}, TimePoint{19s}), Verdict::kLose);
  EXPECT_EQ(flow.judge(100, TimePoint{20s}, TimePoint{21s}), Verdict::kWait) << "it goes on";
}

TEST(LogFlow, DoesNotHoldAnOldStandstillAgainstADestinationThatHadNothingToTake) {
  LogFlow flow(kLimits);
  EXPECT_EQ(flow.judge(100, TimePoint{1s}, TimePoint{1000s}), Verdict::kWait);
  EXPECT_EQ(flow.next_deadline(), TimePoint{1010s});
}

TEST(LogFlow, IsLateBeforeItLosesAndUntilItHasCaughtUp) {
  LogFlow flow({.high = 100, .low = 50, .late = 2s, .patience = 10s});
  flow.judge(100, kNever, TimePoint{});
  EXPECT_EQ(flow.next_deadline(), TimePoint{2s});
  EXPECT_EQ(flow.judge(100, kNever, TimePoint{2s}), Verdict::kLate);
  EXPECT_EQ(flow.next_deadline(), TimePoint{10s});
  EXPECT_EQ(flow.judge(100, TimePoint{5s}, TimePoint{10s}), Verdict::kLate);
  EXPECT_EQ(flow.judge(100, TimePoint{5s}, TimePoint{15s}), Verdict::kLose);
  EXPECT_EQ(flow.judge(100, TimePoint{16s}, TimePoint{16s}), Verdict::kLate);
  EXPECT_EQ(flow.judge(50, TimePoint{17s}, TimePoint{17s}), Verdict::kAccept);
}

LogLoss loss_of(std::string_view bytes) {
  LogLoss loss;
  loss.add(bytes);
  return loss;
}

TEST(LogLoss, DescribesLinesAndSize) {
  EXPECT_EQ(loss_of("one line and 21 bytes").describe(), "1 line (21 B)");
  EXPECT_EQ(loss_of(std::string(11, '\n') + std::string(3389, 'x')).describe(), "12 lines (3.4 kB)");
  EXPECT_EQ(loss_of(std::string(999, '\n')).describe(), "999 lines (999 B)");
  EXPECT_EQ((LogLoss{.lines = 7, .bytes = 999'949, .ends_mid_line = false}).describe(), "7 lines (999.9 kB)");
  EXPECT_EQ((LogLoss{.lines = 7, .bytes = 999'950, .ends_mid_line = false}).describe(), "7 lines (1.0 MB)");
  EXPECT_EQ((LogLoss{.lines = 7, .bytes = 31'400'000'000'000'000, .ends_mid_line = false}).describe(),
            "7 lines (31400.0 TB)");
}

TEST(LogLoss, CountsALineLostInPiecesOnce) {
  LogLoss loss = loss_of("begin");
  loss.add("ning, end\n");
  EXPECT_EQ(loss.lines, 1U);
  EXPECT_EQ(loss.bytes, 15U);
  LogLoss sum = loss_of("x");
  sum.add(loss);
  EXPECT_EQ(sum.describe(), "1 line (16 B)");
}

TEST(LogLoss, LosesTheRestOfALineWhoseBeginningIsLost) {
  LogLoss loss = loss_of("begin");
  EXPECT_EQ(loss.skip_rest_of_line("ning"), "");
  EXPECT_EQ(loss.skip_rest_of_line(" end\nnext\n"), "next\n");
  EXPECT_EQ(loss.describe(), "1 line (14 B)");
  EXPECT_EQ(loss.skip_rest_of_line("more"), "more");
}

std::string text_of(const LogQueue::Front& front) {
  std::string text;
  for (size_t i = 0; i < front.piece_count; ++i) text += front.pieces[i];
  return text;
}

TEST(LogQueue, KeepsTheOrderAndJoinsNeighbours) {
  LogQueue queue(1 << 20);
  EXPECT_TRUE(queue.empty());
  queue.push(0, "a");
  queue.push(0, "b");
  queue.push(1, "c");
  queue.push_end(0);
  EXPECT_EQ(text_of(queue.front()), "ab");
  queue.pop(1);
  EXPECT_EQ(text_of(queue.front()), "b");
  queue.pop(1);
  EXPECT_EQ(queue.front().target, 1U);
  queue.pop(1);
  EXPECT_EQ(queue.front().kind, LogQueue::Kind::kEnd);
  queue.pop(0);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.queued(), 0U);
}

TEST(LogQueue, RefusesWhatGoesAboveItsCapacityUnlessThereIsAReserve) {
  LogQueue queue(1000);
  EXPECT_FALSE(queue.push(0, std::string(1000, 'x')));
  EXPECT_TRUE(queue.empty());
  EXPECT_TRUE(queue.push(0, std::string(800, 'x')));
  EXPECT_FALSE(queue.push(0, std::string(200, 'x')));
  EXPECT_TRUE(queue.push(0, std::string(200, 'x'), /*reserve=*/500));
  EXPECT_EQ(queue.front().size, 1000U);
}

TEST(LogQueue, CollectsTheLossesOfATargetThatDoesNotDrain) {
  LogQueue queue(1000);
  queue.push(0, "x");
  const size_t before = queue.queued();
  for (int i = 0; i < 1000; ++i) {
    queue.push_loss(0, loss_of("out\n"));
    queue.push_loss(1, loss_of("err\n"));
  }
  EXPECT_LT(queue.queued(), before + 200);
  queue.pop(1);
  EXPECT_EQ(queue.front().loss.lines, 1000U);
  queue.pop(0);
  queue.push_loss(0, loss_of("later\n"));  // the loss that was popped takes no more
  EXPECT_EQ(queue.front().target, 1U);
  queue.pop(0);
  EXPECT_EQ(queue.front().loss.bytes, 6U);
}

TEST(LogQueue, PutsALossBehindTheBytesThatFollowTheOneBefore) {
  LogQueue queue(1000);
  queue.push_loss(0, loss_of("1\n"));
  queue.push(0, "between\n");
  queue.push_loss(0, loss_of("2\n"));
  queue.pop(0);
  EXPECT_EQ(text_of(queue.front()), "between\n");
  queue.pop(8);
  EXPECT_EQ(queue.front().loss.lines, 1U);
}

class NoSource : public LogSource {
 public:
  std::optional<Piece> next(size_t) override { return std::nullopt; }
};

TEST(LogQueue, KeepsThePlaceOfWhatLiesElsewhere) {
  LogQueue queue(1 << 20);
  const auto file = std::make_shared<NoSource>();
  queue.push(0, "before\n");
  queue.push_elsewhere(0, file, loss_of("one\n"));
  queue.push_elsewhere(0, file, loss_of("two\n"));
  queue.push(0, "behind\n");
  EXPECT_GT(queue.queued(), queue.held());
  EXPECT_EQ(queue.count_unwritten(0).lines, 4U);
  queue.pop(7);
  EXPECT_EQ(queue.front().kind, LogQueue::Kind::kElsewhere);
  EXPECT_EQ(queue.front().source, file);
  EXPECT_EQ(queue.front().loss.bytes, 8U);
  queue.pop_elsewhere(loss_of("one\nt"));
  EXPECT_EQ(queue.front().loss.lines, 1U);
  EXPECT_EQ(queue.front().loss.bytes, 3U);
  queue.pop_elsewhere(loss_of("wo\n"));
  EXPECT_EQ(text_of(queue.front()), "behind\n");
  EXPECT_EQ(queue.queued(), queue.held());
}

TEST(LogQueue, NeedsBoundedMemoryForAnyAmountThatLiesElsewhere) {
  LogQueue queue(1000);
  const auto first = std::make_shared<NoSource>();
  const auto second = std::make_shared<NoSource>();
  for (int i = 0; i < 5'000; ++i) {
    queue.push_elsewhere(0, first, loss_of("out\n"));
    queue.push_elsewhere(0, second, loss_of("err\n"));
  }
  EXPECT_LT(queue.held(), 200'000U);
  EXPECT_EQ(queue.count_unwritten(0).bytes, 40'000U);
  while (!queue.empty()) queue.pop_elsewhere(queue.front().loss);
  EXPECT_EQ(queue.queued(), 0U);
}

TEST(LogQueue, CountsWhatIsUnwrittenForATarget) {
  LogQueue queue(1 << 20);
  queue.push(0, "a\nb\n");
  queue.push(1, "c\n");
  queue.push(0, std::string(100'000, 'x'));
  queue.push_loss(0, loss_of("lost\n"));
  queue.pop(2);
  EXPECT_EQ(queue.count_unwritten(0).lines, 2U);
  EXPECT_EQ(queue.count_unwritten(0).bytes, 2U + 100'000 + 5);
  EXPECT_EQ(queue.count_unwritten(1).bytes, 2U);
}

TEST(LogQueue, GivesEveryByteOnceAndInOrder) {
  for (unsigned seed = 0; seed < 30; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    LogQueue queue(500'000);
    std::map<size_t, std::string> pushed, popped;
    char next = 0;
    for (int step = 0; step < 300; ++step) {
      if (random() % 2 == 0) {
        std::string bytes(random() % 5 == 0 ? random() % 200'000 : random() % 50, '\0');
        for (char& byte : bytes) byte = ++next;
        const size_t target = random() % 3;
        if (queue.push(target, bytes)) pushed[target] += bytes;
      } else if (!queue.empty()) {
        const LogQueue::Front front = queue.front();
        const std::string text = text_of(front).substr(0, 1 + random() % 100'000);
        popped[front.target] += text;
        queue.pop(text.size());
      }
      ASSERT_LE(queue.queued(), 500'000U);
    }
    while (!queue.empty()) {
      const LogQueue::Front front = queue.front();
      popped[front.target] += text_of(front);
      queue.pop(front.size);
    }
    ASSERT_EQ(popped, pushed);
  }
}

TEST(LastLines, GivesTheNewestLast) {
  EXPECT_THAT(last_lines("a\nb\nc\n", 2, false), ElementsAre("b", "c"));
  EXPECT_THAT(last_lines("a\nb\nc", 2, false), ElementsAre("b", "c"));
  EXPECT_THAT(last_lines("a\n", 5, false), ElementsAre("a"));
  EXPECT_THAT(last_lines("", 5, false), IsEmpty());
}

TEST(LastLines, LeavesOutALineWhoseBeginningIsMissing) {
  EXPECT_THAT(last_lines("lf\nwhole\n", 5, true), ElementsAre("whole"));
  EXPECT_THAT(last_lines("the only one", 5, true), ElementsAre("the only one"));
}

TEST(LastLines, ShortensALongLine) {
  EXPECT_THAT(last_lines("aäb\nabc\n", 5, false, 3), ElementsAre("aä …", "abc"));
  EXPECT_THAT(last_lines("äb\n", 5, false, 1), ElementsAre("\xc3 …"));
}

TEST(LogTail, KnowsWhatItWasAtItsMark) {
  LogTail tail(20);
  tail.append("one\ntwo\n");
  EXPECT_THAT(tail.lines_before_mark(9), IsEmpty());
  tail.mark();
  EXPECT_THAT(tail.lines_before_mark(9), ElementsAre("one", "two"));
  tail.append("three\n");
  EXPECT_THAT(tail.lines_before_mark(9), ElementsAre("one", "two"));
  tail.append("four\nfive\n");
  EXPECT_THAT(tail.lines_before_mark(9), ElementsAre("two")) << "the beginning is not kept";
  tail.append("six, seven and eight\n");
  EXPECT_THAT(tail.lines_before_mark(9), IsEmpty());
}

TEST(LogTail, KeepsTheEndWhateverThePieces) {
  for (unsigned seed = 0; seed < 50; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    LogTail tail(100);
    std::string all;
    for (int i = 0; i < 40; ++i) {
      std::string piece(random() % (i % 10 == 9 ? 250 : 20), 'x');
      for (char& byte : piece) byte = "abc\n"[random() % 4];
      tail.append(piece);
      all += piece;
      const bool cut = all.size() > 100;
      ASSERT_EQ(tail.lines(7), last_lines(cut ? all.substr(all.size() - 100) : all, 7, cut));
    }
  }
}

TEST(LogPatience, APipesReaderMayComeLateATerminalAndADiskNot) {
  const LogPatience patience{.terminal = 1s, .reader = 10s, .file = 7s};
  const LogFlow::Limits reader = flow_limits(LogDestination::kReader, 400, patience);
  EXPECT_EQ(reader.high, 200U);
  EXPECT_EQ(reader.low, 100U);
  EXPECT_EQ(reader.late, 1s);
  EXPECT_EQ(reader.patience, 10s);
  EXPECT_EQ(flow_limits(LogDestination::kReader, 400, {.reader = 20ms}).late, 10ms) << "always before lines are lost";
  for (const auto& [to, until] : {std::pair{LogDestination::kTerminal, 1s}, {LogDestination::kFile, 7s}}) {
    EXPECT_EQ(flow_limits(to, 400, patience).late, until);
    EXPECT_EQ(flow_limits(to, 400, patience).patience, until);
  }
}

TEST(LastWait, LastsAsLongAsTheDestinationTakesSomething) {
  const LastWait wait(TimePoint{100s}, 5s, TimePoint{100s});
  EXPECT_EQ(wait.given_up(TimePoint{40s}), TimePoint{105s}) << "an earlier standstill does not count";
  EXPECT_EQ(wait.given_up(TimePoint{107s}), TimePoint{112s});
}

TEST(LastWait, LeavesAMomentToWhoeverIsHurriedOrComesLast) {
  LastWait late(TimePoint{100s}, 5s, TimePoint{105s});
  EXPECT_EQ(late.given_up(kNever), TimePoint{105s} + 200ms) << "another destination has used the time up";
  LastWait wait(TimePoint{100s}, 5s, TimePoint{100s});
  EXPECT_TRUE(wait.can_hurry());
  wait.hurry();
  EXPECT_FALSE(wait.can_hurry());
  EXPECT_EQ(wait.given_up(kNever), TimePoint{100s} + 200ms);
  const LastWait none(TimePoint{100s}, 0s, TimePoint{100s});
  EXPECT_EQ(none.given_up(kNever), TimePoint{100s});
}

TEST(LogRotation, KeepsLinesWhole) {
  const LogRotation rotation{10, 1};
  EXPECT_EQ(bytes_before_rotation({}, "any number", 1 << 20, true), 10u) << "it is off";
  EXPECT_EQ(bytes_before_rotation(rotation, "12345\n", 4, false), 6u);
  EXPECT_EQ(bytes_before_rotation(rotation, "12345\n", 5, false), 0u) << "the line goes into the next file";
  EXPECT_EQ(bytes_before_rotation(rotation, "123\n567\n90123", 0, false), 8u);
  EXPECT_EQ(bytes_before_rotation(rotation, "123\n56", 9, true), 4u) << "the line that has begun ends here";
  EXPECT_EQ(bytes_before_rotation(rotation, "12345678901234\n1", 0, false), 15u) << "a line larger than a file";
  EXPECT_EQ(bytes_before_rotation(rotation, "12345678901234", 0, false), 14u);
  EXPECT_EQ(bytes_before_rotation(rotation, "1\n", 15, false), 0u);
}

}  // namespace
}  // namespace ferrun
