#include "worker/ddp/collective_history.h"

#include <ATen/ops/empty.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ferrun::ddp {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

Collective sum_of(std::vector<int64_t> sizes, at::ScalarType type = at::kFloat) {
  return Collective::of(CollectiveKind::kAllReduce, at::empty(sizes, type));
}

TEST(CollectiveHistory, NamesACollectiveByKindTypeAndShape) {
  EXPECT_EQ(sum_of({2, 3}, at::kBFloat16).text(), "all-reduce of bfloat16 [2, 3]");
  EXPECT_EQ(sum_of({}).text(), "all-reduce of float []");
  EXPECT_EQ(sum_of({1, 1, 1, 1, 1, 2, 3, 4}).text(), "all-reduce of float [1, 1, 1, 1, 1, 24]");
  EXPECT_EQ(Collective::of(CollectiveKind::kBroadcast, at::empty({1}, at::kLong), 3).text(),
            "broadcast of long [1] from rank 3");
  EXPECT_EQ(
      Collective::of(CollectiveKind::kGradients, std::vector<at::Tensor>{at::empty({2, 3}), at::empty({4})}).text(),
      "reduction of gradients (2 tensors, 10 x float)");
  EXPECT_EQ(Collective().text(), "barrier");
}

TEST(CollectiveHistory, RemembersTheLastOnesByNumber) {
  CollectiveHistory history;
  EXPECT_THAT(history.recent(), IsEmpty());
  for (int i = 0; i < 100; ++i) history.note(sum_of({i}));
  const RecentCollectives recent = history.recent();
  EXPECT_EQ(recent.size(), 32u);
  EXPECT_EQ(recent.begin()->first, 69);
  EXPECT_EQ(recent.at(100), "all-reduce of float [99]");
  EXPECT_EQ(decode_collectives(encode(recent)), recent);
}

TEST(CollectiveHistory, HasADigestOfAll) {
  CollectiveHistory one, two, three;
  for (CollectiveHistory* history : {&one, &two, &three}) history->note(sum_of({2}));
  EXPECT_EQ(one.digest(), two.digest());
  two.note(sum_of({2, 1}));
  one.note(sum_of({2}));
  EXPECT_NE(one.digest(), two.digest());
  three.note(sum_of({2}, at::kInt));
  EXPECT_NE(one.digest(), three.digest());
}

TEST(CollectiveHistory, LeavesOutWhatCannotBeRead) {
  EXPECT_THAT(decode_collectives("3 barrier\n\nx\n4\n5 \n99999999999999999999 barrier\n"),
              ElementsAre(Pair(3, "barrier"), Pair(5, "")));
}

TEST(MispairedCollectives, AreToldByTheFirstNumberThatDiffers) {
  EXPECT_EQ(mispaired_collectives(
                {{0, {{7, "a"}, {8, "b"}, {9, "c"}}}, {1, {{8, "b"}, {9, "d"}, {10, "e"}}}, {2, {{9, "c"}}}}),
            "the ranks called different collectives as number 9 of the job: ranks 0 and 2 called c; rank 1 called d");
}

TEST(MispairedCollectives, ARankThatIsBehindOrUnknownDiffersFromNobody) {
  EXPECT_EQ(mispaired_collectives({{0, {{7, "a"}, {8, "b"}}}, {1, {{7, "a"}}}, {2, {}}}), "");
  EXPECT_EQ(mispaired_collectives({}), "");
}

TEST(MispairedCollectives, OfManyRanksTheFirstAreNamed) {
  std::map<int, RecentCollectives> by_rank{{0, {{1, "a"}}}};
  for (int rank = 1; rank < 20; ++rank) by_rank[rank] = {{1, "b"}};
  EXPECT_EQ(mispaired_collectives(by_rank),
            "the ranks called different collectives as number 1 of the job: rank 0 called a; ranks 1, 2, 3, 4, 5, 6, "
            "7, 8 and 11 more called b");
}

}  // namespace
}  // namespace ferrun::ddp
