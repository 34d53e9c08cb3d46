#include "worker/ddp/exchange_history.h"

#include <ATen/ops/empty.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ferrun::ddp {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr bool kSent = true, kWaited = false;

std::vector<at::Tensor> floats(std::initializer_list<int64_t> sizes) {
  std::vector<at::Tensor> tensors;
  for (const int64_t size : sizes) tensors.push_back(at::empty({size}));
  return tensors;
}

// What ranks 0, 1, … would be told, whose numbers in the job are 4, 5, …
std::string told(const std::vector<const ExchangeHistory*>& histories) {
  std::map<int, std::vector<Exchange>> by_rank;
  std::vector<int> names;
  for (const ExchangeHistory* history : histories) {
    names.push_back(static_cast<int>(names.size()) + 4);
    by_rank[names.back() - 4] = decode_exchanges(encode(history->recent()));
  }
  return unequal_exchange(by_rank, names);
}

int64_t balance(const std::vector<const ExchangeHistory*>& histories) {
  int64_t sum = 0;
  for (size_t rank = 0; rank < histories.size(); ++rank) sum += histories[rank]->balance(static_cast<int>(rank));
  return sum;
}

TEST(ExchangeHistory, FindsTheMessageWhoseSidesDiffer) {
  ExchangeHistory zero, one;
  for (const int64_t size : {1, 2, 3}) {
    zero.note_message(kSent, 1, 7, at::empty({size}));
    one.note_message(kWaited, 0, 7, at::empty({size}));
  }
  EXPECT_EQ(told({&zero, &one}), "");
  EXPECT_EQ(balance({&zero, &one}), 0);
  zero.note_message(kSent, 1, 8, at::empty({5}));
  EXPECT_NE(balance({&zero, &one}), 0);
  EXPECT_EQ(told({&zero, &one}), "");  // on its way
  one.note_message(kWaited, 0, 8, at::empty({3, 2}, at::kDouble));
  EXPECT_NE(balance({&zero, &one}), 0);
  EXPECT_EQ(told({&zero, &one}), "rank 4 sent 5 x float to rank 5, which waited for 6 x double (message 1 with tag 8)");
}

TEST(ExchangeHistory, FindsThePartOfAnAllToAllThatDiffers) {
  ExchangeHistory zero, one, two;
  zero.note_all_to_all(9, floats({1, 2, 3}), floats({1, 4, 5}));
  one.note_all_to_all(9, floats({4, 1, 1}), floats({2, 1, 8}));
  two.note_all_to_all(9, floats({5, 7, 0}), floats({3, 1, 0}));
  EXPECT_EQ(told({&zero, &one, &two}),
            "rank 5 sent 8 x float to rank 6, which waited for 7 x float (all-to-all, collective number 9)");
  EXPECT_NE(balance({&zero, &one, &two}), 0);
}

TEST(ExchangeHistory, TransfersOfOtherRanksDoNotMakeUpForEachOther) {
  ExchangeHistory zero, one, two;
  zero.note_message(kSent, 1, 0, at::empty({5}));
  two.note_message(kWaited, 1, 0, at::empty({5}));
  EXPECT_NE(balance({&zero, &one, &two}), 0);
}

TEST(ExchangeHistory, KeepsTheLastAndLeavesOutWhatCannotBeRead) {
  ExchangeHistory history;
  for (int i = 0; i < 1000; ++i) history.note_message(kSent, 0, 0, at::empty({1}));
  EXPECT_THAT(history.recent(), SizeIs(512));
  EXPECT_EQ(history.recent().back().number, 1000);
  EXPECT_THAT(decode_exchanges("x\n1 2 3\n\n1 2 3 4 5 9999\n1 2 3 4 5 -1\n"), IsEmpty());
  EXPECT_THAT(decode_exchanges("1 2 3 4 5 6\n"), SizeIs(1));
}

}  // namespace
}  // namespace ferrun::ddp
