#include "worker/ddp/replica_check.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>

#include "tests/worker/ddp/rank_harness.h"

namespace ferrun::ddp {
namespace {

at::Tensor numbers() { return at::arange(24, at::kFloat).reshape({1, 2, 3, 4}); }

TEST(ReplicaCheck, TheDigestDependsOnValuesAndShapesAlone) {
  const uint64_t plain = digest({numbers()});
  EXPECT_EQ(digest({numbers().contiguous(at::MemoryFormat::ChannelsLast)}), plain);
  EXPECT_NE(digest({numbers().reshape({4, 6})}), plain);
  EXPECT_NE(digest({numbers(), at::zeros({1})}), plain);
  EXPECT_NE(digest({at::zeros({3})}), digest({at::zeros({4})}));
  for (int64_t at = 0; at < 24; ++at) {  // the lowest bit of any number, the last one included
    at::Tensor other = numbers();
    float& number = other.mutable_data_ptr<float>()[at];
    number = std::nextafter(number, 1e9f);
    EXPECT_NE(digest({other}), plain) << "element " << at;
  }
}

TEST(ReplicaCheck, EveryRankLearnsWhoDiffers) {
  testing::RankHarness ranks;
  const std::vector<std::string> said = ranks.run(3, [](const GroupAddress& address) {
    auto group = ProcessGroup::create(address, GroupOptions());
    if (!group) throw std::runtime_error(group.error().message);
    at::Tensor weights = numbers();
    std::string text = std::to_string(ranks_that_differ({weights}, **group).size());
    if (address.rank == 2) weights.mutable_data_ptr<float>()[23] += 1;
    for (const int rank : ranks_that_differ({weights}, **group)) text += " " + std::to_string(rank);
    return text;
  });
  EXPECT_THAT(said, ::testing::Each("0 2"));
}

}  // namespace
}  // namespace ferrun::ddp
