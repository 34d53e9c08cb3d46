// Averages of a module's weights: torch.optim.swa_utils' AveragedModel, SWALR and update_bn, with its numbers, bit for
// bit, and its state_dict.
//
//   ddp::AveragedModel average(*net.module());                  // stochastic weight averaging: the plain mean
//   ddp::ExponentialMovingAverage ema(*net.module(), 0.999);    // get_ema_multi_avg_fn(0.999), use_buffers=True
//   average.update();                                           // after an optimizer step
//   { const auto swapped = average.in_module(); evaluate(net); }
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/result.h"
#include "worker/checkpoint/value.h"
#include "worker/ddp/chainable_lr.h"

namespace ferrun::ddp {

struct AveragedModelOptions {
  // The part of the average that stays in an update, between 0 and 1: an exponential moving average. Nothing: the mean
  // of all updates.
  std::optional<double> decay = std::nullopt;
  // Averages buffers too; in a mean on a GPU those of integers are the module's last. False: all of them are.
  bool use_buffers = false;
};

// Shares the module's parameters and buffers, which must keep their shapes and places; holds as much memory again.
// Equal on all ranks when the weights and buffers are (with DDP the buffers are rank 0's). Not thread-safe.
class AveragedModel {
 public:
  explicit AveragedModel(const torch::nn::Module& module, const AveragedModelOptions& options = {});

  // After an optimizer step: average = decay × average + (1 - decay) × weights, or the mean; the first time, the
  // weights themselves.
  void update();

  // Within the scope of the result the module has the averages, and this object the weights: for an evaluation, for
  // update_bn, or to save a model that is used as it is. No update meanwhile, and no second such
  // scope.
  class Swapped {
   public:
    explicit Swapped(AveragedModel& average);
    ~Swapped() { average_.swap(); }
    Swapped(const Swapped&) = delete;
    Swapped& operator=(const Swapped&) = delete;

   private:
    AveragedModel& average_;
  };
  [[nodiscard]] Swapped in_module() { return Swapped(*this); }

  int64_t updates() const { return updates_; }

  // AveragedModel's: n_averaged, and each entry of the module's state_dict with "module." before its name. The tensors
  // are this object's own: save them before the next update. The decay is not part of it, as in Python.
  checkpoint::Value state_dict() const;
  // All or nothing; the error names the entry that is missing or does not fit.
  Status load_state_dict(const checkpoint::Value& state);

 protected:
  AveragedModelOptions options_;

 private:
  struct Entry {
    std::string name;
    at::Tensor weight;  // the module's
    at::Tensor average;
    bool averaged;
    bool again;  // another name of a tensor that is there: the average is that one's
  };
  void swap();

  int64_t updates_ = 0;
  bool swapped_ = false;
  std::vector<Entry> entries_;
};

// Of parameters and buffers.
class ExponentialMovingAverage : public AveragedModel {
 public:
  ExponentialMovingAverage(const torch::nn::Module& module, double decay)
      : AveragedModel(module, {.decay = decay, .use_buffers = true}) {}

  double decay() const { return *options_.decay; }
};

// From the rate that it finds to swa_lr within anneal_epochs, then constant: torch.optim.swa_utils.SWALR.
struct SwaLrOptions {
  GroupRates swa_lr = 0.05;  // one for all groups, or one for each
  int64_t anneal_epochs = 10;
  bool linear = false;  // anneal_strategy="linear" in place of "cos"
};

class SwaLr : public ChainableLr {
 public:
  SwaLr(GroupRates initial_lrs, SwaLrOptions options);

  std::string name() const override { return "SWALR"; }
  checkpoint::Dict group_entries(size_t group) const override;

 private:
  double anneal(double part) const;
  double next_lr(size_t group) const override;
  void enter() override;
  void begin() override { enter(); }
  checkpoint::Dict hyperparameters() const override;
  bool load_hyperparameters(const checkpoint::Value& state) override;

  SwaLrOptions options_;
};

// Sets the statistics of a module's BatchNorms back and, until it is destroyed, lets them take the mean over all
// batches that go through the module, which is in training mode meanwhile. Without any it does nothing.
class BatchNormStatistics {
 public:
  explicit BatchNormStatistics(torch::nn::Module& module);
  ~BatchNormStatistics();
  BatchNormStatistics(const BatchNormStatistics&) = delete;
  BatchNormStatistics& operator=(const BatchNormStatistics&) = delete;

  bool any() const { return !restore_.empty(); }

 private:
  torch::nn::Module& module_;
  bool was_training_;
  std::vector<std::function<void()>> restore_;
};

// torch.optim.swa_utils.update_bn: forward(batch) for every batch, without gradients, under BatchNormStatistics.
template <typename Batches, typename Forward>
void update_bn(torch::nn::Module& module, Batches&& batches, Forward&& forward) {
  const c10::NoGradGuard no_grad;
  const BatchNormStatistics statistics(module);
  if (!statistics.any()) return;
  for (auto& batch : batches) forward(batch);
}

}  // namespace ferrun::ddp
