// Datasets and their parts. A dataset is any type with `get(index)` and `size()`; a part that wants random numbers of
// its own takes them as a second argument: `get(index, SampleRandom&)`. What get returns is a sample: a tensor, a
// number, a text, tuples, vectors, maps of such, or a struct with visit_tensors (tensor_tree.h).
//
// Thread rule: a DataLoader's threads call get at once, and the object is const; what a dataset keeps open (a file, a
// decoder) is one a thread, or guarded.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <cmath>
#include <concepts>
#include <cstdint>
#include <memory>
#include <numeric>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "worker/data/random.h"
#include "worker/data/randperm.h"
#include "worker/data/split.h"

namespace ferrun::ddp {

// A sample's own random numbers: a function of the loader's seed, the epoch and the index, whichever thread draws them.
// For torch's functions: `at::detail::createCPUGenerator(random.next())`.
using SampleRandom = data::SplitMix64;

// The sample of a dataset, or of what points to one.
template <typename Dataset>
decltype(auto) sample_of(Dataset& dataset, int64_t index, SampleRandom& random) {
  if constexpr (requires { dataset.get(index, random); }) {
    return dataset.get(index, random);
  } else if constexpr (requires { dataset.get(index); }) {
    return dataset.get(index);
  } else {
    return sample_of(*dataset, index, random);
  }
}

template <typename Dataset>
int64_t size_of(const Dataset& dataset) {
  if constexpr (requires { static_cast<int64_t>(dataset.size()); }) {
    return static_cast<int64_t>(dataset.size());
  } else if constexpr (requires { dataset.size().value(); }) {
    return static_cast<int64_t>(dataset.size().value());  // torch::data's
  } else {
    return size_of(*dataset);
  }
}

template <typename Dataset>
using SampleOf =
    std::decay_t<decltype(sample_of(std::declval<const Dataset&>(), int64_t{}, std::declval<SampleRandom&>()))>;

// torch.utils.data.TensorDataset: sample i is row i of each tensor, as a tuple.
template <std::same_as<at::Tensor>... Tensors>
class TensorDataset {
 public:
  explicit TensorDataset(Tensors... tensors) : tensors_(std::move(tensors)...) {
    const int64_t rows = size();
    std::apply([rows](const auto&... one) { TORCH_CHECK(((one.size(0) == rows) && ...), "tensors of unequal length"); },
               tensors_);
  }

  int64_t size() const { return std::get<0>(tensors_).size(0); }
  std::tuple<Tensors...> get(int64_t index) const {
    return std::apply([index](const auto&... one) { return std::tuple<Tensors...>(one.select(0, index)...); },
                      tensors_);
  }

 private:
  std::tuple<Tensors...> tensors_;
};

// The samples of a dataset that `indices` names, in that order.
template <typename Dataset>
class Subset {
 public:
  Subset(std::shared_ptr<const Dataset> whole, std::vector<int64_t> indices)
      : whole_(std::move(whole)), indices_(std::move(indices)) {}

  int64_t size() const { return std::ssize(indices_); }
  SampleOf<Dataset> get(int64_t index, SampleRandom& random) const {
    return sample_of(*whole_, indices_.at(static_cast<size_t>(index)), random);
  }
  const std::vector<int64_t>& indices() const { return indices_; }

 private:
  std::shared_ptr<const Dataset> whole_;
  std::vector<int64_t> indices_;
};

// torch.utils.data.random_split(dataset, parts, generator=torch.Generator().manual_seed(seed)), index for index.
// `parts` are fractions of one, or numbers of samples whose sum is the dataset's.
template <typename Dataset>
std::vector<Subset<Dataset>> random_split(std::shared_ptr<const Dataset> dataset, const std::vector<double>& parts,
                                          uint64_t seed) {
  const int64_t size = size_of(*dataset);
  std::vector<int64_t> sizes;
  bool whole = true;
  if (data::are_fractions_of_one(parts)) {
    sizes = data::split_sizes(size, parts);
  } else {
    for (const double part : parts) {
      whole = whole && part >= 0 && part <= static_cast<double>(size) && part == std::trunc(part);
      sizes.push_back(whole ? static_cast<int64_t>(part) : 0);
    }
  }
  int64_t sum = 0;
  for (const int64_t one : sizes) sum += one;
  TORCH_CHECK(whole && sum == size,
              "random_split: the parts are neither fractions that come to 1 nor numbers of samples that come to ", size,
              ", the dataset's: they come to ", std::accumulate(parts.begin(), parts.end(), 0.0));
  const std::vector<int64_t> order = data::randperm(size, seed);
  std::vector<Subset<Dataset>> subsets;
  auto from = order.begin();
  for (const int64_t one : sizes) {
    subsets.emplace_back(dataset, std::vector<int64_t>(from, from + one));
    from += one;
  }
  return subsets;
}

template <typename Dataset>
std::vector<Subset<Dataset>> random_split(Dataset dataset, const std::vector<double>& parts, uint64_t seed) {
  return random_split(std::make_shared<const Dataset>(std::move(dataset)), parts, seed);
}

}  // namespace ferrun::ddp
