#include "worker/ddp/cyclic_lr.h"

#include <c10/util/Exception.h>

#include <cmath>
#include <numbers>

#include "worker/ddp/state_fields.h"

namespace ferrun::ddp {
namespace {

using checkpoint::Dict;
using checkpoint::List;
using checkpoint::Value;

GroupRates divided(const GroupRates& rates, double divisor) {
  std::vector<double> quotients;
  for (const double rate : rates) quotients.push_back(rate / divisor);
  return quotients;
}

const char* mode_name(CyclicMode mode) {
  switch (mode) {
    case CyclicMode::kTriangular: return "triangular";
    case CyclicMode::kTriangular2: return "triangular2";
    case CyclicMode::kExpRange: return "exp_range";
  }
  return "";
}

}  // namespace

OneCycleLr::OneCycleLr(OneCycleLrOptions options)
    : ChainableLr(divided(options.max_lr, options.div_factor)), options_(std::move(options)) {
  TORCH_CHECK(options_.total_steps > 0, "OneCycleLR needs a number of steps");
  TORCH_CHECK(options_.pct_start >= 0 && options_.pct_start <= 1, "OneCycleLR's pct_start cannot be ",
              options_.pct_start);
  options_.base_momentum = for_groups(std::move(options_.base_momentum), lrs_.size(), "OneCycleLR's base_momentum");
  options_.max_momentum = for_groups(std::move(options_.max_momentum), lrs_.size(), "OneCycleLR's max_momentum");
  OneCycleLr::enter();
}

std::vector<OneCycleLr::Phase> OneCycleLr::phases() const {
  const auto steps = static_cast<double>(options_.total_steps);
  const double risen = options_.pct_start * steps - 1;
  const Phase rise{risen, Level::kInitial, Level::kMax, true, false};
  if (!options_.three_phase) return {rise, {steps - 1, Level::kMax, Level::kMin, false, true}};
  return {rise,
          {2 * options_.pct_start * steps - 2, Level::kMax, Level::kInitial, false, true},
          {steps - 1, Level::kInitial, Level::kMin, true, true}};
}

double OneCycleLr::lr_of(Level level, size_t group) const {
  switch (level) {
    case Level::kInitial: return initial_lrs_[group];
    case Level::kMax: return options_.max_lr[group];
    case Level::kMin: return initial_lrs_[group] / options_.final_div_factor;
  }
  return 0;
}

double OneCycleLr::anneal(double start, double end, double part) const {
  if (options_.linear) return (end - start) * part + start;
  return end + (start - end) / 2.0 * (std::cos(std::numbers::pi * part) + 1);
}

std::pair<OneCycleLr::Phase, double> OneCycleLr::place() const {
  const std::vector<Phase> all = phases();
  const auto step = static_cast<double>(last_epoch_);
  double start = 0;
  for (const Phase& phase : all) {
    if (step <= phase.end_step || &phase == &all.back()) {
      TORCH_CHECK(phase.end_step != start, "OneCycleLR with a pct_start of ", options_.pct_start, " has a phase of no ",
                  "step among its ", options_.total_steps);
      return {phase, (step - start) / (phase.end_step - start)};
    }
    start = phase.end_step;
  }
  return {};
}

void OneCycleLr::set_momentums() {
  if (!options_.cycle_momentum) return;
  const auto [phase, part] = place();
  momentums_.clear();
  for (size_t group = 0; group < lrs_.size(); ++group) {
    const double base = options_.base_momentum[group], max = options_.max_momentum[group];
    momentums_.push_back(anneal(phase.falls ? max : base, phase.rises ? max : base, part));
  }
}

double OneCycleLr::next_lr(size_t group) const {
  const auto [phase, part] = place();
  return anneal(lr_of(phase.start_lr, group), lr_of(phase.end_lr, group), part);
}

void OneCycleLr::enter() {
  last_epoch_ = -1;
  step();
}

void OneCycleLr::step(double metric) {
  TORCH_CHECK(last_epoch_ < options_.total_steps, "OneCycleLR has ", options_.total_steps, " steps, and no more");
  ChainableLr::step(metric);
  set_momentums();
}

Dict OneCycleLr::group_entries(size_t group) const {
  Dict entries = ChainableLr::group_entries(group);
  entries.emplace_back("max_lr", options_.max_lr[group]);
  entries.emplace_back("min_lr", lr_of(Level::kMin, group));
  if (options_.cycle_momentum) {
    entries.emplace_back("max_momentum", options_.max_momentum[group]);
    entries.emplace_back("base_momentum", options_.base_momentum[group]);
  }
  return entries;
}

Dict OneCycleLr::hyperparameters() const {
  const auto lr_name = [](Level level) {
    return level == Level::kInitial ? "initial_lr" : level == Level::kMax ? "max_lr" : "min_lr";
  };
  List saved;
  const std::vector<Phase> all = phases();
  for (const Phase& phase : all) {
    saved.push_back(Dict{{"end_step", &phase == &all.back() ? Value(options_.total_steps - 1) : Value(phase.end_step)},
                         {"start_lr", lr_name(phase.start_lr)},
                         {"end_lr", lr_name(phase.end_lr)},
                         {"start_momentum", phase.falls ? "max_momentum" : "base_momentum"},
                         {"end_momentum", phase.rises ? "max_momentum" : "base_momentum"}});
  }
  Dict state{{"total_steps", options_.total_steps},
             {"_schedule_phases", std::move(saved)},
             {"_anneal_func_type", options_.linear ? "linear" : "cos"},
             {"cycle_momentum", options_.cycle_momentum}};
  if (options_.cycle_momentum) state.emplace_back("use_beta1", options_.beta1);
  return state;
}

bool OneCycleLr::load_hyperparameters(const Value& state) {
  const auto total_steps = integer(state, "total_steps");
  if (!total_steps || *total_steps < 1) return false;
  const auto epoch = integer(state, "last_epoch");
  options_.total_steps = *total_steps;
  last_epoch_ = epoch.value_or(0);
  set_momentums();
  return true;
}

CyclicLr::CyclicLr(CyclicLrOptions options) : ChainableLr(options.base_lr), options_(std::move(options)) {
  TORCH_CHECK(options_.step_size_up > 0 && options_.max_lr.size() == options_.base_lr.size(),
              "CyclicLR needs steps up, and a highest rate for each lowest one");
  const auto up = static_cast<double>(options_.step_size_up);
  total_size_ = up + (options_.step_size_down > 0 ? static_cast<double>(options_.step_size_down) : up);
  step_ratio_ = up / total_size_;
  options_.base_momentum = for_groups(std::move(options_.base_momentum), lrs_.size(), "CyclicLR's base_momentum");
  options_.max_momentum = for_groups(std::move(options_.max_momentum), lrs_.size(), "CyclicLR's max_momentum");
  CyclicLr::enter();
}

double CyclicLr::height() const {
  const auto step = static_cast<double>(last_epoch_);
  const double cycle = std::floor(1 + step / total_size_);
  const double x = 1.0 + step / total_size_ - cycle;
  return x <= step_ratio_ ? x / step_ratio_ : (x - 1) / (step_ratio_ - 1);
}

double CyclicLr::next_lr(size_t group) const {
  const double rise = (options_.max_lr[group] - initial_lrs_[group]) * height();
  return initial_lrs_[group] + rise * scale();
}

double CyclicLr::scale() const {
  const auto step = static_cast<double>(last_epoch_);
  switch (options_.mode) {
    case CyclicMode::kTriangular: return 1.0;
    case CyclicMode::kTriangular2: return 1 / std::pow(2.0, std::floor(1 + step / total_size_) - 1);
    case CyclicMode::kExpRange: return std::pow(options_.gamma, step);
  }
  return 1.0;
}

void CyclicLr::set_momentums() {
  if (!options_.cycle_momentum) return;
  momentums_.clear();
  for (size_t group = 0; group < lrs_.size(); ++group) {
    const double fall = (options_.max_momentum[group] - options_.base_momentum[group]) * height();
    momentums_.push_back(options_.max_momentum[group] - fall * scale());
  }
}

Dict CyclicLr::group_entries(size_t group) const {
  Dict entries = ChainableLr::group_entries(group);
  if (options_.cycle_momentum) {
    entries.emplace_back("max_momentum", options_.max_momentum[group]);
    entries.emplace_back("base_momentum", options_.base_momentum[group]);
  }
  return entries;
}

void CyclicLr::enter() {
  last_epoch_ = -1;
  step();
}

void CyclicLr::step(double metric) {
  ChainableLr::step(metric);
  set_momentums();
}

Dict CyclicLr::hyperparameters() const {
  Dict state{{"max_lrs", number_list(options_.max_lr)},
             {"total_size", total_size_},
             {"step_ratio", step_ratio_},
             {"mode", mode_name(options_.mode)},
             {"gamma", options_.gamma},
             {"scale_mode", options_.mode == CyclicMode::kExpRange ? "iterations" : "cycle"},
             {"cycle_momentum", options_.cycle_momentum}};
  if (options_.cycle_momentum) {
    state.emplace_back("use_beta1", options_.beta1);
    state.emplace_back("base_momentums", number_list(options_.base_momentum));
    state.emplace_back("max_momentums", number_list(options_.max_momentum));
  }
  return state;
}

Value CyclicLr::state_dict() const {
  Value state = ChainableLr::state_dict();
  state.get<Dict>()->emplace_back("_scale_fn_custom", Value());
  return state;
}

bool CyclicLr::load_hyperparameters(const Value& state) {
  const auto max_lrs = group_numbers(state, "max_lrs", lrs_.size());
  const auto total_size = number(state, "total_size"), step_ratio = number(state, "step_ratio"),
             gamma = number(state, "gamma");
  const auto epoch = integer(state, "last_epoch");
  if (!max_lrs || !total_size || !step_ratio || !gamma || !epoch) return false;
  options_.max_lr = *max_lrs;
  total_size_ = *total_size;
  step_ratio_ = *step_ratio;
  options_.gamma = *gamma;
  last_epoch_ = *epoch;
  set_momentums();
  return true;
}

}  // namespace ferrun::ddp
