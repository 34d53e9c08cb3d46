// The samplers and random_split give torch.utils.data's indices, for 1,000 random sizes each, and in the second pass
// too.
#include <map>
#include <memory>

#include "tests/parity/data_peer.h"
#include "worker/ddp/dataset.h"
#include "worker/ddp/sampler.h"

namespace ferrun::ddp {
namespace {

using SamplersParity = parity::PeerTest;
using Json = nlohmann::json;

struct Counted {
  int64_t count;
  int64_t size() const { return count; }
  int64_t get(int64_t index) const { return index; }
};

std::unique_ptr<Sampler> sampler_of(const Json& one) {
  const std::string kind = one["kind"];
  const int64_t size = one["size"];
  const uint64_t seed = one["seed"];
  if (kind == "sequential") return std::make_unique<SequentialSampler>(size);
  if (kind == "random") return std::make_unique<RandomSampler>(size, RandomSamplerOptions{.seed = seed});
  if (kind == "replacement" || kind == "number") {
    return std::make_unique<RandomSampler>(size, RandomSamplerOptions{kind == "replacement", one["number"], seed});
  }
  if (kind == "subset") return std::make_unique<SubsetRandomSampler>(one["subset"], seed);
  if (kind == "weighted" || kind == "weighted_once") {
    return std::make_unique<WeightedRandomSampler>(one["weights"], one["number"], kind == "weighted", seed);
  }
  return std::make_unique<DistributedSampler>(size, Shard{one["world"], one["rank"]},
                                              DistributedSamplerOptions{one["shuffle"], seed, one["drop_last"]});
}

TEST_F(SamplersParity, IndicesArePythonsForAThousandRandomSizes) {
  run_peer("samplers_peer.py");
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_EQ(manifest().size(), 10'000u);
  std::map<std::string, int> kinds;
  for (const Json& one : manifest()) {
    ++kinds[one["kind"]];
    if (one.contains("parts")) {
      const auto parts = random_split(Counted{one["size"]}, one["parts"].get<std::vector<double>>(), one["seed"]);
      ASSERT_EQ(parts.size(), one["indices"].size());
      for (size_t i = 0; i < parts.size(); ++i) {
        EXPECT_TRUE(parts[i].indices() == one["indices"][i].get<std::vector<int64_t>>()) << one.dump();
      }
      continue;
    }
    const auto sampler = sampler_of(one);
    for (int64_t epoch = 0; epoch < 2; ++epoch) {
      sampler->set_epoch(epoch);
      EXPECT_EQ(sampler->longest_share(), one["length"].get<int64_t>());
      EXPECT_TRUE(sampler->begin_pass() == one["passes"][static_cast<size_t>(epoch)].get<std::vector<int64_t>>())
          << "epoch " << epoch << ": " << one.dump();
    }
  }
  EXPECT_EQ(kinds.size(), 10u);
  for (const auto& [kind, times] : kinds) EXPECT_EQ(times, 1000) << kind;
}

}  // namespace
}  // namespace ferrun::ddp
