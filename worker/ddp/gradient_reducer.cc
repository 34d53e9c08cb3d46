#include "worker/ddp/gradient_reducer.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <torch/csrc/distributed/c10d/comm.hpp>
#include <torch/csrc/distributed/c10d/reducer.hpp>
#include <unordered_map>
#include <unordered_set>

namespace ferrun::ddp {
namespace {

constexpr size_t kBroadcastBytes = size_t{250} << 20;  // as Python's DDP

// A module may register one tensor under two names; the Reducer must see it once.
std::vector<at::Tensor> without_repeats(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> unique;
  std::unordered_set<c10::TensorImpl*> seen;
  for (const at::Tensor& tensor : tensors) {
    if (tensor.defined() && seen.insert(tensor.unsafeGetTensorImpl()).second) {
      unique.push_back(tensor);
    }
  }
  return unique;
}

std::vector<at::Tensor> detached(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> plain;
  plain.reserve(tensors.size());
  for (const at::Tensor& tensor : tensors) {
    plain.push_back(tensor.detach());
  }
  return plain;
}

// Indices of `parameters` in the order in which a backward pass finishes them, cut into buckets.
std::vector<std::vector<size_t>> bucket_layout(const std::vector<at::Tensor>& parameters, const DdpOptions& options) {
  const std::vector<at::Tensor> reversed(parameters.rbegin(), parameters.rend());
  const std::vector<size_t> limits{static_cast<size_t>(options.first_bucket_bytes),
                                   static_cast<size_t>(options.bucket_bytes)};
  std::vector<std::vector<size_t>> buckets = std::get<0>(c10d::compute_bucket_assignment_by_size(reversed, limits));
  for (std::vector<size_t>& bucket : buckets) {
    for (size_t& index : bucket) {
      index = parameters.size() - 1 - index;
    }
  }
  // The assignment sorts buckets by their smallest index of the reversed list, that is in order of reduction.
  return buckets;
}

}  // namespace

GradientReducer::GradientReducer(const torch::nn::Module& module, std::shared_ptr<ProcessGroup> group,
                                 const DdpOptions& options)
    : group_(std::move(group)), options_(options), buffers_(without_repeats(module.buffers())) {
  for (const at::Tensor& parameter : without_repeats(module.parameters())) {
    (parameter.requires_grad() ? parameters_ : frozen_).push_back(parameter);
  }
  gradients_ = Collective::of(CollectiveKind::kGradients, parameters_);
  if (!group_->alone()) {
    verify_and_broadcast_parameters();
    build_reducer();
  }
}

GradientReducer::~GradientReducer() = default;

void GradientReducer::verify_and_broadcast_parameters() {
  c10d::verify_params_across_processes(group_->c10d_group(), parameters_, {});
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> states = detached(parameters_);
  for (const std::vector<at::Tensor>* others : {&frozen_, &buffers_}) {
    const std::vector<at::Tensor> plain = detached(*others);
    states.insert(states.end(), plain.begin(), plain.end());
  }
  group_->note(Collective::of(CollectiveKind::kModelState, states));
  c10d::broadcast_coalesced(group_->c10d_group(), states, kBroadcastBytes, 0);
}

// A Reducer notes the order in which gradients arrive until its buckets have been rebuilt in that order, 16 bytes for
// each gradient of each step. So they are rebuilt here, where no step has been taken yet, and then laid out again.
void GradientReducer::build_reducer() {
  const std::vector<bool> dense(parameters_.size(), false);
  const std::vector<std::vector<size_t>> layout = bucket_layout(parameters_, options_);
  reducer_ = std::make_unique<c10d::Reducer>(
      parameters_, layout, group_->c10d_group(), dense, options_.bucket_bytes, options_.find_unused_parameters,
      options_.gradient_as_bucket_view, std::unordered_map<size_t, std::string>{}, options_.first_bucket_bytes,
      /*skip_all_reduce_unused_params=*/false, /*use_python_reducer=*/false, std::vector<int64_t>{});
  if (reducer_->should_rebuild_buckets()) {
    reducer_->push_rebuilt_params_for_all_indices();
    reducer_->rebuild_buckets();
    reducer_->initialize_buckets(layout);
  }
}

void GradientReducer::before_forward() {
  if (!reducer_) {
    return;
  }
  if (at::GradMode::is_enabled() && synchronizing_) {
    reducer_->prepare_for_forward();
  }
  if (options_.broadcast_buffers && synchronizing_) {
    broadcast_buffers();
  }
}

void GradientReducer::before_backward(const std::vector<at::Tensor>& outputs) {
  if (!reducer_ || !at::GradMode::is_enabled() || !synchronizing_) {
    return;
  }
  group_->note(gradients_);
  reducer_->prepare_for_backward(options_.find_unused_parameters ? outputs : std::vector<at::Tensor>{});
}

void GradientReducer::replayed() {
  if (reducer_) group_->note(gradients_);
}

void GradientReducer::zero_grad() {
  for (at::Tensor& parameter : parameters_) {
    parameter.mutable_grad().reset();
  }
}

void GradientReducer::broadcast_buffers() {
  if (group_->alone() || buffers_.empty()) {
    return;
  }
  const at::NoGradGuard no_grad;
  group_->note(Collective::of(CollectiveKind::kModelState, buffers_));
  c10d::broadcast_coalesced(group_->c10d_group(), buffers_, kBroadcastBytes, 0);
}

}  // namespace ferrun::ddp
