#include "worker/ddp/moving_average.h"

#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/scalar_tensor.h>
#include <c10/core/GradMode.h>
#include <torch/nn/modules/batchnorm.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <set>

#include "worker/checkpoint/background_writer.h"
#include "worker/checkpoint/module_state.h"
#include "worker/ddp/state_fields.h"

namespace ferrun::ddp {

class SyncBatchNormImpl;

using checkpoint::Dict;
using checkpoint::Value;

AveragedModel::AveragedModel(const torch::nn::Module& module, const AveragedModelOptions& options) : options_(options) {
  TORCH_CHECK(!options.decay || (*options.decay >= 0 && *options.decay <= 1),
              "the decay of a moving average cannot be ", options.decay.value_or(0));
  const c10::NoGradGuard no_grad;
  std::set<const void*> buffers;
  for (const at::Tensor& buffer : module.buffers()) buffers.insert(buffer.unsafeGetTensorImpl());
  std::map<const void*, at::Tensor> averages;
  for (auto& [name, tensor] : checkpoint::named_state(module)) {
    const bool averaged = options.use_buffers || buffers.count(tensor.unsafeGetTensorImpl()) == 0;
    const auto [average, is_new] = averages.try_emplace(tensor.unsafeGetTensorImpl());
    if (is_new) average->second = tensor.detach().clone();
    entries_.push_back({name, tensor, average->second, averaged, !is_new});
  }
}

void AveragedModel::update() {
  TORCH_CHECK(!swapped_, "the module has the averages: nothing to average with");
  const c10::NoGradGuard no_grad;
  std::map<at::ScalarType, std::pair<std::vector<at::Tensor>, std::vector<at::Tensor>>> by_type;
  const at::Tensor count = at::scalar_tensor(updates_ + 1, at::kLong);
  for (Entry& entry : entries_) {
    if (entry.again) continue;
    const at::Tensor weight = entry.weight.detach();
    if (updates_ == 0 || !entry.averaged) {
      entry.average.copy_(weight);
    } else if (!options_.decay && weight.is_cpu()) {
      // PyTorch's mean is a division there, and a foreach_lerp_ on devices that are faster with it.
      entry.average.copy_(entry.average.add(weight.sub(entry.average).div(count)));
    } else if (weight.is_floating_point()) {
      auto& [averages, weights] = by_type[weight.scalar_type()];
      averages.push_back(entry.average);
      weights.push_back(weight);
    } else if (options_.decay) {
      entry.average.copy_(entry.average.mul(*options_.decay).add(weight.mul(1 - *options_.decay)));
    } else {
      entry.average.copy_(weight);
    }
  }
  // PyTorch has the mean's share as a float32.
  const double share = options_.decay ? 1 - *options_.decay : 1.0F / static_cast<float>(updates_ + 1);
  for (auto& [type, lists] : by_type) at::_foreach_lerp_(lists.first, lists.second, share);
  ++updates_;
}

AveragedModel::Swapped::Swapped(AveragedModel& average) : average_(average) {
  TORCH_CHECK(!average.swapped_, "the module has the averages already");
  average_.swap();
}

void AveragedModel::swap() {
  checkpoint::wait_for_copies();
  const c10::NoGradGuard no_grad;
  for (Entry& entry : entries_) {
    if (entry.again) continue;
    const at::Tensor weight = entry.weight.detach(), kept = weight.clone();
    weight.copy_(entry.average);
    entry.average.copy_(kept);
  }
  swapped_ = !swapped_;
}

Value AveragedModel::state_dict() const {
  TORCH_CHECK(!swapped_, "the module has the averages: the state would hold the weights");
  Dict state{{"n_averaged", at::scalar_tensor(updates_, at::kLong)}};
  for (const Entry& entry : entries_) state.emplace_back("module." + entry.name, entry.average);
  return state;
}

Status AveragedModel::load_state_dict(const Value& state) {
  const c10::NoGradGuard no_grad;
  const auto unfit = [](const std::string& what) {
    return Error{ErrorKind::kUser, "the moving average's state does not fit: " + what};
  };
  const auto updates = number(state, "n_averaged");
  if (!updates || *updates < 0) return unfit("it has no n_averaged");
  std::vector<const at::Tensor*> averages;
  for (const Entry& entry : entries_) {
    const Value* value = state.find("module." + entry.name);
    const at::Tensor* average = value == nullptr ? nullptr : value->get<at::Tensor>();
    if (average == nullptr) return unfit("it has no " + entry.name);
    if (average->sizes() != entry.average.sizes()) return unfit(entry.name + " has another shape");
    averages.push_back(average);
  }
  for (size_t i = 0; i < entries_.size(); ++i) entries_[i].average.copy_(*averages[i]);
  updates_ = static_cast<int64_t>(*updates);
  return ok_status();
}

SwaLr::SwaLr(GroupRates initial_lrs, SwaLrOptions options)
    : ChainableLr(std::move(initial_lrs)), options_(std::move(options)) {
  TORCH_CHECK(options_.anneal_epochs >= 0, "SWALR cannot anneal for ", options_.anneal_epochs, " epochs");
  options_.swa_lr = for_groups(std::move(options_.swa_lr), lrs_.size(), "SWALR's swa_lr");
  SwaLr::enter();
}

double SwaLr::anneal(double part) const {
  const double within = std::clamp(part, 0.0, 1.0);
  return options_.linear ? within : (1 - std::cos(std::numbers::pi * within)) / 2;
}

double SwaLr::next_lr(size_t group) const {
  const int64_t step = options_.anneal_epochs == 0 ? std::max<int64_t>(1, last_epoch_) : last_epoch_;
  const auto epochs = static_cast<double>(std::max<int64_t>(1, options_.anneal_epochs));
  const double before = anneal(static_cast<double>(step - 1) / epochs),
               now = anneal(static_cast<double>(step) / epochs);
  const double swa_lr = options_.swa_lr[group];
  const double from = before == 1 ? swa_lr : (lrs_[group] - before * swa_lr) / (1 - before);
  return swa_lr * now + from * (1 - now);
}

void SwaLr::enter() {
  last_epoch_ = 0;
  for (size_t group = 0; group < lrs_.size(); ++group) lrs_[group] = next_lr(group);
}

checkpoint::Dict SwaLr::group_entries(size_t group) const {
  checkpoint::Dict entries = ChainableLr::group_entries(group);
  entries.emplace_back("swa_lr", options_.swa_lr[group]);
  return entries;
}

checkpoint::Dict SwaLr::hyperparameters() const {
  return {{"_anneal_strategy", options_.linear ? "linear" : "cos"}, {"anneal_epochs", options_.anneal_epochs}};
}

bool SwaLr::load_hyperparameters(const Value& state) {
  const auto epochs = integer(state, "anneal_epochs");
  const Value* const strategy = state.find("_anneal_strategy");
  const std::string* const text = strategy == nullptr ? nullptr : strategy->get<std::string>();
  if (!epochs || *epochs < 0 || text == nullptr) return false;
  options_.anneal_epochs = *epochs;
  options_.linear = *text == "linear";
  return true;
}

namespace {

// Whether the module is a BatchNorm of this class: its statistics are set back then, and `restore` gets its momentum.
template <typename Norm>
bool take_statistics(torch::nn::Module& module, std::vector<std::function<void()>>& restore) {
  auto* const norm = dynamic_cast<Norm*>(&module);
  if (norm == nullptr) return false;
  norm->reset_running_stats();
  restore.emplace_back([norm, momentum = norm->options.momentum()] { norm->options.momentum(momentum); });
  norm->options.momentum(std::nullopt);
  return true;
}

}  // namespace

BatchNormStatistics::BatchNormStatistics(torch::nn::Module& module)
    : module_(module), was_training_(module.is_training()) {
  const c10::NoGradGuard no_grad;
  for (const auto& part : module.modules()) {
    take_statistics<torch::nn::BatchNorm1dImpl>(*part, restore_) ||
        take_statistics<torch::nn::BatchNorm2dImpl>(*part, restore_) ||
        take_statistics<torch::nn::BatchNorm3dImpl>(*part, restore_) ||
        take_statistics<torch::nn::NormImplBase<1, SyncBatchNormImpl, torch::nn::BatchNormOptions>>(*part, restore_);
  }
  if (any()) module_.train();
}

BatchNormStatistics::~BatchNormStatistics() {
  if (!any()) return;
  // The last first: a part that stands in two places was asked twice, and has its own momentum in the first answer.
  for (auto restore = restore_.rbegin(); restore != restore_.rend(); ++restore) (*restore)();
  module_.train(was_training_);
}

}  // namespace ferrun::ddp
