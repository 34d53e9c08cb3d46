// Finds the tensors in what a module's forward returns: a tensor, or a tuple, pair, array, vector, map, optional of
// such, in any nesting. A struct of one's own takes part by a member `template <typename Visit> void
// visit_tensors(Visit&&)` that calls ferrun::ddp::visit_tensors for each of its parts.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <optional>
#include <ranges>
#include <tuple>
#include <type_traits>

namespace ferrun::ddp {

template <typename T>
inline constexpr bool kIsOptional = false;
template <typename T>
inline constexpr bool kIsOptional<std::optional<T>> = true;

// Calls visit(at::Tensor&) for every tensor, in order; undefined ones as well. What holds none is passed over: numbers,
// texts, keys. A visit that is more than a function is told the rest as well: visit.holds(count) of an optional or a
// list, visit.number(value) of what is no tensor.
template <typename Value, typename Visit>
void visit_tensors(Value& value, Visit&& visit) {
  using Plain = std::remove_cv_t<Value>;
  const auto holds = [&visit](size_t count) {
    if constexpr (requires { visit.holds(count); }) visit.holds(count);
  };
  if constexpr (std::is_base_of_v<at::Tensor, Plain>) {
    visit(value);
  } else if constexpr (requires { value.visit_tensors(visit); }) {
    value.visit_tensors(visit);
  } else if constexpr (kIsOptional<Plain>) {
    holds(value ? 1 : 0);
    if (value) visit_tensors(*value, visit);
  } else if constexpr (requires { std::tuple_size<Plain>::value; }) {
    std::apply([&visit](auto&... parts) { (visit_tensors(parts, visit), ...); }, value);
  } else if constexpr (requires(typename Plain::iterator item) { item->key(), item->value(); }) {
    for (auto& item : value) visit_tensors(item.value(), visit);  // torch::OrderedDict
  } else if constexpr (std::ranges::range<Plain>) {
    if constexpr (requires { value.size(); }) holds(value.size());
    for (auto& item : value) visit_tensors(item, visit);  // a map's are pairs
  } else {
    static_assert(std::is_arithmetic_v<Plain> || std::is_enum_v<Plain>,
                  "forward returns a type in which no tensors are found: give it a member visit_tensors(visit)");
    if constexpr (requires { visit.number(0.0); }) visit.number(static_cast<double>(value));
  }
}

}  // namespace ferrun::ddp
