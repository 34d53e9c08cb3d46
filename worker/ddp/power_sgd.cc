#include "worker/ddp/power_sgd.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <ATen/core/ivalue.h>
#include <ATen/core/jit_type.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linalg_qr.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <stdexcept>
#include <string>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/comm.hpp>
#include <vector>

namespace ferrun::ddp {
namespace {

using checkpoint::Dict;
using checkpoint::Value;
using GradientFuture = c10::intrusive_ptr<c10::ivalue::Future>;
using TensorsByBucket = std::map<int64_t, at::Tensor>;

// numpy.random.RandomState(seed).randint(1_000_000_000), which seeds Python's random matrices.
class MatrixSeeds {
 public:
  explicit MatrixSeeds(uint32_t seed) : seed_(seed), random_(seed) {}

  uint64_t next() {
    for (;;) {
      ++drawn_;
      const uint64_t number = random_() & ((1U << 30) - 1);
      if (number < 1'000'000'000) return number;
    }
  }
  int64_t drawn() const { return drawn_; }
  void continue_at(int64_t drawn) {
    random_.seed(seed_);
    random_.discard(static_cast<unsigned long long>(drawn));
    drawn_ = drawn;
  }

 private:
  uint32_t seed_;
  std::mt19937 random_;
  int64_t drawn_ = 0;
};

// Makes the columns of [1, rows, columns] orthonormal, in place.
void orthogonalize(const at::Tensor& matrix, double epsilon) {
  const int64_t columns = matrix.size(2);
  const bool is_short = matrix.scalar_type() == at::kHalf || matrix.scalar_type() == at::kBFloat16;
  if (columns > 2 && !is_short) {
    matrix.copy_(std::get<0>(at::linalg_qr(matrix, "reduced")));
    return;
  }
  for (int64_t i = 0; i < columns; ++i) {
    at::Tensor column = matrix.narrow(2, i, 1);
    at::Tensor norm = at::linalg_vector_norm(column, 2, 1, /*keepdim=*/true);
    column.div_(epsilon == 0 ? norm : norm + epsilon);
    if (i + 1 == columns) return;
    at::Tensor rest = matrix.narrow(2, i + 1, columns - i - 1);
    rest.sub_((column * rest).sum(1, /*keepdim=*/true) * column);
  }
}

// A gradient M of [1, n, m] and its approximation P × Qᵗ; p and q lie in their bucket's memory.
struct LowRank {
  at::Tensor gradient, p, q;
};

// A bucket on its way.
struct Travelling {
  int64_t bucket = 0;
  at::Tensor result;       // the bucket's memory
  at::Tensor padded;       // when batched: result and the zeros that make it a square
  at::Tensor wanted;       // with error feedback: what should arrive
  at::Tensor sent_first;   // gradients that travel whole, then all P
  at::Tensor sent_second;  // all Q
  std::vector<at::Tensor> whole;
  std::vector<LowRank> compressed;
  c10::intrusive_ptr<c10d::Work> work;
  GradientFuture done;
};

c10::intrusive_ptr<c10d::Work> start_sum(ProcessGroup& group, const at::Tensor& tensor) {
  if (tensor.numel() == 0) return nullptr;
  std::vector<at::Tensor> tensors{tensor};
  return group.c10d_group()->allreduce(tensors);
}

void finish(c10::intrusive_ptr<c10d::Work>& work) {
  if (work) work->wait();
  work.reset();
}

Dict by_number(const TensorsByBucket& tensors) {
  Dict dict;
  for (const auto& [bucket, tensor] : tensors) dict.emplace_back(bucket, tensor);
  return dict;
}

bool read_by_number(const Value* value, TensorsByBucket& tensors) {
  const Dict* const dict = value == nullptr ? nullptr : value->get<Dict>();
  if (dict == nullptr) return false;
  for (const auto& [key, item] : *dict) {
    const int64_t* const bucket = key.get<int64_t>();
    const at::Tensor* const tensor = item.get<at::Tensor>();
    if (bucket == nullptr || tensor == nullptr || tensor->dim() != 1) return false;
    tensors[*bucket] = tensor->clone();
  }
  return true;
}

}  // namespace

// Each bucket's first matrices are sent as soon as its gradients are there. Their answers are only looked at when the
// last bucket has been sent: so all ranks start their collectives in one order, and the thread that waits is never one
// that has to work for what is waited for.
class PowerSgd::Hook : public c10d::CommHookInterface {
 public:
  Hook(std::shared_ptr<ProcessGroup> group, const PowerSgdOptions& options)
      : group_(std::move(group)), options_(options), seeds_(options.random_seed) {}

  GradientFuture runHook(c10d::GradBucket& bucket) override {
    const at::NoGradGuard no_grad;
    if (bucket.getIndex() == 0) travelling_.clear();  // what a failed step has left
    if (iter_ < options_.start_power_sgd_iter) {
      if (bucket.isLast()) ++iter_;
      return average(bucket.getBuffer());
    }
    Travelling& sent = travelling_.emplace_back(prepared(bucket));
    const GradientFuture done = sent.done;
    for (LowRank& item : sent.compressed) at::bmm_out(item.p, item.gradient, item.q);
    sent.work = start_sum(*group_, sent.sent_first);
    if (bucket.isLast()) finish_step();
    return done;
  }
  at::Tensor parseHookResult(const c10::IValue& result) override { return result.toTensor(); }

  std::pair<int64_t, int64_t> compression() const { return {numbers_, numbers_sent_}; }

  Value state_dict() const {
    return Dict{{"iter", iter_},
                {"seeds_drawn", seeds_.drawn()},
                {"error_dict", by_number(errors_)},
                {"q_memory_dict", by_number(qs_)}};
  }

  Status load_state_dict(const Value& state) {
    const auto refused = [](const char* entry) {
      return Error{ErrorKind::kUser, std::string("PowerSGD's state: ") + entry + " is missing or damaged"};
    };
    const auto count = [&state](const char* name) -> std::optional<int64_t> {
      const Value* const value = state.find(name);
      const int64_t* const number = value == nullptr ? nullptr : value->get<int64_t>();
      return number != nullptr && *number >= 0 ? std::optional(*number) : std::nullopt;
    };
    const auto iter = count("iter"), drawn = count("seeds_drawn");
    TensorsByBucket errors, qs;
    if (!iter) return refused("iter");
    // More than one a bucket and step cannot have been drawn, give or take those that were rejected.
    if (!drawn || *drawn > int64_t{1} << 32) return refused("seeds_drawn");
    if (!read_by_number(state.find("error_dict"), errors)) return refused("error_dict");
    if (!read_by_number(state.find("q_memory_dict"), qs)) return refused("q_memory_dict");
    iter_ = *iter;
    seeds_.continue_at(*drawn);
    errors_ = std::move(errors);
    qs_ = std::move(qs);
    return ok_status();
  }

 private:
  GradientFuture average(at::Tensor gradients) {
    gradients.div_(group_->world_size());
    std::vector<at::Tensor> tensors{gradients};
    return group_->c10d_group()->allreduce(tensors)->getFuture()->then(
        [gradients](c10::ivalue::Future& done) -> c10::IValue {
          done.value();  // throws what the collective threw
          return gradients;
        },
        c10::TensorType::get());
  }

  // The bucket with last step's error, the memory of its matrices, and their beginning.
  Travelling prepared(c10d::GradBucket& bucket) {
    Travelling made;
    made.bucket = static_cast<int64_t>(bucket.getIndex());
    made.result = bucket.getBuffer();
    std::vector<c10::Device> devices;
    if (!made.result.is_cpu()) devices.push_back(made.result.device());
    made.done = c10::make_intrusive<c10::ivalue::Future>(c10::TensorType::get(), devices);
    if (options_.batched) {
      const auto side = static_cast<int64_t>(std::ceil(std::sqrt(static_cast<double>(made.result.numel()))));
      made.padded = at::zeros({side * side}, made.result.options());
      made.padded.narrow(0, 0, made.result.numel()).copy_(made.result);
    }
    if (options_.use_error_feedback) {
      at::Tensor gradients = options_.batched ? made.padded : made.result;
      if (const auto error = errors_.find(made.bucket); error != errors_.end()) {
        TORCH_CHECK(error->second.numel() == gradients.numel(), "PowerSGD's state is of a bucket with ",
                    error->second.numel(), " gradients, and bucket ", made.bucket, " has ", gradients.numel());
        gradients.add_(error->second);
      }
      made.wanted = gradients.clone();
    }
    divide(bucket, made);
    return made;
  }

  // Which gradients are compressed, and where each one's matrices lie. Those of one shape follow each other, as in
  // Python: the random numbers are drawn in this order.
  void divide(c10d::GradBucket& bucket, Travelling& made) {
    std::vector<std::pair<c10::IntArrayRef, std::vector<at::Tensor>>> by_shape;
    int64_t whole_size = 0, p_size = 0, q_size = 0;
    const auto compress = [&](const at::Tensor& matrix, int64_t rank) {
      auto shape = std::find_if(by_shape.begin(), by_shape.end(),
                                [&](const auto& entry) { return entry.first == matrix.sizes(); });
      if (shape == by_shape.end()) shape = by_shape.insert(shape, {matrix.sizes(), {}});
      shape->second.push_back(matrix);
      p_size += matrix.size(0) * rank;
      q_size += matrix.size(1) * rank;
    };
    if (options_.batched) {
      const auto side = static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(made.padded.numel()))));
      compress(made.padded.view({side, side}), rank_of(side, side));
    } else {
      for (const at::Tensor& gradient : bucket.getGradients()) {
        const int64_t rows = gradient.dim() == 0 ? 1 : gradient.size(0);
        const int64_t columns = rows == 0 ? 0 : gradient.numel() / rows;
        const int64_t rank = rank_of(rows, columns);
        const auto shortened = static_cast<double>((rows + columns) * rank);
        if (shortened * options_.min_compression_rate < static_cast<double>(rows * columns)) {
          compress(gradient.view({rows, columns}), rank);
        } else {
          made.whole.push_back(gradient);
          whole_size += gradient.numel();
        }
      }
    }
    numbers_ += made.result.numel();
    numbers_sent_ += whole_size + p_size + q_size;
    made.sent_first = at::empty({whole_size + p_size}, made.result.options());
    int64_t begin = 0;
    for (const at::Tensor& gradient : made.whole) {
      made.sent_first.narrow(0, begin, gradient.numel()).copy_(gradient.reshape({-1}));
      begin += gradient.numel();
    }
    const bool random = !options_.warm_start || !qs_.contains(made.bucket);
    made.sent_second = random ? at::empty({q_size}, made.result.options()) : qs_[made.bucket];
    TORCH_CHECK(made.sent_second.numel() == q_size, "PowerSGD's state has matrices of ", made.sent_second.numel(),
                " numbers for bucket ", made.bucket, ", which needs ", q_size);
    if (options_.warm_start) qs_[made.bucket] = made.sent_second;
    int64_t q_begin = 0;
    for (const auto& [shape, matrices] : by_shape) {
      for (const at::Tensor& matrix : matrices) {
        const int64_t rows = matrix.size(0), columns = matrix.size(1), rank = rank_of(rows, columns);
        LowRank& item = made.compressed.emplace_back();
        item.gradient = matrix.unsqueeze(0);
        item.p = made.sent_first.narrow(0, begin, rows * rank).view({1, rows, rank});
        item.q = made.sent_second.narrow(0, q_begin, columns * rank).view({1, columns, rank});
        begin += rows * rank;
        q_begin += columns * rank;
      }
    }
    // Equal on all ranks, another one at every step, and apart from the program's own random numbers.
    at::Generator generator;
    if (random) generator = at::detail::createCPUGenerator(seeds_.next());
    for (const LowRank& item : made.compressed) {
      if (random) item.q.copy_(at::randn(item.q.sizes(), generator, item.q.options().device(at::kCPU)));
      orthogonalize(item.q, epsilon());
    }
  }

  void finish_step() {
    const int world = group_->world_size();
    for (Travelling& bucket : travelling_) {
      finish(bucket.work);
      int64_t begin = 0;
      for (const at::Tensor& gradient : bucket.whole) {
        gradient.copy_(bucket.sent_first.narrow(0, begin, gradient.numel()).div_(world).view(gradient.sizes()));
        begin += gradient.numel();
      }
      for (LowRank& item : bucket.compressed) {
        orthogonalize(item.p, epsilon());
        at::bmm_out(item.q, item.gradient.transpose(1, 2), item.p);
      }
      bucket.work = start_sum(*group_, bucket.sent_second);
    }
    for (Travelling& bucket : travelling_) {
      finish(bucket.work);
      bucket.sent_second.div_(world);
      for (LowRank& item : bucket.compressed) at::bmm_out(item.gradient, item.p, item.q.transpose(1, 2));
      const at::Tensor& arrived = options_.batched ? bucket.padded : bucket.result;
      if (options_.use_error_feedback) errors_[bucket.bucket] = bucket.wanted.sub_(arrived);
      if (options_.batched) bucket.result.copy_(bucket.padded.narrow(0, 0, bucket.result.numel()));
      bucket.done->markCompleted(bucket.result);
    }
    travelling_.clear();
    ++iter_;
  }

  int64_t rank_of(int64_t rows, int64_t columns) const {
    return std::min({rows, columns, options_.matrix_approximation_rank});
  }
  double epsilon() const { return options_.batched ? 0 : options_.orthogonalization_epsilon; }

  std::shared_ptr<ProcessGroup> group_;
  PowerSgdOptions options_;
  MatrixSeeds seeds_;
  int64_t iter_ = 0;
  int64_t numbers_ = 0, numbers_sent_ = 0;
  TensorsByBucket errors_, qs_;
  std::vector<Travelling> travelling_;  // of the step under way
};

PowerSgd::PowerSgd(std::shared_ptr<ProcessGroup> group, const PowerSgdOptions& options) {
  if (options.matrix_approximation_rank < 1) {
    throw std::invalid_argument("PowerSGD: matrix_approximation_rank is at least 1");
  }
  if ((options.use_error_feedback || options.warm_start) && options.start_power_sgd_iter <= 1) {
    throw std::invalid_argument("PowerSGD: start_power_sgd_iter is at least 2 with use_error_feedback or warm_start");
  }
  hook_ = std::make_shared<Hook>(std::move(group), options);
}

CommHook PowerSgd::hook() const { return hook_; }
std::pair<int64_t, int64_t> PowerSgd::compression() const { return hook_->compression(); }
Value PowerSgd::state_dict() const { return hook_->state_dict(); }
Status PowerSgd::load_state_dict(const Value& state) { return hook_->load_state_dict(state); }

}  // namespace ferrun::ddp
