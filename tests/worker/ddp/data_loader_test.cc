#include "worker/ddp/data_loader.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <gmock/gmock.h>

#include <atomic>
#include <functional>
#include <map>
#include <random>
#include <set>

namespace ferrun::ddp {
namespace {

using checkpoint::Dict;
using checkpoint::Value;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Sample i is its number, and a number drawn for it.
struct Numbered {
  int64_t count = 23;
  int64_t size() const { return count; }
  std::pair<int64_t, double> get(int64_t index, SampleRandom& random) const {
    std::minstd_rand().discard(static_cast<unsigned long long>((index * 37) % 11 * 200));  // threads get out of step
    return {index, random.uniform()};
  }
};

using Rows = std::vector<std::pair<std::vector<int64_t>, std::vector<double>>>;

std::vector<int64_t> whole_numbers(const at::Tensor& tensor) {
  const int64_t* const begin = tensor.const_data_ptr<int64_t>();
  return {begin, begin + tensor.numel()};
}
std::vector<double> reals(const at::Tensor& tensor) {
  const double* const begin = tensor.const_data_ptr<double>();
  return {begin, begin + tensor.numel()};
}

template <typename Loader>
Rows rows_of(Loader& loader) {
  Rows rows;
  for (auto& [numbers, drawn] : loader) rows.emplace_back(whole_numbers(numbers), reals(drawn));
  return rows;
}

DataLoaderOptions options_of(int workers, int prefetch = 2) {
  return {.batch_size = 4, .shuffle = true, .num_workers = workers, .prefetch = prefetch, .seed = 9};
}

TEST(DataLoader, BatchesDoNotDependOnTheThreads) {
  std::vector<Rows> expected;
  for (const int workers : {0, 1, 2, 7}) {
    for (const int prefetch : {0, 1, 5}) {
      DataLoader loader(Numbered{}, options_of(workers, prefetch));
      std::vector<Rows> epochs;
      while (loader.epoch() < 3) epochs.push_back(rows_of(loader));
      if (expected.empty()) expected = epochs;
      EXPECT_EQ(epochs, expected) << workers << " threads";
    }
  }
  ASSERT_EQ(expected.size(), 3u);
  std::set<double> drawn;
  for (const Rows& rows : expected) {
    std::set<int64_t> seen;
    ASSERT_EQ(rows.size(), 6u);
    EXPECT_EQ(rows.back().first.size(), 3u);
    for (const auto& [numbers, random] : rows) {
      seen.insert(numbers.begin(), numbers.end());
      drawn.insert(random.begin(), random.end());
    }
    EXPECT_EQ(seen.size(), 23u);
  }
  EXPECT_EQ(drawn.size(), 3 * 23u) << "other numbers for every sample in every epoch";
  EXPECT_NE(expected[0][0].first, expected[1][0].first);
}

TEST(DataLoader, DropsALastBatchThatIsNotFull) {
  DataLoader loader(Numbered{}, {.batch_size = 4, .drop_last = true});
  EXPECT_EQ(loader.size(), 5);
  EXPECT_EQ(rows_of(loader).size(), 5u);
  DataLoader empty(Numbered{0});
  EXPECT_EQ(rows_of(empty).size(), 0u);
}

TEST(DataLoader, GoesOnFromItsStateInTheMiddleOfAnEpoch) {
  const auto make = [](int workers) {
    return DataLoader(Numbered{}, std::make_shared<DistributedSampler>(23, Shard{2, 1}), options_of(workers));
  };
  std::vector<Rows> expected;
  DataLoader undisturbed = make(2);
  while (undisturbed.epoch() < 3) expected.push_back(rows_of(undisturbed));
  for (int64_t epoch = 0; epoch < 2; ++epoch) {
    for (size_t taken = 0; taken <= 3; ++taken) {
      DataLoader first = make(3), second = make(1);
      while (first.epoch() < epoch) rows_of(first);
      first.start();
      for (size_t i = 0; i < taken; ++i) ASSERT_TRUE(first.next().has_value());
      ASSERT_TRUE(second.load_state_dict(first.state_dict()).ok());
      const bool ended = taken == 3;
      EXPECT_EQ(second.epoch(), ended ? epoch + 1 : epoch);
      Rows rest(expected[epoch].begin() + taken, expected[epoch].end());
      if (!ended) {
        EXPECT_EQ(second.size(), std::ssize(rest));
        EXPECT_EQ(rows_of(second), rest);
      }
      EXPECT_EQ(second.epoch(), epoch + 1);
      EXPECT_EQ(rows_of(second), expected[epoch + 1]);
    }
  }
}

TEST(DataLoader, ARandomOrderGoesOnFromTheGeneratorsState) {
  DataLoader undisturbed(Numbered{}, options_of(2)), first(Numbered{}, options_of(2)),
      second(Numbered{}, options_of(0));
  rows_of(undisturbed), rows_of(first);
  const Rows expected = rows_of(undisturbed), next = rows_of(undisturbed);
  first.start();
  first.next(), first.next();
  ASSERT_TRUE(second.load_state_dict(first.state_dict()).ok());
  EXPECT_EQ(rows_of(second), Rows(expected.begin() + 2, expected.end()));
  EXPECT_EQ(rows_of(second), next);
  EXPECT_FALSE(second.load_state_dict(Dict{{"epoch", 1}}).ok());
  EXPECT_EQ(second.epoch(), 3) << "all or nothing";
}

TEST(DataLoader, EveryRankTakesAsManyStepsOfWhatAnotherWorldHasLeft) {
  const auto make = [](int64_t world, int64_t rank) {
    return DataLoader(Numbered{}, std::make_shared<ElasticSampler>(23, Shard{world, rank}),
                      {.batch_size = 2, .num_workers = 1});
  };
  std::map<int64_t, int> seen;
  Value state;
  for (int64_t rank = 0; rank < 2; ++rank) {
    DataLoader loader = make(2, rank);
    loader.start();
    for (int i = 0; i < 4; ++i) {
      for (const int64_t number : whole_numbers(loader.next()->first)) ++seen[number];
    }
    state = loader.state_dict();
  }
  for (int64_t rank = 0; rank < 3; ++rank) {
    DataLoader loader = make(3, rank);
    ASSERT_TRUE(loader.load_state_dict(state).ok());
    EXPECT_EQ(loader.size(), 2) << "seven samples: three, two and two, in batches of two";
    std::vector<size_t> sizes;
    for (auto& [numbers, drawn] : loader) {
      sizes.push_back(static_cast<size_t>(numbers.size(0)));
      EXPECT_EQ(loader.indices(), whole_numbers(numbers));
      for (const int64_t number : whole_numbers(numbers)) ++seen[number];
    }
    EXPECT_THAT(sizes, ElementsAre(2, rank == 0 ? 1 : 0));
  }
  ASSERT_EQ(seen.size(), 23u);
  for (const auto& [number, times] : seen) EXPECT_EQ(times, 1) << number;
}

struct Broken {
  int64_t size() const { return 40; }
  int64_t get(int64_t index) const {
    if (index == 13) throw std::out_of_range("no such picture");
    return index;
  }
};

TEST(DataLoader, ADatasetsExceptionReachesTheLoopWithTheSampleNamed) {
  for (const int workers : {0, 3}) {
    DataLoader loader(Broken{}, {.batch_size = 4, .num_workers = workers});
    std::vector<int64_t> seen;
    try {
      for (const at::Tensor& batch : loader) seen.push_back(batch[0].item<int64_t>());
      FAIL() << "no exception";
    } catch (const SampleError& error) {
      EXPECT_EQ(error.index(), 13);
      EXPECT_STREQ(error.what(), "sample 13: no such picture");
      EXPECT_THROW(std::rethrow_if_nested(error), std::out_of_range);
    }
    EXPECT_THAT(seen, ElementsAre(0, 4, 8));
    EXPECT_THAT(loader.indices(), ElementsAre(12, 13, 14, 15));
    EXPECT_EQ(loader.next().value()[0].item<int64_t>(), 16) << "the loop may leave it out";
  }
}

TEST(DataLoader, SamplesThatMakeNoBatchAreNamed) {
  struct Uneven {
    int64_t size() const { return 4; }
    std::vector<int64_t> get(int64_t index) const { return std::vector<int64_t>(index < 3 ? 2 : 3); }
  };
  DataLoader loader(Uneven{}, {.batch_size = 2, .num_workers = 1});
  loader.start();
  EXPECT_TRUE(loader.next().has_value());
  try {
    loader.next();
    FAIL() << "no exception";
  } catch (const SampleError& error) {
    EXPECT_THAT(error.what(), HasSubstr("sample 2: the batch that begins with it: a batch of lists of 2 and of 3"));
  }
}

// Its batches would end with the inner loop's.
TEST(DataLoader, ALoopWithinALoopIsToldByTheOuterOne) {
  for (const int workers : {0, 2}) {
    DataLoader loader(TensorDataset(at::arange(6)), DataLoaderOptions{.batch_size = 2, .num_workers = workers});
    const auto outer_batches = [&](auto&& inner) {
      int batches = 0;
      for ([[maybe_unused]] const auto& batch : loader) {
        ++batches;
        inner();
      }
      return batches;
    };
    const auto all = [&] { outer_batches([] {}); };
    const auto first = [&] {
      for ([[maybe_unused]] const auto& batch : loader) break;
    };
    EXPECT_THROW(outer_batches(all), c10::Error);
    EXPECT_THROW(outer_batches(first), c10::Error);
    EXPECT_EQ(outer_batches([&] { loader.next(); }), 2) << "a batch taken by hand is the loop's own pass";
    DataLoader other(TensorDataset(at::arange(4)), DataLoaderOptions{.num_workers = workers});
    EXPECT_EQ(outer_batches([&] {
                for ([[maybe_unused]] const auto& batch : other) continue;
              }),
              3);
  }
}

TEST(DataLoader, LoopsMayEndEarly) {
  static std::atomic<int> alive;
  struct Kept {
    Kept() { ++alive; }
    Kept(const Kept&) { ++alive; }
    ~Kept() { --alive; }
    Kept& operator=(const Kept&) = delete;
  };
  struct Dataset {
    int64_t size() const { return 1000; }
    Kept get(int64_t) const { return {}; }
  };
  const auto collate = [](std::vector<Kept> samples) { return samples; };
  {
    DataLoader loader(Dataset{}, DataLoaderOptions{.batch_size = 3, .num_workers = 3}, collate);
    std::mt19937 random(1);
    for (int round = 0; round < 100; ++round) {
      int left = static_cast<int>(random() % 8);
      for (const std::vector<Kept>& batch : loader) {
        ASSERT_EQ(batch.size(), 3u);
        if (left-- == 0) break;
      }
      EXPECT_EQ(loader.epoch(), round);
    }
  }
  EXPECT_EQ(alive, 0);
}

TEST(DataLoader, WorkerThreadsDoNotStartTorchsOwn) {
  struct Dataset {
    int64_t size() const { return 8; }
    int64_t get(int64_t) const { return at::get_num_threads(); }
  };
  at::set_num_threads(3);
  DataLoader loader(Dataset{}, {.batch_size = 8, .num_workers = 2});
  for (const at::Tensor& batch : loader) EXPECT_TRUE(batch.eq(1).all().item<bool>());
  EXPECT_EQ(at::get_num_threads(), 3);
}

TEST(DataLoader, TakesADatasetThatIsShared) {
  auto dataset = std::make_shared<Numbered>();
  DataLoader loader(dataset, {.batch_size = 23});
  EXPECT_EQ(rows_of(loader).at(0).first.size(), 23u);
  EXPECT_EQ(dataset.use_count(), 2);
}

struct Pictured {
  at::Tensor picture;
  std::optional<at::Tensor> mask;
  int64_t label = 0;
  template <typename Visit>
  void visit_tensors(Visit&& visit) {
    ferrun::ddp::visit_tensors(picture, visit);
    ferrun::ddp::visit_tensors(mask, visit);
  }
};

TEST(DefaultCollate, MakesBatchesOfAnyNesting) {
  using Sample = std::tuple<at::Tensor, std::map<std::string, std::pair<float, bool>>, std::vector<std::string>,
                            std::array<at::Tensor, 2>, Pictured>;
  std::vector<Sample> samples;
  for (int i = 0; i < 3; ++i) {
    const at::Tensor row = at::arange(2) + i;
    samples.push_back(
        {row, {{"a", {0.5f * float(i), i == 1}}}, {"x" + std::to_string(i), "y"}, {row, row * 2}, {row, row * 3, i}});
  }
  const auto [tensor, map, texts, pair, pictured] = DefaultCollate()(samples);
  EXPECT_TRUE(tensor.equal(at::arange(2) + at::arange(3).unsqueeze(1)));
  EXPECT_EQ(map.at("a").first.scalar_type(), at::kFloat);
  EXPECT_EQ(map.at("a").first[2].item<float>(), 1.0f);
  EXPECT_EQ(map.at("a").second.scalar_type(), at::kBool);
  EXPECT_THAT(texts, ElementsAre(ElementsAre("x0", "x1", "x2"), ElementsAre("y", "y", "y")));
  EXPECT_TRUE(pair[1].equal(tensor * 2));
  EXPECT_TRUE(pictured.mask->equal(tensor * 3));
  samples[1] = {at::arange(2), {{"b", {0, false}}}, {"x", "y"}, {}, {}};
  EXPECT_THROW(DefaultCollate()(samples), c10::Error);
}

// What a loader's threads put together, against at::stack of the same samples.
template <typename Get>
struct Made {
  int64_t count;
  Get get_one;
  int64_t size() const { return count; }
  auto get(int64_t index) const { return get_one(index); }
};
template <typename Get>
Made(int64_t, Get) -> Made<Get>;

struct TwoMasks {
  std::optional<at::Tensor> first, second;
  double scale = 1;
  std::string source = "a";
  template <typename Visit>
  void visit_tensors(Visit&& visit) {
    ferrun::ddp::visit_tensors(first, visit);
    ferrun::ddp::visit_tensors(second, visit);
    ferrun::ddp::visit_tensors(scale, visit);
    ferrun::ddp::visit_tensors(source, visit);
  }
};

// A batch would have one sample's tensor in another's place, or the first one's number for all.
TEST(DefaultCollate, WhatIsNotAlikeInAllSamplesIsRefused) {
  const at::Tensor row = at::arange(2);
  const auto refused = [](auto samples) {
    for (const int workers : {0, 2}) {
      DataLoader loader(Made(2, [&](int64_t i) { return samples[static_cast<size_t>(i)]; }),
                        DataLoaderOptions{.batch_size = 2, .num_workers = workers});
      EXPECT_THROW(loader.begin(), SampleError);
    }
    try {
      DefaultCollate()(std::move(samples));
    } catch (const c10::Error& error) {
      return std::string(error.what_without_backtrace());
    }
    return std::string();
  };
  EXPECT_THAT(refused(std::vector<TwoMasks>{{row, {}}, {{}, row}}), HasSubstr("not in the same places"));
  EXPECT_THAT(refused(std::vector<TwoMasks>{{row, {}, 1}, {row, {}, 2}}), HasSubstr("unequal numbers or texts"));
  EXPECT_THAT(refused(std::vector<TwoMasks>{{row, {}, 1, "a"}, {row, {}, 1, "b"}}), HasSubstr("unequal numbers"));
  using Optionals = std::tuple<std::optional<at::Tensor>, std::optional<at::Tensor>>;
  EXPECT_THAT(refused(std::vector<Optionals>{{row, std::nullopt}, {std::nullopt, row}}), HasSubstr("what is optional"));
  using Labels = std::map<std::string, int64_t>;
  EXPECT_THAT(refused(std::vector<Labels>{{{"a", 1}}, {{"a", 1}, {"b", 2}}}), HasSubstr("maps of 1 and of 2 keys"));
}

TEST(DefaultCollate, MakesBatchesOfOptionals) {
  using Sample = std::tuple<at::Tensor, std::optional<int64_t>, std::optional<at::Tensor>, std::optional<std::string>>;
  for (const int workers : {0, 2}) {
    DataLoader loader(Made(4,
                           [](int64_t i) {
                             return Sample{at::arange(2), i, at::arange(3) + i, std::nullopt};
                           }),
                      DataLoaderOptions{.batch_size = 4, .num_workers = workers});
    for (const auto& [rows, labels, more, texts] : loader) {
      EXPECT_TRUE(labels->equal(at::arange(4)));
      EXPECT_TRUE(more->equal(at::arange(3) + at::arange(4).unsqueeze(1)));
      EXPECT_FALSE(texts.has_value());
    }
  }
}

TEST(DataLoader, BatchesAreWhatStackMakesOfTheSamples) {
  const std::vector<std::function<at::Tensor(int64_t)>> kinds = {
      [](int64_t i) {
        return at::arange(6).view({2, 3}) + i;
      },
      [](int64_t i) {
        return (at::arange(6).view({2, 3}) + i).t();
      },
      [](int64_t i) {
        return (at::arange(5 * 7 * 3) * (i + 3)).to(at::kByte).view({5, 7, 3}).permute({2, 0, 1});
      },
      [](int64_t i) {
        return (at::arange(5 * 7 * 4) * (i + 3)).to(at::kByte).view({5, 7, 4}).permute({2, 0, 1});
      },
      [](int64_t i) {
        return at::arange(12).view({3, 4}).select(1, i % 4);
      },
      [](int64_t i) { return at::arange(i, i + 1).squeeze(); },
      [](int64_t) {
        return at::arange(0).view({0, 3});
      },
      [](int64_t i) { return i % 3 == 1 ? at::arange(4) : at::arange(4).to(at::kFloat) / 2; },  // promoted
      [](int64_t i) { return at::arange(300'000) + i; },
  };
  for (size_t kind = 0; kind < kinds.size(); ++kind) {
    for (const int workers : {0, 3}) {
      DataLoader loader(Made(9, [&](int64_t i) { return std::tuple(i, kinds[kind](i), std::string("x")); }),
                        {.batch_size = 4, .num_workers = workers});
      for (int pass = 0; pass < 2; ++pass) {
        for (auto& [numbers, batch, texts] : loader) {
          std::vector<at::Tensor> samples;
          for (const int64_t i : loader.indices()) samples.push_back(kinds[kind](i));
          const at::Tensor expected = at::stack(samples);
          EXPECT_EQ(batch.scalar_type(), expected.scalar_type()) << kind;
          EXPECT_EQ(batch.strides(), expected.strides()) << kind;
          EXPECT_TRUE(batch.equal(expected)) << kind;
          EXPECT_EQ(whole_numbers(numbers), loader.indices());
          EXPECT_EQ(texts.size(), samples.size());
        }
      }
    }
  }
}

TEST(DataLoader, SamplesThatAreNotAlikeAreAtStacks) {
  for (const int workers : {0, 3}) {
    DataLoader sized(Made(4, [](int64_t i) { return at::arange(i == 2 ? 3 : 2); }),
                     {.batch_size = 4, .num_workers = workers});
    sized.start();
    try {
      sized.next();
      FAIL() << "no exception";
    } catch (const SampleError& error) {
      EXPECT_THAT(error.what(), HasSubstr("got [2] at entry 0 and [3] at entry 2"));
    }
    const at::Tensor weight = at::arange(2).to(at::kFloat).requires_grad_();
    DataLoader in_graph(Made(4, [&](int64_t i) { return i == 1 ? weight * 2 : weight.detach(); }),
                        {.batch_size = 4, .num_workers = workers});
    for (const at::Tensor& batch : in_graph) batch.sum().backward();
    EXPECT_TRUE(weight.grad().eq(2).all().item<bool>());
    DataLoader undefined(Made(2, [](int64_t i) { return i == 0 ? at::arange(2) : at::Tensor(); }),
                         {.batch_size = 2, .num_workers = workers});
    undefined.start();
    EXPECT_THROW(undefined.next(), SampleError);
    DataLoader masks(Made(4,
                          [](int64_t i) {
                            Pictured one{at::arange(3) + i, std::nullopt, i};
                            if (i % 2 == 1) one.mask = at::arange(2) + i;
                            return one;
                          }),
                     {.batch_size = 2, .num_workers = workers});
    masks.start();
    EXPECT_THROW(masks.next(), SampleError) << "one has a mask, one has none";
  }
}

TEST(DataLoader, AKeptBatchKeepsItsMemory) {
  const int64_t size = 1 << 19;  // 4 MB a sample
  DataLoader loader(Made(12, [&](int64_t i) { return at::arange(size) + i; }), {.batch_size = 1, .num_workers = 2});
  std::vector<at::Tensor> kept;
  std::set<const void*> memory;
  for (int pass = 0; pass < 3; ++pass) {
    for (const at::Tensor& batch : loader) {
      memory.insert(batch.const_data_ptr());
      if (loader.indices()[0] % 4 == pass) kept.push_back(batch);
    }
  }
  ASSERT_EQ(kept.size(), 9u);
  for (size_t i = 0; i < kept.size(); ++i) {
    const auto index = static_cast<int64_t>(i % 3 * 4 + i / 3);
    EXPECT_TRUE(kept[i][0].equal(at::arange(size) + index)) << i;
  }
  EXPECT_LE(memory.size(), 9u + 6u) << "the others went round";
  kept[0].resize_({3, size});
}

TEST(Dataset, TensorsAndTheirParts) {
  const at::Tensor inputs = at::arange(10), targets = at::arange(10) * 2;
  const auto parts = random_split(TensorDataset(inputs, targets), {0.7, 0.3}, 42);
  ASSERT_EQ(parts.size(), 2u);
  EXPECT_EQ(parts[0].size(), 7);
  DataLoader loader(parts[1], {.batch_size = 3});
  for (auto& [x, y] : loader) {
    EXPECT_EQ(whole_numbers(x), parts[1].indices());
    EXPECT_TRUE(y.equal(x * 2));
  }
  for (const std::vector<double>& unfit :
       std::vector<std::vector<double>>{{4, 5}, {-1, 11}, {12, -2}, {2.5, 7.5, 1}, {std::nan(""), 1}, {0.5, 0.4}, {}}) {
    EXPECT_THROW(random_split(TensorDataset(inputs), unfit, 0), c10::Error);
  }
  EXPECT_THROW(TensorDataset(inputs, at::arange(3)), c10::Error);
}

}  // namespace
}  // namespace ferrun::ddp
