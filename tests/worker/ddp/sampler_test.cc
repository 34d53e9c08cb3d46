#include "worker/ddp/sampler.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <random>

#include "worker/ddp/distributed_order.h"

namespace ferrun::ddp {
namespace {

using checkpoint::Dict;
using checkpoint::Value;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Make = std::function<std::unique_ptr<Sampler>()>;

std::vector<Make> every_sampler() {
  return {
      [] { return std::make_unique<SequentialSampler>(11); },
      [] { return std::make_unique<RandomSampler>(11, RandomSamplerOptions{.seed = 3}); },
      [] {
        return std::make_unique<RandomSampler>(11, RandomSamplerOptions{true, 70, 3});
      },
      [] {
        return std::make_unique<SubsetRandomSampler>(std::vector<int64_t>{5, 7, 1, 9}, 3);
      },
      [] {
        return std::make_unique<WeightedRandomSampler>(std::vector<double>{1, 0, 2, 5}, 20, true, 3);
      },
      [] {
        return std::make_unique<DistributedSampler>(11, Shard{3, 1});
      },
      [] {
        return std::make_unique<ElasticSampler>(11, Shard{3, 1});
      },
  };
}

TEST(Sampler, AStateInTheMiddleOfAPassGivesItsRest) {
  for (const Make& make : every_sampler()) {
    const auto sampler = make();
    for (int64_t epoch = 0; epoch < 3; ++epoch) {
      sampler->set_epoch(epoch);
      const int64_t longest = sampler->longest_share();
      const std::vector<int64_t> indices = sampler->begin_pass();
      EXPECT_LE(std::ssize(indices), longest);
      for (int64_t taken = 0; taken < std::ssize(indices); ++taken) {
        const auto again = make();
        again->begin_pass();  // which must not matter
        ASSERT_TRUE(again->load_state_dict(sampler->state_dict(taken)).ok());
        again->set_epoch(epoch);
        EXPECT_EQ(again->longest_share(), longest - taken);
        const std::vector<int64_t> rest = again->begin_pass();
        EXPECT_EQ(rest, std::vector<int64_t>(indices.begin() + taken, indices.end()));
        // A second interruption, and the pass after it.
        if (rest.size() < 2) continue;
        const auto third = make();
        ASSERT_TRUE(third->load_state_dict(again->state_dict(1)).ok());
        third->set_epoch(epoch);
        EXPECT_EQ(third->begin_pass(), std::vector<int64_t>(indices.begin() + taken + 1, indices.end()));
      }
      const auto next = make(), same = make();
      ASSERT_TRUE(next->load_state_dict(sampler->next_state_dict(epoch + 1)).ok());
      ASSERT_TRUE(same->load_state_dict(sampler->state_dict(0)).ok());
      same->set_epoch(epoch);
      same->begin_pass();
      next->set_epoch(epoch + 1), same->set_epoch(epoch + 1);
      EXPECT_EQ(next->begin_pass(), same->begin_pass()) << "the next pass is the same for a run that was resumed";
    }
  }
}

TEST(Sampler, AStateThatDoesNotFitIsRefused) {
  RandomSampler random(5);
  EXPECT_FALSE(random.load_state_dict(Dict{{"samples", 1}}).ok());
  EXPECT_FALSE(random.load_state_dict(Dict{{"epoch", 1}, {"generator", 3}, {"samples", 1}}).ok());
  const Status beyond = RandomSampler(3).load_state_dict(RandomSampler(5).state_dict(4));
  ASSERT_FALSE(beyond.ok());
  EXPECT_THAT(beyond.error().message, HasSubstr("of 3 samples 4 are done"));
  EXPECT_FALSE(DistributedSampler(5, {}).load_state_dict(Dict{{"samples", 1}}).ok());
  EXPECT_FALSE(SequentialSampler(5).load_state_dict(Dict{{"samples", -1}}).ok());
  EXPECT_THROW(DistributedSampler(5, {2, 2}), c10::Error);
  EXPECT_THROW(RandomSampler(0), c10::Error);
}

// Samples would come twice, or not at all, and nobody would know.
TEST(Sampler, AStateOfAnotherOrderIsRefusedInMidEpochAlone) {
  const auto refused = [](Sampler&& sampler, const Value& state) {
    const Status loaded = sampler.load_state_dict(state);
    return loaded.ok() ? "" : loaded.error().message;
  };
  const auto begun = [](Sampler&& sampler, int64_t taken) {
    sampler.begin_pass();
    return sampler.state_dict(taken);
  };
  const std::string size = "its pass is over a dataset of 12 samples, this one has 18";
  EXPECT_THAT(refused(RandomSampler(18), begun(RandomSampler(12), 2)), HasSubstr(size));
  EXPECT_THAT(refused(WeightedRandomSampler(std::vector<double>(18, 1), 4),
                      begun(WeightedRandomSampler(std::vector<double>(12, 1), 4), 2)),
              HasSubstr(size));
  EXPECT_THAT(
      refused(SubsetRandomSampler(std::vector<int64_t>(18)), begun(SubsetRandomSampler(std::vector<int64_t>(12)), 2)),
      HasSubstr(size));
  EXPECT_THAT(refused(ElasticSampler(18, {2, 0}), begun(ElasticSampler(12, {2, 0}), 2)), HasSubstr(size));
  EXPECT_THAT(refused(DistributedSampler(18, {2, 0}), begun(DistributedSampler(12, {2, 0}), 2)), HasSubstr(size));
  EXPECT_THAT(refused(DistributedSampler(12, {4, 0}), begun(DistributedSampler(12, {2, 0}), 2)),
              HasSubstr("its epoch was begun by 2 ranks, these are 4; an ElasticSampler"));
  EXPECT_THAT(refused(DistributedSampler(12, {4, 0}), Dict{{"epoch", 1}, {"samples", 6}}),
              HasSubstr("begun by another number of ranks, these are 4"));
  EXPECT_EQ(refused(ElasticSampler(12, {4, 0}), begun(ElasticSampler(12, {2, 0}), 2)), "");
  EXPECT_EQ(refused(DistributedSampler(12, {4, 0}), Dict{{"epoch", 1}, {"samples", 8}}), "");
  EXPECT_EQ(refused(RandomSampler(18), RandomSampler(12).next_state_dict(1)), "");
  EXPECT_EQ(refused(DistributedSampler(18, {4, 0}), DistributedSampler(12, {2, 0}).next_state_dict(1)), "");
}

TEST(DistributedSampler, GivesTheOrderOfItsEpoch) {
  DistributedSampler sampler(10, {3, 1}, {.seed = 42});
  sampler.set_epoch(2);
  EXPECT_THAT(sampler.begin_pass(), ElementsAre(6, 7, 4, 2));
}

TEST(ElasticSampler, DealsEachSampleOfAnEpochOnceToARunThatChangesItsWorldAtRandom) {
  std::mt19937 random(5);
  for (int round = 0; round < 200; ++round) {
    const int64_t size = 1 + static_cast<int64_t>(random() % 60), epoch = random() % 3;
    std::map<int64_t, int> seen;
    Value state = Dict{{"epoch", epoch}, {"samples", 0}};
    for (bool done = false; !done;) {
      const int64_t world = 1 + random() % 5, batch = 1 + random() % 4;
      std::vector<std::unique_ptr<ElasticSampler>> ranks;
      std::vector<std::vector<int64_t>> indices;
      int64_t longest = 0;
      for (int64_t rank = 0; rank < world; ++rank) {
        ranks.push_back(std::make_unique<ElasticSampler>(size, Shard{world, rank}));
        ASSERT_TRUE(ranks.back()->load_state_dict(state).ok());
        ranks.back()->set_epoch(epoch);
        if (rank == 0) longest = ranks[0]->longest_share();
        EXPECT_EQ(ranks.back()->longest_share(), longest);
        indices.push_back(ranks.back()->begin_pass());
      }
      EXPECT_EQ(std::ssize(indices[0]), longest);
      const int64_t steps = (std::ssize(indices[0]) + batch - 1) / batch;
      const int64_t taken = std::min<int64_t>(steps, random() % 5);  // until the world changes
      for (const auto& own : indices) {
        for (int64_t i = 0; i < std::min(taken * batch, std::ssize(own)); ++i) ++seen[own[static_cast<size_t>(i)]];
      }
      done = taken == steps;
      state = ranks.back()->state_dict(taken * batch);
    }
    ASSERT_EQ(std::ssize(seen), size);
    for (const auto& [index, times] : seen) ASSERT_EQ(times, 1) << index;
  }
}

}  // namespace
}  // namespace ferrun::ddp
