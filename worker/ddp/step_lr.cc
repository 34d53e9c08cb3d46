#include "worker/ddp/step_lr.h"

#include <c10/util/Exception.h>

#include <cmath>
#include <utility>

#include "worker/ddp/state_fields.h"

namespace ferrun::ddp {

using checkpoint::Dict;
using checkpoint::Value;

StepLr::StepLr(GroupRates initial_lrs, int64_t step_size, double gamma)
    : ChainableLr(std::move(initial_lrs)), step_size_(step_size), gamma_(gamma) {
  TORCH_CHECK(step_size >= 1, "StepLR's step_size cannot be ", step_size);
}

double StepLr::next_lr(size_t group) const {
  return last_epoch_ > 0 && last_epoch_ % step_size_ == 0 ? lrs_[group] * gamma_ : lrs_[group];
}

Dict StepLr::hyperparameters() const { return {{"step_size", step_size_}, {"gamma", gamma_}}; }

bool StepLr::load_hyperparameters(const Value& state) {
  const auto step_size = integer(state, "step_size");
  const auto gamma = number(state, "gamma");
  if (!step_size || *step_size < 1 || !gamma) return false;
  step_size_ = *step_size;
  gamma_ = *gamma;
  return true;
}

MultiStepLr::MultiStepLr(GroupRates initial_lrs, const std::vector<int64_t>& milestones, double gamma)
    : ChainableLr(std::move(initial_lrs)), gamma_(gamma) {
  for (const int64_t milestone : milestones) ++milestones_[milestone];
  MultiStepLr::enter();
}

double MultiStepLr::next_lr(size_t group) const {
  const auto found = milestones_.find(last_epoch_);
  if (found == milestones_.end()) return lrs_[group];
  return lrs_[group] * std::pow(gamma_, static_cast<double>(found->second));
}

void MultiStepLr::enter() {
  last_epoch_ = 0;
  for (size_t group = 0; group < lrs_.size(); ++group) lrs_[group] = next_lr(group);
}

void MultiStepLr::begin() {
  lrs_ = initial_lrs_;
  enter();
}

Dict MultiStepLr::hyperparameters() const {
  Dict milestones;
  for (const auto& [milestone, times] : milestones_) milestones.emplace_back(milestone, times);
  return {{"milestones", std::move(milestones)}, {"gamma", gamma_}};
}

bool MultiStepLr::load_hyperparameters(const Value& state) {
  const Value* const saved = state.find("milestones");
  const Dict* const entries = saved == nullptr ? nullptr : saved->get<Dict>();
  const auto gamma = number(state, "gamma");
  if (entries == nullptr || !gamma) return false;
  std::map<int64_t, int64_t> milestones;
  for (const auto& [milestone, times] : *entries) {
    const int64_t* const epoch = milestone.get<int64_t>();
    const int64_t* const count = times.get<int64_t>();
    if (epoch == nullptr || count == nullptr) return false;
    milestones[*epoch] = *count;
  }
  milestones_ = std::move(milestones);
  gamma_ = *gamma;
  return true;
}

Dict ExponentialLr::hyperparameters() const { return {{"gamma", gamma_}}; }

bool ExponentialLr::load_hyperparameters(const Value& state) {
  const auto gamma = number(state, "gamma");
  if (gamma) gamma_ = *gamma;
  return gamma.has_value();
}

}  // namespace ferrun::ddp
