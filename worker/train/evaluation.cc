#include "worker/train/evaluation.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include <future>
#include <string>
#include <utility>

#include "ferrun/client.h"
#include "worker/ddp/autocast.h"
#include "worker/train/batch_feed.h"

namespace ferrun::train {
namespace {

at::Tensor forward(model::EmotionNet& model, const at::Tensor& pixels, const Arithmetic& arithmetic) {
  const ddp::AutocastGuard autocast(arithmetic.device.device.type(), arithmetic.autocast.value_or(at::kBFloat16),
                                    arithmetic.autocast.has_value());
  return model->forward(pixels);
}

// Whether any rank was asked to stop, one batch late: the question travels while the batch is computed.
class StopQuestion {
 public:
  explicit StopQuestion(ddp::ProcessGroup& group) : group_(group), flag_(at::zeros({1}, at::kDouble)) {}

  void ask() {
    *flag_.mutable_data_ptr<double>() = client::noted_stop_signal() != 0 ? 1.0 : 0.0;
    answer_ = group_.start_all_reduce_sum(flag_);
  }
  bool answered_yes() {
    answer_();
    return *flag_.const_data_ptr<double>() > 0.0;
  }

 private:
  ddp::ProcessGroup& group_;
  at::Tensor flag_;
  ddp::Wait answer_;
};

// All ranks' numbers in one message: the sums, then the confusions, which doubles hold exactly up to 2^53.
Evaluation sum_over_ranks(const at::Tensor& own, ddp::ProcessGroup& group) {
  at::Tensor numbers = own.to(at::kCPU);
  group.all_reduce_sum(numbers);
  const double* const values = numbers.const_data_ptr<double>();
  Evaluation all;
  all.sums = {values[0], values[1], values[2]};
  for (int64_t i = 3; i < numbers.numel(); ++i) all.confusion.push_back(static_cast<int64_t>(values[i]));
  return all;
}

}  // namespace

at::Tensor batch_numbers(const at::Tensor& logits, const at::Tensor& targets) {
  const at::NoGradGuard no_grad;
  const auto doubles = logits.options().dtype(at::kDouble);
  const int64_t count = targets.numel();
  if (count == 0) return at::zeros({3}, doubles);
  const at::Tensor seen = logits.detach().to(at::kFloat);
  return at::stack({at::cross_entropy_loss(seen, targets, {}, at::Reduction::None).sum(at::kDouble),
                    seen.argmax(1).eq(targets).sum().to(at::kDouble),
                    at::full({}, static_cast<double>(count), doubles)});
}

at::Tensor forward_in_parts(model::EmotionNet& model, const at::Tensor& pixels, int threads) {
  if (threads <= 1 || pixels.size(0) < threads) return model->forward(pixels);
  const std::vector<at::Tensor> parts = pixels.chunk(threads, 0);
  at::set_num_threads(1);
  // Without a policy: a thread that the system refuses is done without.
  std::vector<std::future<at::Tensor>> others;
  const auto compute = [&model](const at::Tensor& part) {
    at::init_num_threads();
    const at::NoGradGuard no_grad;
    return model->forward(part);
  };
  for (size_t i = 1; i < parts.size(); ++i) others.push_back(std::async(compute, parts[i]));
  std::vector<at::Tensor> logits{compute(parts[0])};
  for (auto& other : others) logits.push_back(other.get());
  at::set_num_threads(threads);
  return at::cat(logits);
}

Result<Evaluation> evaluate(model::EmotionNet& model, ShardedLoader& loader, const Arithmetic& arithmetic,
                            ddp::ProcessGroup& group, const char* what) {
  const at::NoGradGuard no_grad;
  model->eval();
  BatchFeed feed(loader, arithmetic.device, arithmetic.channels_last);
  feed.start(0);
  StopQuestion stop(group);
  const int64_t classes = loader.classes();
  // The sums and the confusions, on the device until the end: no batch waits for them.
  const at::Tensor sums =
      at::zeros({3 + classes * classes}, at::TensorOptions(at::kDouble).device(arithmetic.device.device));
  for (int64_t number = 0; number < loader.batches(); ++number) {
    group.set_activity(std::string(what) + ", step " + std::to_string(number + 1));
    stop.ask();
    const Result<BatchFeed::Batch> batch = feed.next();
    if (!batch) return batch.error();
    if (!batch->labels.empty()) {
      const BatchTensors& tensors = batch->tensors;
      const at::Tensor logits = forward(model, tensors.pixels, arithmetic);
      sums.narrow(0, 0, 3).add_(batch_numbers(logits, tensors.targets));
      const at::Tensor cells = tensors.targets.mul(classes).add_(logits.argmax(1)).add_(3);
      sums.scatter_add_(0, cells, at::ones(cells.sizes(), sums.options()));
    }
    if (stop.answered_yes()) {
      Evaluation unfinished;
      unfinished.stopped = true;
      return unfinished;
    }
  }
  Evaluation evaluation = sum_over_ranks(sums, group);
  if (evaluation.sums.count == 0) {
    return Error{ErrorKind::kUser, std::string(what) + ": none of " + std::to_string(loader.size()) +
                                       " pictures could be read" + first_reason(loader)};
  }
  return evaluation;
}

}  // namespace ferrun::train
