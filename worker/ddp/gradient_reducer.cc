#include "worker/ddp/gradient_reducer.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/view_as_real.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cctype>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <torch/csrc/distributed/c10d/comm.hpp>
#include <torch/csrc/distributed/c10d/logger.hpp>
#include <torch/csrc/distributed/c10d/reducer.hpp>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "worker/ddp/backward_watch.h"
#include "worker/ddp/unique_tensors.h"

namespace ferrun::ddp {
namespace {

constexpr size_t kBroadcastBytes = size_t{250} << 20;  // as Python's DDP

// Gloo sends neither complex numbers nor the rarer types: their parts, their bytes.
at::Tensor as_sent(const at::Tensor& tensor) {
  if (tensor.is_complex()) return at::view_as_real(tensor);
  switch (tensor.scalar_type()) {
    case at::kFloat:
    case at::kDouble:
    case at::kHalf:
    case at::kBFloat16:
    case at::kChar:
    case at::kByte:
    case at::kBool:
    case at::kInt:
    case at::kLong: return tensor;
    default: return tensor.is_contiguous() ? tensor.flatten().view(at::kByte) : tensor;
  }
}

std::vector<at::Tensor> detached(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> plain;
  plain.reserve(tensors.size());
  for (const at::Tensor& tensor : tensors) {
    plain.push_back(as_sent(tensor.detach()));
  }
  return plain;
}

// Python's: as it is until it is rebuilt in the order in which the gradients of the first step came.
std::vector<std::vector<size_t>> python_layout(const std::vector<at::Tensor>& parameters,
                                               const std::vector<bool>& sparse, const DdpOptions& options) {
  std::vector<size_t> limits{static_cast<size_t>(options.first_bucket_bytes),
                             static_cast<size_t>(options.bucket_bytes)};
  if (options.static_graph || !options.find_unused_parameters) limits = {std::numeric_limits<size_t>::max()};
  std::vector<std::vector<size_t>> buckets =
      std::get<0>(c10d::compute_bucket_assignment_by_size(parameters, limits, sparse));
  std::reverse(buckets.begin(), buckets.end());
  return buckets;
}

// Indices of `parameters` in the order in which a backward pass finishes them, cut into buckets.
std::vector<std::vector<size_t>> bucket_layout(const std::vector<at::Tensor>& parameters,
                                               const std::vector<bool>& sparse, const DdpOptions& options) {
  const std::vector<at::Tensor> reversed(parameters.rbegin(), parameters.rend());
  const std::vector<bool> reversed_sparse(sparse.rbegin(), sparse.rend());
  const std::vector<size_t> limits{static_cast<size_t>(options.first_bucket_bytes),
                                   static_cast<size_t>(options.bucket_bytes)};
  std::vector<std::vector<size_t>> buckets =
      std::get<0>(c10d::compute_bucket_assignment_by_size(reversed, limits, reversed_sparse));
  for (std::vector<size_t>& bucket : buckets) {
    for (size_t& index : bucket) {
      index = parameters.size() - 1 - index;
    }
  }
  // The assignment sorts buckets by their smallest index of the reversed list, that is in order of reduction.
  return buckets;
}

// Owned by the Reducer, which takes one hook for good.
class SharedHook : public c10d::CommHookInterface {
 public:
  explicit SharedHook(std::shared_ptr<CommHook> hook) : hook_(std::move(hook)) {}
  c10::intrusive_ptr<c10::ivalue::Future> runHook(c10d::GradBucket& bucket) override {
    return (*hook_)->runHook(bucket);
  }
  at::Tensor parseHookResult(const c10::IValue& result) override { return (*hook_)->parseHookResult(result); }

 private:
  std::shared_ptr<CommHook> hook_;
};

// What the Reducer does without a hook, with the same bits, but with one multiplication for a bucket in place of one
// for each gradient, whose dispatch takes longer than a small gradient does.
class BucketAverage : public c10d::CommHookInterface {
 public:
  BucketAverage(std::shared_ptr<ProcessGroup> group, std::shared_ptr<const int64_t> divisor)
      : group_(std::move(group)), divisor_(std::move(divisor)) {}

  c10::intrusive_ptr<c10::ivalue::Future> runHook(c10d::GradBucket& bucket) override {
    const at::NoGradGuard no_grad;
    std::vector<at::Tensor> tensors{bucket.getBufferRef()};
    tensors[0].mul_(1.0 / static_cast<double>(*divisor_));
    return group_->c10d_group()->allreduce(tensors)->getFuture();
  }
  at::Tensor parseHookResult(const c10::IValue& result) override {
    return c10d::detail::parseCppCommHookResult(result);
  }

 private:
  std::shared_ptr<ProcessGroup> group_;
  std::shared_ptr<const int64_t> divisor_;
};

// Where a second pass over the buckets costs less than the calls that it saves, 2 us and more for each parameter (500
// of 288 bytes on average: measured; the limit: reckoned from 8 GB/s). On a GPU either is one kernel for each gradient.
bool averages_by_bucket(const std::vector<at::Tensor>& parameters, const DdpOptions& options) {
  constexpr size_t kSmall = 16 << 10;
  if (parameters.empty() || options.mixed_precision) return false;
  size_t bytes = 0;
  for (const at::Tensor& parameter : parameters) {
    if (!parameter.is_cpu()) return false;
    bytes += parameter.nbytes();
  }
  return bytes / parameters.size() < kSmall;
}

// The numbers of `text` behind `words`, up to the line's end.
std::vector<size_t> numbers_behind(const std::string& text, const std::string& words) {
  std::vector<size_t> numbers;
  const size_t found = text.find(words);
  if (found == std::string::npos) return numbers;
  const size_t begin = found + words.size();
  std::istringstream line(text.substr(begin, text.find_first_of("\n]", begin) - begin));
  for (std::string word; line >> word;) {
    if (!std::all_of(word.begin(), word.end(), [](unsigned char c) { return std::isdigit(c); })) continue;
    numbers.push_back(std::stoul(word));
  }
  return numbers;
}

}  // namespace

GradientReducer::GradientReducer(const torch::nn::Module& module, std::shared_ptr<ProcessGroup> group,
                                 const DdpOptions& options)
    : group_(std::move(group)),
      options_(options),
      all_parameters_(without_repeats(module.parameters())),
      buffers_(without_repeats(module.buffers())) {
  check_trainable(module);
  std::unordered_set<c10::TensorImpl*> seen;
  for (const auto& parameter : module.named_parameters()) {
    const at::Tensor& tensor = parameter.value();
    if (!tensor.defined() || !tensor.requires_grad() || !seen.insert(tensor.unsafeGetTensorImpl()).second) continue;
    parameters_.push_back(tensor);
    names_.push_back(parameter.key());
  }
  sparse_ = sparse_gradients(module, parameters_);
  gradients_ = Collective::of(CollectiveKind::kGradients, parameters_);
  if (options.mixed_precision && (options.find_unused_parameters || options.static_graph)) {
    throw std::invalid_argument("mixed_precision cannot be together with find_unused_parameters or static_graph");
  }
  if (!group_->alone()) {
    verify_and_broadcast_parameters(module);
    build_reducer();
    known_.emplace(module, /*types_change=*/options.mixed_precision.has_value());
  }
  if (options.mixed_precision) {
    low_precision_.emplace(*options.mixed_precision, all_parameters_, buffers_);
    if (reducer_) low_precision_->attach(reducer_, group_);
  }
}

GradientReducer::~GradientReducer() = default;
GradientReducer::GradientReducer(GradientReducer&&) noexcept = default;
GradientReducer& GradientReducer::operator=(GradientReducer&&) noexcept = default;

void GradientReducer::verify_and_broadcast_parameters(const torch::nn::Module& module) {
  // Before c10d, which counts and compares the trained ones without their names. Python's ranks would not answer.
  if (!options_.as_python) check_same_model(module, *group_);
  group_->note(Collective::of(CollectiveKind::kModelCheck, parameters_));
  try {
    c10d::verify_params_across_processes(group_->c10d_group(), parameters_, {});
  } catch (const std::exception& failure) {
    rethrow_by_name(failure);
  }
  broadcast_states(all_states(), 0);
}

std::vector<at::Tensor> GradientReducer::all_states() const {
  std::vector<at::Tensor> states = detached(all_parameters_);
  const std::vector<at::Tensor> plain = detached(buffers());
  states.insert(states.end(), plain.begin(), plain.end());
  return states;
}

void GradientReducer::broadcast_states(const std::vector<at::Tensor>& states, int root) {
  const at::NoGradGuard no_grad;
  group_->note(Collective::of(CollectiveKind::kModelState, states));
  c10d::broadcast_coalesced(group_->c10d_group(), states, kBroadcastBytes, root);
}

// c10d knows a parameter by its number.
void GradientReducer::rethrow_by_name(const std::exception& failure) const {
  const std::string text = failure.what();
  const auto named = [this](const std::vector<size_t>& numbers) {
    std::string names;
    for (const size_t number : numbers) {
      names += (names.empty() ? "'" : ", '") + (number < names_.size() ? names_[number] : std::to_string(number)) + "'";
    }
    return names;
  };
  const std::string rank = std::to_string(group_->rank());
  for (const std::string& words :
       {"did not receive grad for rank " + rank + " :", "did not receive grad for rank " + rank + ":"}) {
    const std::vector<size_t> unused = numbers_behind(text, "indices which " + words);
    if (unused.empty()) continue;
    throw std::runtime_error("rank " + rank + ": the last backward pass gave no gradient to " + named(unused) +
                             ": set find_unused_parameters, or let the loss depend on all parameters");
  }
  if (const std::vector<size_t> other = numbers_behind(text, "params["); !other.empty()) {
    throw std::runtime_error("rank " + rank + ": parameter " + named(other) +
                             " has another shape or layout than on rank 0");
  }
  if (text.find("has inconsistent") != std::string::npos) {
    throw std::runtime_error("the ranks' models differ: rank " + rank + "'s has " + std::to_string(names_.size()) +
                             " parameters, the last of them '" + (names_.empty() ? "" : names_.back()) + "'");
  }
  throw;
}

// A Reducer notes the order in which gradients arrive until its buckets have been rebuilt in that order, 16 bytes for
// each gradient of each step. So they are rebuilt here, where no step has been taken yet, and then laid out again.
void GradientReducer::build_reducer() {
  const std::vector<std::vector<size_t>> layout = options_.as_python ? python_layout(parameters_, sparse_, options_)
                                                                     : bucket_layout(parameters_, sparse_, options_);
  // So that gradients, parts of the buckets, are no views to autograd, which torch::optim's zero_grad cannot detach.
  const at::AutoDispatchBelowADInplaceOrView plain_views;
  const auto reducer = std::make_shared<WatchedReducer>(
      parameters_, layout, group_->c10d_group(), sparse_, options_.bucket_bytes, options_.find_unused_parameters,
      options_.gradient_as_bucket_view && !options_.mixed_precision, std::unordered_map<size_t, std::string>{},
      options_.first_bucket_bytes,
      /*skip_all_reduce_unused_params=*/false, /*use_python_reducer=*/false, std::vector<int64_t>{});
  reducer_ = reducer;
  watch_ = std::make_shared<BackwardWatch>(reducer, group_, gradients_, options_.static_graph);
  // The search for unused parameters tells it what it finds, without asking whether there is one.
  logger_ = std::make_shared<c10d::Logger>(reducer_);
  reducer_->set_logger(logger_);
  if (options_.static_graph) reducer_->set_static_graph();
  if (!options_.as_python && reducer_->should_rebuild_buckets()) {
    reducer_->push_rebuilt_params_for_all_indices();
    reducer_->rebuild_buckets();
    reducer_->initialize_buckets(layout);
  }
  if (options_.mixed_precision) {
    // It converts the buckets, and leaves the views of them behind.
    reducer_->set_mixed_precision_param_dtype(options_.mixed_precision->param_dtype);
    reducer_->initialize_buckets(layout);
  }
  *divisor_ = group_->world_size();
  const bool is_any_sparse = std::find(sparse_.begin(), sparse_.end(), true) != sparse_.end();
  if (hook_) {
    reducer_->register_comm_hook(std::make_unique<SharedHook>(hook_));
  } else if (!is_any_sparse && averages_by_bucket(parameters_, options_)) {
    use_hook(std::make_shared<BucketAverage>(group_, divisor_));
  }
}

void GradientReducer::use_hook(CommHook hook) {
  if (!hook_) {
    hook_ = std::make_shared<CommHook>();
    reducer_->register_comm_hook(std::make_unique<SharedHook>(hook_));
  }
  *hook_ = std::move(hook);
}

void GradientReducer::register_comm_hook(CommHook hook) {
  if (low_precision_) throw std::invalid_argument("mixed_precision has a communication hook of its own");
  if (hook == nullptr) throw std::invalid_argument("the communication hook is null");
  if (std::exchange(has_own_hook_, true)) throw std::invalid_argument("a communication hook is registered already");
  if (reducer_) use_hook(std::move(hook));
}

std::optional<c10::ScalarType> GradientReducer::input_type() const {
  return low_precision_ ? std::optional(low_precision_->param_dtype()) : std::nullopt;
}

void GradientReducer::before_forward() {
  if (reducer_) prepare_reducer();
  if (low_precision_) low_precision_->lower();
}

void GradientReducer::prepare_reducer() {
  if (at::GradMode::is_enabled() && synchronizing_) {
    known_->check();
    // It counts what comes in its first backward pass, also where it reduces nothing, and then waits for as much.
    if (std::exchange(first_pass_was_not_reduced_, false)) build_reducer();
  }
  try {
    if (at::GradMode::is_enabled() && synchronizing_) {
      reducer_->prepare_for_forward();
    }
    if (joining_) announce(true);
    // Where there is nothing to rebuild it only checks that the last backward pass has reduced every gradient.
    if (at::GradMode::is_enabled()) {
      const at::AutoDispatchBelowADInplaceOrView plain_views;
      reducer_->rebuild_buckets();
    }
  } catch (const c10::Error& failure) {
    rethrow_by_name(failure);
  }
  if (options_.broadcast_buffers && (options_.as_python ? buffers_are_due_ : synchronizing_)) {
    broadcast_buffers();
  }
}

bool GradientReducer::wants_outputs() const { return reducer_ != nullptr; }

void GradientReducer::set_synchronizing(bool on) {
  synchronizing_ = on;
  if (watch_) watch_->set_synchronizing(on);
}

void GradientReducer::before_backward(const std::vector<at::Tensor*>& outputs) {
  if (low_precision_ && !at::GradMode::is_enabled()) low_precision_->restore();
  buffers_are_due_ = at::GradMode::is_enabled() && synchronizing_;
  if (!reducer_) return;
  if (!buffers_are_due_) {
    if (options_.static_graph && at::GradMode::is_enabled() && !watch_->has_reduced())
      first_pass_was_not_reduced_ = true;
    return;
  }
  std::vector<at::Tensor> searched;
  for (const at::Tensor* output : outputs) {
    if (options_.find_unused_parameters && !options_.static_graph && output->defined()) searched.push_back(*output);
  }
  try {
    reducer_->prepare_for_backward(searched);
  } catch (const c10::Error& failure) {
    rethrow_by_name(failure);
  }
  if (options_.find_unused_parameters || options_.static_graph) watch_->pass_through(outputs);
  watch_->watch(outputs);
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
  if (group_->alone()) return;
  const std::vector<at::Tensor> now = detached(buffers());
  if (!now.empty()) broadcast_states(now, joining_ ? joining_->root : 0);
}

std::vector<at::Tensor> GradientReducer::buffers() const { return known_ ? known_->buffers(buffers_) : buffers_; }

}  // namespace ferrun::ddp
