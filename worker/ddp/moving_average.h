// An exponential moving average of a module's weights, as torch.optim.swa_utils.AveragedModel keeps it with
// get_ema_multi_avg_fn(decay) and use_buffers=True: its numbers, bit for bit, and its state_dict.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "common/result.h"
#include "worker/checkpoint/value.h"

namespace ferrun::ddp {

// Shares the module's parameters and buffers, which must keep their shapes and places; holds as much memory again.
// Equal on all ranks when the weights and buffers are (with DDP the buffers are rank 0's). Not thread-safe.
class ExponentialMovingAverage {
 public:
  // `decay` between 0 and 1: the part of the average that stays in an update.
  ExponentialMovingAverage(const torch::nn::Module& module, double decay);

  // After an optimizer step: average = decay × average + (1 - decay) × weights; the first time, the weights themselves.
  void update();

  // Within the scope of the result the module has the averages, and this object the weights: for an evaluation, or to
  // save a model that is used as it is. No update meanwhile.
  class Swapped {
   public:
    explicit Swapped(ExponentialMovingAverage& average) : average_(average) { average_.swap(); }
    ~Swapped() { average_.swap(); }
    Swapped(const Swapped&) = delete;
    Swapped& operator=(const Swapped&) = delete;

   private:
    ExponentialMovingAverage& average_;
  };
  [[nodiscard]] Swapped in_module() { return Swapped(*this); }

  double decay() const { return decay_; }
  int64_t updates() const { return updates_; }

  // AveragedModel's: n_averaged, and each entry of the module's state_dict with "module." before its name. The tensors
  // are this object's own: save them before the next update. The decay is not part of it, as in Python.
  checkpoint::Value state_dict() const;
  // All or nothing; the error names the entry that is missing or does not fit.
  Status load_state_dict(const checkpoint::Value& state);

 private:
  struct Entry {
    std::string name;
    at::Tensor weight;  // the module's
    at::Tensor average;
  };
  void swap();

  double decay_;
  int64_t updates_ = 0;
  bool swapped_ = false;
  std::vector<Entry> entries_;
};

}  // namespace ferrun::ddp
