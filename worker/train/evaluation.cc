#include "worker/train/evaluation.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/zeros.h>

#include <future>
#include <string>
#include <utility>

#include "worker/ddp/autocast.h"
#include "worker/train/batch_tensors.h"
#include "worker/train/stop_request.h"

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
    *flag_.mutable_data_ptr<double>() = noted_stop_signal() != 0 ? 1.0 : 0.0;
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
void sum_over_ranks(Evaluation& own, ddp::ProcessGroup& group) {
  const auto cells = static_cast<int64_t>(own.confusion.size());
  at::Tensor numbers = at::zeros({3 + cells}, at::kDouble);
  double* const values = numbers.mutable_data_ptr<double>();
  values[0] = own.sums.loss;
  values[1] = own.sums.correct;
  values[2] = own.sums.count;
  for (int64_t i = 0; i < cells; ++i) values[3 + i] = static_cast<double>(own.confusion[static_cast<size_t>(i)]);
  group.all_reduce_sum(numbers);
  own.sums = {values[0], values[1], values[2]};
  for (int64_t i = 0; i < cells; ++i) own.confusion[static_cast<size_t>(i)] = static_cast<int64_t>(values[3 + i]);
}

}  // namespace

SampleSums batch_sums(const at::Tensor& logits, const at::Tensor& targets) {
  const at::NoGradGuard no_grad;
  const int64_t count = targets.numel();
  if (count == 0) return {};
  const at::Tensor seen = logits.detach().to(at::kFloat);
  return {at::cross_entropy_loss(seen, targets, {}, at::Reduction::None).sum(at::kDouble).item<double>(),
          static_cast<double>(seen.argmax(1).eq(targets).sum().item<int64_t>()), static_cast<double>(count)};
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
  loader.start(0);
  Evaluation evaluation;
  StopQuestion stop(group);
  const int64_t classes = loader.classes();
  evaluation.confusion.resize(static_cast<size_t>(classes * classes));
  for (int64_t number = 0; number < loader.batches(); ++number) {
    group.set_activity(std::string(what) + ", step " + std::to_string(number + 1));
    stop.ask();
    Result<data::Batch> batch = loader.next();
    if (!batch) return batch.error();
    if (!batch->labels.empty()) {
      const std::vector<int64_t> labels = batch->labels;
      const BatchTensors tensors = to_tensors(std::move(*batch), arithmetic.channels_last, arithmetic.device.device);
      const at::Tensor logits = forward(model, tensors.pixels, arithmetic);
      evaluation.sums += batch_sums(logits, tensors.targets);
      const at::Tensor chosen = logits.argmax(1).to(at::kCPU).contiguous();
      for (size_t i = 0; i < labels.size(); ++i) {
        ++evaluation.confusion[static_cast<size_t>(labels[i] * classes + chosen.const_data_ptr<int64_t>()[i])];
      }
    }
    if (stop.answered_yes()) {
      evaluation.stopped = true;
      return evaluation;
    }
  }
  sum_over_ranks(evaluation, group);
  if (evaluation.sums.count == 0) {
    return Error{ErrorKind::kUser, std::string(what) + ": none of " + std::to_string(loader.size()) +
                                       " pictures could be read" + first_reason(loader)};
  }
  return evaluation;
}

}  // namespace ferrun::train
