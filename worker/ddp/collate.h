// torch.utils.data.default_collate: samples become a batch.
//
//   at::Tensor                       stacked along a new first dimension
//   integers, float, double, bool    a tensor of int64, float32, float64, bool
//   std::string                      std::vector<std::string>
//   pair, tuple, array               of what their elements become
//   vector, map                      element by element (std::map); all samples have as many, and the same keys
//   a struct with visit_tensors,     the same type, its tensors stacked; what is no tensor is the first sample's
//   optional
//
// Samples that do not fit together throw c10::Error. Thread rule: none; each call is its own.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/stack.h>
#include <c10/util/Exception.h>

#include <array>
#include <concepts>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "worker/ddp/tensor_tree.h"

namespace ferrun::ddp {

namespace collating {

template <typename T>
inline constexpr bool kIsVector = false;
template <typename T>
inline constexpr bool kIsVector<std::vector<T>> = true;

template <typename T>
concept Map = requires(const T& map) {
  typename T::key_type;
  typename T::mapped_type;
  map.find(map.begin()->first);
};

// collate(samples, part) with part(sample), which gives the element of a sample that is collated here.
template <typename Samples, typename Part>
auto collate(Samples& samples, const Part& part);

template <typename Samples, typename Part>
at::Tensor stack(Samples& samples, const Part& part) {
  std::vector<at::Tensor> tensors;
  tensors.reserve(samples.size());
  for (auto& sample : samples) tensors.push_back(part(sample));
  return at::stack(tensors);
}

template <typename Number, typename Samples, typename Part>
at::Tensor numbers(Samples& samples, const Part& part) {
  using Element = std::conditional_t<std::is_same_v<Number, bool>, bool,
                                     std::conditional_t<std::is_floating_point_v<Number>, Number, int64_t>>;
  at::Tensor tensor = at::empty({std::ssize(samples)}, at::TensorOptions(c10::CppTypeToScalarType<Element>::value));
  Element* to = tensor.mutable_data_ptr<Element>();
  for (auto& sample : samples) *to++ = static_cast<Element>(part(sample));
  return tensor;
}

// The type that a pair, a tuple or an array of collated elements has.
template <typename Whole, typename Samples, typename Part>
auto whole(Samples& samples, const Part& part) {
  constexpr auto kIndices = std::make_index_sequence<std::tuple_size_v<Whole>>();
  const auto element = [&]<size_t I>(std::integral_constant<size_t, I>) {
    return collate(
        samples, [&part](auto& sample) -> auto& { return std::get<I>(part(sample)); });
  };
  if constexpr (requires { typename Whole::first_type; }) {
    return std::pair{element(std::integral_constant<size_t, 0>{}), element(std::integral_constant<size_t, 1>{})};
  } else if constexpr (requires { typename Whole::value_type; }) {
    return [&]<size_t... I>(std::index_sequence<I...>) {
      return std::array{element(std::integral_constant<size_t, I>{})...};
    }
    (kIndices);
  } else {
    return [&]<size_t... I>(std::index_sequence<I...>) {
      return std::tuple{element(std::integral_constant<size_t, I>{})...};
    }
    (kIndices);
  }
}

template <typename Samples, typename Part>
auto lists(Samples& samples, const Part& part) {
  const size_t length = part(samples.front()).size();
  for (auto& sample : samples) {
    TORCH_CHECK(part(sample).size() == length, "a batch of lists of ", length, " and of ", part(sample).size(),
                " elements");
  }
  const auto at_place = [&](size_t i) {
    return collate(samples, [&part, i](auto& sample) -> decltype(auto) { return part(sample)[i]; });
  };
  std::vector<decltype(at_place(0))> collated;
  collated.reserve(length);
  for (size_t i = 0; i < length; ++i) collated.push_back(at_place(i));
  return collated;
}

template <typename Whole, typename Samples, typename Part>
auto maps(Samples& samples, const Part& part) {
  const auto at_key = [&](const typename Whole::key_type& key) {
    return collate(
        samples, [&](auto& sample) -> auto& {
          auto& map = part(sample);
          const auto found = map.find(key);
          TORCH_CHECK(found != map.end(), "a batch of maps in which one lacks a key");
          return found->second;
        });
  };
  using Collated = decltype(at_key(std::declval<const typename Whole::key_type&>()));
  std::map<typename Whole::key_type, Collated> collated;
  for (const auto& [key, value] : part(samples.front())) collated.emplace(key, at_key(key));
  return collated;
}

template <typename Whole, typename Samples, typename Part>
Whole tree(Samples& samples, const Part& part) {
  std::vector<std::vector<at::Tensor>> leaves;
  for (auto& sample : samples) {
    size_t leaf = 0;
    visit_tensors(part(sample), [&](at::Tensor& tensor) {
      if (leaf == leaves.size()) leaves.emplace_back();
      leaves[leaf++].push_back(tensor);
    });
  }
  Whole collated = part(samples.front());
  size_t leaf = 0;
  visit_tensors(collated, [&](at::Tensor& tensor) {
    TORCH_CHECK(leaves[leaf].size() == samples.size(), "a batch of samples that do not have as many tensors");
    tensor = at::stack(leaves[leaf++]);
  });
  return collated;
}

template <typename Samples, typename Part>
auto collate(Samples& samples, const Part& part) {
  using Whole = std::decay_t<decltype(part(samples.front()))>;
  if constexpr (std::is_base_of_v<at::Tensor, Whole>) {
    return stack(samples, part);
  } else if constexpr (std::is_arithmetic_v<Whole>) {
    return numbers<Whole>(samples, part);
  } else if constexpr (std::is_same_v<Whole, std::string>) {
    std::vector<std::string> texts;
    for (auto& sample : samples) texts.push_back(part(sample));
    return texts;
  } else if constexpr (requires(Whole & value, void (*visit)(at::Tensor&)) { value.visit_tensors(visit); }) {
    return tree<Whole>(samples, part);
  } else if constexpr (requires { std::tuple_size<Whole>::value; }) {
    return whole<Whole>(samples, part);
  } else if constexpr (kIsVector<Whole>) {
    return lists(samples, part);
  } else if constexpr (Map<Whole>) {
    return maps<Whole>(samples, part);
  } else {
    return tree<Whole>(samples, part);
  }
}

}  // namespace collating

struct DefaultCollate {
  // `samples` has at least one.
  template <typename Sample>
  auto operator()(std::vector<Sample> samples) const {
    return collating::collate(samples, [](Sample& sample) -> Sample& { return sample; });
  }
};

}  // namespace ferrun::ddp
