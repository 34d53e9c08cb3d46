// torch.utils.data.default_collate: samples become a batch.
//
//   at::Tensor                       stacked along a new first dimension
//   integers, float, double, bool    a tensor of int64, float32, float64, bool
//   std::string                      std::vector<std::string>
//   pair, tuple, array               of what their elements become
//   vector, map                      element by element (std::map); all samples have as many, and the same keys
//   optional                         an optional of what its content becomes; all samples have one, or none
//   a struct with visit_tensors      the same type, its tensors stacked; a number or a text that it visits is the same
//                                    in all samples, and of what it does not visit the first sample's is taken
//
// Samples that do not fit together throw c10::Error. Thread rule: none; each call is its own.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/stack.h>
#include <c10/util/Exception.h>
#include <c10/util/SmallVector.h>
#include <c10/util/hash.h>

#include <array>
#include <concepts>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "worker/ddp/batch_memory.h"
#include "worker/ddp/batch_rows.h"
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

template <typename T>
concept HasVisitTensors = requires(T& value, void (*visit)(at::Tensor&)) {
  value.visit_tensors(visit);
};

// The batches of the tensors that visit_alike() visits, in its order, where BatchRows has them; null: stacked here.
struct Stacked {
  std::vector<at::Tensor> tensors;
  size_t next = 0;
  at::Tensor take() { return std::move(tensors[next++]); }
};

// Visits the tensors of a sample whose place does not depend on the sample, as a vector's or a map's would.
template <typename Value, typename Visit>
void visit_alike(Value& value, Visit&& visit) {
  if constexpr (std::is_base_of_v<at::Tensor, Value> || HasVisitTensors<Value>) {
    visit_tensors(value, visit);
  } else if constexpr (kIsOptional<Value>) {
    if (value) visit_alike(*value, visit);
  } else if constexpr (requires { std::tuple_size<Value>::value; }) {
    std::apply([&visit](auto&... parts) { (visit_alike(parts, visit), ...); }, value);
  }
}

// collate(samples, part, stacked) with part(sample), which gives the element of a sample that is collated here.
template <typename Samples, typename Part>
auto collate(Samples& samples, const Part& part, Stacked* stacked);

template <typename Samples, typename Part>
at::Tensor stack(Samples& samples, const Part& part, Stacked* stacked) {
  if (stacked != nullptr) return stacked->take();
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
auto whole(Samples& samples, const Part& part, Stacked* stacked) {
  constexpr auto kIndices = std::make_index_sequence<std::tuple_size_v<Whole>>();
  const auto element = [&]<size_t I>(std::integral_constant<size_t, I>) {
    return collate(
        samples, [&part](auto& sample) -> auto& { return std::get<I>(part(sample)); }, stacked);
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
    return collate(
        samples, [&part, i](auto& sample) -> decltype(auto) { return part(sample)[i]; }, nullptr);
  };
  std::vector<decltype(at_place(0))> collated;
  collated.reserve(length);
  for (size_t i = 0; i < length; ++i) collated.push_back(at_place(i));
  return collated;
}

template <typename Samples, typename Part>
auto optionals(Samples& samples, const Part& part, Stacked* stacked) {
  const auto content = [&] {
    return collate(
        samples, [&part](auto& sample) -> decltype(auto) { return *part(sample); }, stacked);
  };
  const bool there = part(samples.front()).has_value();
  for (auto& sample : samples) {
    TORCH_CHECK(part(sample).has_value() == there,
                "a batch of samples of which one has what is optional, and one has not");
  }
  std::optional<decltype(content())> collated;
  if (there) collated.emplace(content());
  return collated;
}

template <typename Whole, typename Samples, typename Part>
auto maps(Samples& samples, const Part& part) {
  for (auto& sample : samples) {
    TORCH_CHECK(part(sample).size() == part(samples.front()).size(), "a batch of maps of ",
                part(samples.front()).size(), " and of ", part(sample).size(), " keys");
  }
  const auto at_key = [&](const typename Whole::key_type& key) {
    return collate(
        samples,
        [&](auto& sample) -> auto& {
          auto& map = part(sample);
          const auto found = map.find(key);
          TORCH_CHECK(found != map.end(), "a batch of maps in which one lacks a key");
          return found->second;
        },
        nullptr);
  };
  using Collated = decltype(at_key(std::declval<const typename Whole::key_type&>()));
  std::map<typename Whole::key_type, Collated> collated;
  for (const auto& [key, value] : part(samples.front())) collated.emplace(key, at_key(key));
  return collated;
}

// What a struct has besides its tensors, as one number for what it holds and one for its numbers.
struct Outline {
  size_t shape = 0;
  size_t numbers = 0;

  void operator()(const at::Tensor& /*tensor*/) { shape = c10::hash_combine(shape, 1); }
  void holds(size_t count) { shape = c10::hash_combine(shape, 2 + count); }
  void number(double value) { numbers = c10::hash_combine(numbers, std::hash<double>()(value)); }
};

// Tensors of a struct's optionals or lists could otherwise take the place of others.
template <typename Samples, typename Part>
void check_outlines(Samples& samples, const Part& part) {
  std::optional<Outline> first;
  for (auto& sample : samples) {
    Outline outline;
    visit_tensors(part(sample), outline);
    if (!first) first = outline;
    TORCH_CHECK(outline.shape == first->shape,
                "a batch of samples that do not have as many tensors, or not in the same places");
    TORCH_CHECK(
        outline.numbers == first->numbers,
        "a batch of samples whose structs have unequal numbers or texts: a batch has one of them; make them tensors");
  }
}

template <typename Whole, typename Samples, typename Part>
Whole tree(Samples& samples, const Part& part, Stacked* stacked) {
  check_outlines(samples, part);
  if (stacked != nullptr) {
    Whole collated = part(samples.front());
    visit_tensors(collated, [&](at::Tensor& tensor) { tensor = stacked->take(); });
    return collated;
  }
  std::vector<std::vector<at::Tensor>> leaves;
  for (auto& sample : samples) {
    size_t leaf = 0;
    visit_tensors(part(sample), [&](at::Tensor& tensor) {
      if (leaf == leaves.size()) leaves.emplace_back();
      leaves[leaf++].push_back(tensor);
    });
  }
  for (const std::vector<at::Tensor>& tensors : leaves) {
    TORCH_CHECK(tensors.size() == samples.size(), "a batch of samples that do not have as many tensors");
  }
  Whole collated = part(samples.front());
  size_t leaf = 0;
  visit_tensors(collated, [&](at::Tensor& tensor) { tensor = at::stack(leaves[leaf++]); });
  return collated;
}

template <typename Samples, typename Part>
auto collate(Samples& samples, const Part& part, Stacked* stacked) {
  using Whole = std::decay_t<decltype(part(samples.front()))>;
  if constexpr (std::is_base_of_v<at::Tensor, Whole>) {
    return stack(samples, part, stacked);
  } else if constexpr (std::is_arithmetic_v<Whole>) {
    return numbers<Whole>(samples, part);
  } else if constexpr (std::is_same_v<Whole, std::string>) {
    std::vector<std::string> texts;
    for (auto& sample : samples) texts.push_back(part(sample));
    return texts;
  } else if constexpr (HasVisitTensors<Whole>) {
    return tree<Whole>(samples, part, stacked);
  } else if constexpr (kIsOptional<Whole>) {
    return optionals(samples, part, stacked);
  } else if constexpr (requires { std::tuple_size<Whole>::value; }) {
    return whole<Whole>(samples, part, stacked);
  } else if constexpr (kIsVector<Whole>) {
    return lists(samples, part);
  } else if constexpr (Map<Whole>) {
    return maps<Whole>(samples, part);
  } else {
    return tree<Whole>(samples, part, nullptr);
  }
}

}  // namespace collating

struct DefaultCollate {
  // `samples` has at least one.
  template <typename Sample>
  auto operator()(std::vector<Sample> samples) const {
    return collated(samples, nullptr);
  }

  // A batch in the making, the same as operator()'s of the samples in their places. Thread rule: add() from any thread,
  // each place once; finish() after all of them.
  template <typename Sample>
  class Assembly {
   public:
    Assembly(size_t samples, std::shared_ptr<BatchMemory> memory)
        : samples_(samples), rows_(static_cast<int64_t>(samples), std::move(memory)) {}

    void add(size_t place, Sample sample) {
      Sample& kept = samples_[place].emplace(std::move(sample));
      rows_.take(tensors_of(kept), static_cast<int64_t>(place));
    }
    auto finish() {
      std::vector<Sample> samples;
      samples.reserve(samples_.size());
      for (std::optional<Sample>& sample : samples_) samples.push_back(std::move(*sample));
      if (rows_.complete()) {
        collating::Stacked stacked{rows_.batch()};
        return collated(samples, &stacked);
      }
      for (size_t i = 0; i < samples.size(); ++i) rows_.give_back(tensors_of(samples[i]), static_cast<int64_t>(i));
      return collated(samples, nullptr);
    }

   private:
    static c10::SmallVector<at::Tensor*, 4> tensors_of(Sample& sample) {
      c10::SmallVector<at::Tensor*, 4> tensors;
      collating::visit_alike(sample, [&](at::Tensor& tensor) { tensors.push_back(&tensor); });
      return tensors;
    }

    std::vector<std::optional<Sample>> samples_;  // without the tensors that rows_ has
    BatchRows rows_;
  };

 private:
  template <typename Sample>
  static auto collated(std::vector<Sample>& samples, collating::Stacked* stacked) {
    return collating::collate(
        samples, [](Sample& sample) -> Sample& { return sample; }, stacked);
  }
};

}  // namespace ferrun::ddp
