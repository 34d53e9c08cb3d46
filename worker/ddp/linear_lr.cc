#include "worker/ddp/linear_lr.h"

#include <c10/util/Exception.h>

#include <cmath>

#include "worker/ddp/state_fields.h"

namespace ferrun::ddp {

using checkpoint::Dict;
using checkpoint::List;
using checkpoint::Value;

namespace {

// Of functions Python's state has their number alone.
Value with_lambdas(Value state, size_t functions) {
  state.get<Dict>()->emplace_back("lr_lambdas", List(functions));
  return state;
}

bool has_lambdas(const Value& state, size_t functions) {
  const List* const saved = items(state.find("lr_lambdas"));
  return saved != nullptr && saved->size() == functions;
}

}  // namespace

ConstantLr::ConstantLr(GroupRates initial_lrs, double factor, int64_t total_iters)
    : ChainableLr(std::move(initial_lrs)), factor_(factor), total_iters_(total_iters) {
  TORCH_CHECK(factor > 0 && factor <= 1, "ConstantLR's factor cannot be ", factor);
  ConstantLr::enter();
}

double ConstantLr::next_lr(size_t group) const {
  return last_epoch_ == total_iters_ ? lrs_[group] * (1.0 / factor_) : lrs_[group];
}

void ConstantLr::enter() {
  last_epoch_ = 0;
  for (double& lr : lrs_) lr *= factor_;
}

void ConstantLr::begin() {
  last_epoch_ = 0;
  const double share = factor_ + (total_iters_ <= 0 ? 1 : 0) * (1 - factor_);
  for (size_t group = 0; group < lrs_.size(); ++group) lrs_[group] = initial_lrs_[group] * share;
}

Dict ConstantLr::hyperparameters() const { return {{"factor", factor_}, {"total_iters", total_iters_}}; }

bool ConstantLr::load_hyperparameters(const Value& state) {
  const auto factor = number(state, "factor");
  const auto total_iters = integer(state, "total_iters");
  if (!factor || !(*factor > 0) || !total_iters) return false;
  factor_ = *factor;
  total_iters_ = *total_iters;
  return true;
}

LinearLr::LinearLr(GroupRates initial_lrs, double start_factor, double end_factor, int64_t total_iters)
    : ChainableLr(std::move(initial_lrs)),
      start_factor_(start_factor),
      end_factor_(end_factor),
      total_iters_(total_iters) {
  TORCH_CHECK(start_factor > 0 && start_factor <= 1, "LinearLR's start_factor cannot be ", start_factor);
  TORCH_CHECK(end_factor >= 0 && end_factor <= 1, "LinearLR's end_factor cannot be ", end_factor);
  TORCH_CHECK(total_iters >= 1, "LinearLR's total_iters cannot be ", total_iters);
  LinearLr::enter();
}

double LinearLr::next_lr(size_t group) const {
  if (last_epoch_ > total_iters_) return lrs_[group];
  const double rise = end_factor_ - start_factor_;
  const auto epochs = static_cast<double>(total_iters_), before = static_cast<double>(last_epoch_ - 1);
  return lrs_[group] * (1.0 + rise / (epochs * start_factor_ + before * rise));
}

void LinearLr::enter() {
  last_epoch_ = 0;
  for (double& lr : lrs_) lr *= start_factor_;
}

void LinearLr::begin() {
  lrs_ = initial_lrs_;
  enter();
}

Dict LinearLr::hyperparameters() const {
  return {{"start_factor", start_factor_}, {"end_factor", end_factor_}, {"total_iters", total_iters_}};
}

bool LinearLr::load_hyperparameters(const Value& state) {
  const auto start_factor = number(state, "start_factor"), end_factor = number(state, "end_factor");
  const auto total_iters = integer(state, "total_iters");
  if (!start_factor || !(*start_factor > 0) || !end_factor || !total_iters || *total_iters < 1) return false;
  start_factor_ = *start_factor;
  end_factor_ = *end_factor;
  total_iters_ = *total_iters;
  return true;
}

PolynomialLr::PolynomialLr(GroupRates initial_lrs, int64_t total_iters, double power)
    : ChainableLr(std::move(initial_lrs)), total_iters_(total_iters), power_(power) {
  TORCH_CHECK(power >= 0, "PolynomialLR's power cannot be ", power);
}

double PolynomialLr::next_lr(size_t group) const {
  if (last_epoch_ > total_iters_) return lrs_[group];
  const auto epoch = static_cast<double>(last_epoch_), epochs = static_cast<double>(total_iters_);
  return lrs_[group] * std::pow((1.0 - epoch / epochs) / (1.0 - (epoch - 1) / epochs), power_);
}

Dict PolynomialLr::hyperparameters() const { return {{"total_iters", total_iters_}, {"power", power_}}; }

bool PolynomialLr::load_hyperparameters(const Value& state) {
  const auto total_iters = integer(state, "total_iters");
  const auto power = number(state, "power");
  if (!total_iters || !power) return false;
  total_iters_ = *total_iters;
  power_ = *power;
  return true;
}

LambdaLr::LambdaLr(GroupRates initial_lrs, Function function)
    : LambdaLr(initial_lrs, std::vector<Function>(initial_lrs.size(), std::move(function))) {}

LambdaLr::LambdaLr(GroupRates initial_lrs, std::vector<Function> functions)
    : ChainableLr(std::move(initial_lrs)), functions_(std::move(functions)) {
  TORCH_CHECK(functions_.size() == lrs_.size(), "LambdaLR has ", functions_.size(), " functions for ", lrs_.size(),
              " parameter groups");
  LambdaLr::enter();
}

void LambdaLr::enter() {
  last_epoch_ = 0;
  for (size_t group = 0; group < lrs_.size(); ++group) lrs_[group] = next_lr(group);
}

Value LambdaLr::state_dict() const { return with_lambdas(ChainableLr::state_dict(), functions_.size()); }

bool LambdaLr::load_hyperparameters(const Value& state) { return has_lambdas(state, functions_.size()); }

MultiplicativeLr::MultiplicativeLr(GroupRates initial_lrs, Function function)
    : MultiplicativeLr(initial_lrs, std::vector<Function>(initial_lrs.size(), std::move(function))) {}

MultiplicativeLr::MultiplicativeLr(GroupRates initial_lrs, std::vector<Function> functions)
    : ChainableLr(std::move(initial_lrs)), functions_(std::move(functions)) {
  TORCH_CHECK(functions_.size() == lrs_.size(), "MultiplicativeLR has ", functions_.size(), " functions for ",
              lrs_.size(), " parameter groups");
}

// Unlike its first epoch alone, which leaves the rates as they are.
void MultiplicativeLr::begin() {
  last_epoch_ = 0;
  for (size_t group = 0; group < lrs_.size(); ++group) lrs_[group] = next_lr(group);
}

Value MultiplicativeLr::state_dict() const { return with_lambdas(ChainableLr::state_dict(), functions_.size()); }

bool MultiplicativeLr::load_hyperparameters(const Value& state) { return has_lambdas(state, functions_.size()); }

}  // namespace ferrun::ddp
