// Parameters in a short type for forward and backward, in their own one for the optimizer: what Python's DDP does for
// mixed_precision=_MixedPrecision(…). An autocast keeps the parameters and decides for each operation; this decides for
// all of them at once and halves what the passes read.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include "worker/ddp/comm_hooks.h"
#include "worker/ddp/process_group.h"
#include "worker/ddp/tensor_tree.h"

namespace c10d {
class Reducer;
}

namespace ferrun::ddp {

struct MixedPrecision {
  c10::ScalarType param_dtype = c10::ScalarType::BFloat16;  // inputs of forward are cast to it too
  std::optional<c10::ScalarType> reduce_dtype = {};         // in which gradients travel and are added; else param_dtype
  std::optional<c10::ScalarType> buffer_dtype = {};         // of floating-point buffers from now on; else their own
};

// The parameters of one network between their own tensors and short copies. Thread rule: the thread of the passes.
class LowPrecisionParameters {
 public:
  // `parameters`: all of them; those that require gradients in the order in which the Reducer has them. Casts the
  // buffers. Throws std::invalid_argument for a type that is not of floating point.
  LowPrecisionParameters(const MixedPrecision& types, std::vector<at::Tensor> parameters,
                         std::vector<at::Tensor> buffers);

  // Before the first forward pass, where there is one: it hears of the gradients by `lower`, not by its own hooks.
  void attach(const std::shared_ptr<c10d::Reducer>& reducer, std::shared_ptr<ProcessGroup> group);

  // Before a forward pass: parameters and gradients become short. They are their own again when the backward pass ends.
  void lower();
  // Where no backward pass follows.
  void restore();

  c10::ScalarType param_dtype() const { return state_->types.param_dtype; }

 private:
  class Hook;
  struct State {
    MixedPrecision types;
    std::vector<at::Tensor> parameters;
    std::vector<at::Tensor> own;                      // by parameter, while it is short; else undefined
    std::vector<std::shared_ptr<void>> accumulators;  // autograd's, of this step
    std::weak_ptr<c10d::Reducer> reducer;
    bool restoring = false;    // at the end of the backward pass under way
    bool all_reduced = false;  // every bucket is on its way
  };
  static void restore_one(State& state, size_t index);
  static void restore_all(State& state);
  static void gradient_came(const std::shared_ptr<State>& state, size_t index);

  std::shared_ptr<State> state_;  // hooks of a graph may outlive the network
};

// Whether cast_floating finds tensors in an input of forward: a tensor, or standard containers of such.
template <typename T>
inline constexpr bool kHasTensors = std::is_base_of_v<at::Tensor, T>;
template <typename T>
inline constexpr bool kHasTensors<std::optional<T>> = kHasTensors<T>;
template <typename T, typename A>
inline constexpr bool kHasTensors<std::vector<T, A>> = kHasTensors<T>;
template <typename T, size_t N>
inline constexpr bool kHasTensors<std::array<T, N>> = kHasTensors<T>;
template <typename A, typename B>
inline constexpr bool kHasTensors<std::pair<A, B>> = kHasTensors<A> || kHasTensors<B>;
template <typename... T>
inline constexpr bool kHasTensors<std::tuple<T...>> = (kHasTensors<T> || ...);
template <typename K, typename T, typename... R>
inline constexpr bool kHasTensors<std::map<K, T, R...>> = kHasTensors<T>;
template <typename K, typename T, typename... R>
inline constexpr bool kHasTensors<std::unordered_map<K, T, R...>> = kHasTensors<T>;

// What forward gets for an input: with tensors a copy, whose floating-point ones are of `type`; else the input itself.
template <typename Input>
using CastInput = std::conditional_t<kHasTensors<std::remove_cvref_t<Input>>, std::remove_cvref_t<Input>, Input&&>;

template <typename Input>
CastInput<Input> cast_floating(std::remove_reference_t<Input>& input, c10::ScalarType type) {
  if constexpr (kHasTensors<std::remove_cvref_t<Input>>) {
    std::remove_cvref_t<Input> copy(input);
    visit_tensors(copy, [type](at::Tensor& tensor) {
      if (tensor.defined() && tensor.is_floating_point()) tensor = tensor.to(type);
    });
    return copy;
  } else {
    return static_cast<Input&&>(input);
  }
}

}  // namespace ferrun::ddp
