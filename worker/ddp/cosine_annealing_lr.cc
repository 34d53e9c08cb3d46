#include "worker/ddp/cosine_annealing_lr.h"

#include <c10/util/Exception.h>

#include <cmath>
#include <numbers>

#include "worker/ddp/state_fields.h"

namespace ferrun::ddp {

using checkpoint::Dict;
using checkpoint::Value;

CosineAnnealingLr::CosineAnnealingLr(GroupRates initial_lrs, CosineAnnealingLrOptions options)
    : ChainableLr(std::move(initial_lrs)), options_(options) {
  TORCH_CHECK(options.t_max >= 1, "CosineAnnealingLR's T_max cannot be ", options.t_max);
}

double CosineAnnealingLr::next_lr(size_t group) const {
  const double pi = std::numbers::pi, eta_min = options_.eta_min, lr = lrs_[group];
  const auto t_max = static_cast<double>(options_.t_max);
  if ((last_epoch_ - 1 - options_.t_max) % (2 * options_.t_max) == 0) {
    TORCH_CHECK(group < initial_lrs_.size(), "CosineAnnealingLR cannot rise again after its T_max of ", options_.t_max,
                " epochs: group ", group, " was added to the optimizer and has no initial rate");
    return lr + (initial_lrs_[group] - eta_min) * (1 - std::cos(pi / t_max)) / 2;
  }
  const auto epoch = static_cast<double>(last_epoch_);
  return (1 + std::cos(pi * epoch / t_max)) / (1 + std::cos(pi * (epoch - 1) / t_max)) * (lr - eta_min) + eta_min;
}

// The closed form at epoch 0, as SequentialLR has it; with eta_min it rounds.
void CosineAnnealingLr::begin() {
  last_epoch_ = 0;
  for (size_t group = 0; group < lrs_.size(); ++group) {
    lrs_[group] = options_.eta_min + (initial_lrs_[group] - options_.eta_min) * (1 + std::cos(0.0)) / 2;
  }
}

Dict CosineAnnealingLr::hyperparameters() const { return {{"T_max", options_.t_max}, {"eta_min", options_.eta_min}}; }

bool CosineAnnealingLr::load_hyperparameters(const Value& state) {
  const auto t_max = integer(state, "T_max");
  const auto eta_min = number(state, "eta_min");
  if (!t_max || *t_max < 1 || !eta_min) return false;
  options_ = {*t_max, *eta_min};
  return true;
}

CosineAnnealingWarmRestarts::CosineAnnealingWarmRestarts(GroupRates initial_lrs,
                                                         CosineAnnealingWarmRestartsOptions options)
    : ChainableLr(std::move(initial_lrs)), options_(options), t_i_(options.t_0) {
  TORCH_CHECK(options.t_0 >= 1 && options.t_mult >= 1, "CosineAnnealingWarmRestarts needs epochs");
  CosineAnnealingWarmRestarts::enter();
}

double CosineAnnealingWarmRestarts::next_lr(size_t group) const {
  const double turn = std::numbers::pi * static_cast<double>(t_cur_) / static_cast<double>(t_i_);
  return options_.eta_min + (initial_lrs_[group] - options_.eta_min) * (1 + std::cos(turn)) / 2;
}

void CosineAnnealingWarmRestarts::enter() {
  last_epoch_ = t_cur_ = 0;
  t_i_ = options_.t_0;
  for (size_t group = 0; group < lrs_.size(); ++group) lrs_[group] = next_lr(group);
}

void CosineAnnealingWarmRestarts::step(double metric) {
  if (++t_cur_ >= t_i_) {
    t_cur_ %= t_i_;
    t_i_ *= options_.t_mult;
  }
  ChainableLr::step(metric);
}

void CosineAnnealingWarmRestarts::continue_at(int64_t epoch, double lr) {
  t_cur_ = epoch;
  t_i_ = options_.t_0;
  while (t_cur_ >= t_i_) {
    t_cur_ -= t_i_;
    t_i_ *= options_.t_mult;
  }
  ChainableLr::continue_at(epoch, lr);
}

// PyTorch's does not count its steps.
Value CosineAnnealingWarmRestarts::state_dict() const {
  Value state = ChainableLr::state_dict();
  *state.find("_step_count") = 0;
  return state;
}

Dict CosineAnnealingWarmRestarts::hyperparameters() const {
  return {{"T_0", options_.t_0},
          {"T_i", t_i_},
          {"T_mult", options_.t_mult},
          {"eta_min", options_.eta_min},
          {"T_cur", t_cur_}};
}

bool CosineAnnealingWarmRestarts::load_hyperparameters(const Value& state) {
  const auto t_0 = integer(state, "T_0"), t_i = integer(state, "T_i"), t_mult = integer(state, "T_mult"),
             t_cur = integer(state, "T_cur");
  const auto eta_min = number(state, "eta_min");
  if (!t_0 || *t_0 < 1 || !t_i || *t_i < 1 || !t_mult || *t_mult < 1 || !t_cur || *t_cur < 0 || !eta_min) return false;
  options_ = {*t_0, *t_mult, *eta_min};
  t_i_ = *t_i;
  t_cur_ = *t_cur;
  return true;
}

}  // namespace ferrun::ddp
