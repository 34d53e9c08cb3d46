// GradientReducer's part in training with unequal numbers of inputs.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include <numeric>
#include <stdexcept>
#include <torch/csrc/distributed/c10d/comm.hpp>
#include <torch/csrc/distributed/c10d/reducer.hpp>

#include "worker/ddp/collectives.h"
#include "worker/ddp/gradient_reducer.h"

namespace ferrun::ddp {

void GradientReducer::begin_join(const JoinOptions& options) { joining_ = Joining{options}; }

bool GradientReducer::announce(bool active) {
  const int64_t world = group_->world_size();
  at::Tensor present = at::zeros({world + 1}, at::kLong);  // by rank; at the end how many of them will reduce
  int64_t* const numbers = present.mutable_data_ptr<int64_t>();
  numbers[group_->rank()] = active ? 1 : 0;
  numbers[world] = active && synchronizing_ && at::GradMode::is_enabled() ? 1 : 0;
  all_reduce(*group_, present);
  const int64_t count = std::accumulate(numbers, numbers + world, int64_t{0});
  if (count > 0 && !joining_->options.divide_by_initial_world_size) {
    std::vector<at::Tensor> divisor{at::full({1}, active ? 1 : 0, at::kLong)};
    group_->note(Collective::of(CollectiveKind::kAllReduce, divisor[0]));
    const auto work = group_->c10d_group()->allreduce(divisor);
    work->wait();
    if (active) reducer_->set_forward_pass_work_handle(work, /*useStaticWorldSize=*/false);
    *divisor_ = count;
  }
  if (count > 0 && count < world && joining_->options.throw_on_early_termination) {
    throw std::runtime_error("a rank has no more inputs, and " + std::to_string(count) + " of " +
                             std::to_string(world) + " ranks have (throw_on_early_termination)");
  }
  for (int rank = 0; rank < group_->world_size(); ++rank) {
    if (numbers[rank] != 0) joining_->root = rank;
  }
  joining_->synchronizing = numbers[world] > 0;
  return count > 0;
}

bool GradientReducer::shadow() {
  if (!reducer_ || !announce(false)) return false;
  reducer_->rebuild_buckets();
  if (options_.broadcast_buffers && (options_.as_python ? buffers_are_due_ : joining_->synchronizing)) {
    broadcast_buffers();
  }
  buffers_are_due_ = joining_->synchronizing;
  if (!joining_->synchronizing) return true;
  group_->note(gradients_);
  // A hook may need all buckets before the first one is done.
  std::vector<c10d::GradBucket> buckets = reducer_->get_grad_buckets(/*return_zero_tensors=*/true);
  std::vector<c10::intrusive_ptr<c10::ivalue::Future>> reductions;
  for (c10d::GradBucket& bucket : buckets) reductions.push_back(reducer_->run_comm_hook(bucket));
  for (const auto& reduction : reductions) reduction->waitAndThrow();
  if (options_.find_unused_parameters && !options_.static_graph) {
    std::vector<at::Tensor> used{reducer_->get_local_used_map_on_device()};
    group_->c10d_group()->allreduce(used)->wait();
  }
  if (options_.as_python && reducer_->should_rebuild_buckets()) reducer_->push_rebuilt_params_for_all_indices();
  return true;
}

void GradientReducer::end_join() {
  if (reducer_) broadcast_states(all_states(), joining_->root);
  *divisor_ = group_->world_size();
  joining_.reset();
}

}  // namespace ferrun::ddp
