#include "worker/ddp/mixed_precision.h"

#include <ATen/core/grad_mode.h>
#include <ATen/core/ivalue.h>
#include <ATen/core/jit_type.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/utils/lambda_post_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <stdexcept>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/comm.hpp>
#include <torch/csrc/distributed/c10d/reducer.hpp>
#include <unordered_map>

namespace ferrun::ddp {

// Adds up in reduce_dtype, and makes the bucket's parameters and gradients their own again before the Reducer writes
// the average into them.
class LowPrecisionParameters::Hook : public c10d::CommHookInterface {
 public:
  Hook(std::shared_ptr<State> state, std::shared_ptr<ProcessGroup> group)
      : state_(std::move(state)), group_(std::move(group)) {
    for (size_t i = 0; i < state_->parameters.size(); ++i) {
      numbers_[state_->parameters[i].unsafeGetTensorImpl()] = i;
    }
  }

  c10::intrusive_ptr<c10::ivalue::Future> runHook(c10d::GradBucket& bucket) override {
    const at::NoGradGuard no_grad;
    at::Tensor sent = bucket.getBuffer().to(state_->types.reduce_dtype.value_or(state_->types.param_dtype));
    for (const at::Tensor& parameter : bucket.getParameters()) {
      restore_one(*state_, numbers_.at(parameter.unsafeGetTensorImpl()));
    }
    if (bucket.isLast()) state_->all_reduced = true;
    std::vector<at::Tensor> tensors{sent};
    return group_->c10d_group()->allreduce(tensors)->getFuture()->then(
        [sent, world = group_->world_size()](c10::ivalue::Future& done) -> c10::IValue {
          done.value();  // throws what the collective threw
          const at::NoGradGuard plain;
          return at::Tensor(sent).div_(world);
        },
        c10::TensorType::get());
  }
  at::Tensor parseHookResult(const c10::IValue& result) override { return result.toTensor(); }

 private:
  std::shared_ptr<State> state_;
  std::shared_ptr<ProcessGroup> group_;
  std::unordered_map<const c10::TensorImpl*, size_t> numbers_;
};

LowPrecisionParameters::LowPrecisionParameters(const MixedPrecision& types, std::vector<at::Tensor> parameters,
                                               std::vector<at::Tensor> buffers)
    : state_(std::make_shared<State>()) {
  for (const auto& type : {std::optional(types.param_dtype), types.reduce_dtype, types.buffer_dtype}) {
    if (type && !c10::isFloatingType(*type)) {
      throw std::invalid_argument(std::string("mixed_precision needs floating-point types, not ") +
                                  c10::toString(*type));
    }
  }
  state_->types = types;
  state_->own.resize(parameters.size());
  state_->parameters = std::move(parameters);
  for (at::Tensor& buffer : buffers) {
    if (types.buffer_dtype && buffer.is_floating_point()) buffer.set_data(buffer.to(*types.buffer_dtype));
  }
}

void LowPrecisionParameters::attach(const std::shared_ptr<c10d::Reducer>& reducer,
                                    std::shared_ptr<ProcessGroup> group) {
  reducer->register_comm_hook(std::make_unique<Hook>(state_, std::move(group)));
  state_->reducer = reducer;
}

// A parameter that changes its type gets another node for its gradient in the graph, without the Reducer's hook.
void LowPrecisionParameters::lower() {
  State& state = *state_;
  state.restoring = state.all_reduced = false;
  state.accumulators.clear();
  size_t trained = 0;
  for (size_t i = 0; i < state.parameters.size(); ++i) {
    at::Tensor& parameter = state.parameters[i];
    if (!state.own[i].defined()) state.own[i] = parameter.detach();
    const at::Tensor gradient = parameter.grad();
    parameter.mutable_grad().reset();  // it has to be of the parameter's type
    {
      const at::NoGradGuard no_grad;
      parameter.set_data(state.own[i].to(state.types.param_dtype, /*non_blocking=*/false, /*copy=*/true));
      if (gradient.defined()) parameter.mutable_grad() = gradient.to(state.types.param_dtype);
    }
    if (!parameter.requires_grad()) continue;
    const size_t number = trained++;
    if (!at::GradMode::is_enabled()) continue;
    // A shared_ptr, from torch 2.15 on an intrusive_ptr.
    auto accumulator = torch::autograd::impl::grad_accumulator(parameter);
    accumulator->add_post_hook(std::make_unique<torch::autograd::utils::LambdaPostHook>(
        [weak = std::weak_ptr(state_), number](const auto& outputs, const auto&) {
          if (const auto alive = weak.lock()) gradient_came(alive, number);
          return outputs;
        }));
    state.accumulators.push_back(std::make_shared<decltype(accumulator)>(accumulator));
  }
}

// The Reducer ends its work in a callback that it leaves when the last gradient is there: the one that is left behind
// that is called after it, and finds gradients that it has made itself.
void LowPrecisionParameters::gradient_came(const std::shared_ptr<State>& state, size_t index) {
  if (const auto reducer = state->reducer.lock()) reducer->autograd_hook(index);
  if (std::exchange(state->restoring, true) && !std::exchange(state->all_reduced, false)) return;
  torch::autograd::Engine::get_default_engine().queue_callback([state] { restore_all(*state); });
}

void LowPrecisionParameters::restore() { restore_all(*state_); }

void LowPrecisionParameters::restore_all(State& state) {
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < state.parameters.size(); ++i) restore_one(state, i);
  state.accumulators.clear();
}

void LowPrecisionParameters::restore_one(State& state, size_t index) {
  at::Tensor& parameter = state.parameters[index];
  at::Tensor gradient = parameter.grad();
  at::Tensor& own = state.own[index];
  if (own.defined()) {
    parameter.mutable_grad().reset();
    parameter.set_data(std::exchange(own, at::Tensor()));
  }
  if (gradient.defined()) parameter.mutable_grad() = gradient.to(parameter.scalar_type());
}

}  // namespace ferrun::ddp
