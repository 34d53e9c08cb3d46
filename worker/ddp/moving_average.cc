#include "worker/ddp/moving_average.h"

#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/scalar_tensor.h>
#include <c10/core/GradMode.h>

#include <map>

#include "worker/checkpoint/module_state.h"
#include "worker/ddp/state_fields.h"

namespace ferrun::ddp {

using checkpoint::Dict;
using checkpoint::Value;

ExponentialMovingAverage::ExponentialMovingAverage(const torch::nn::Module& module, double decay) : decay_(decay) {
  TORCH_CHECK(decay >= 0 && decay <= 1, "the decay of a moving average cannot be ", decay);
  const c10::NoGradGuard no_grad;
  for (auto& [name, tensor] : checkpoint::named_state(module)) {
    entries_.push_back({name, tensor, tensor.detach().clone()});
  }
}

void ExponentialMovingAverage::update() {
  TORCH_CHECK(!swapped_, "the module has the averages: nothing to average with");
  const c10::NoGradGuard no_grad;
  std::map<at::ScalarType, std::pair<std::vector<at::Tensor>, std::vector<at::Tensor>>> by_type;
  for (Entry& entry : entries_) {
    const at::Tensor weight = entry.weight.detach();
    if (updates_ == 0) {
      entry.average.copy_(weight);
    } else if (weight.is_floating_point()) {
      auto& [averages, weights] = by_type[weight.scalar_type()];
      averages.push_back(entry.average);
      weights.push_back(weight);
    } else {
      entry.average.copy_(entry.average.mul(decay_).add(weight.mul(1 - decay_)));
    }
  }
  for (auto& [type, lists] : by_type) at::_foreach_lerp_(lists.first, lists.second, 1 - decay_);
  ++updates_;
}

void ExponentialMovingAverage::swap() {
  const c10::NoGradGuard no_grad;
  for (Entry& entry : entries_) {
    const at::Tensor weight = entry.weight.detach(), kept = weight.clone();
    weight.copy_(entry.average);
    entry.average.copy_(kept);
  }
  swapped_ = !swapped_;
}

Value ExponentialMovingAverage::state_dict() const {
  TORCH_CHECK(!swapped_, "the module has the averages: the state would hold the weights");
  Dict state{{"n_averaged", at::scalar_tensor(updates_, at::kLong)}};
  for (const Entry& entry : entries_) state.emplace_back("module." + entry.name, entry.average);
  return state;
}

Status ExponentialMovingAverage::load_state_dict(const Value& state) {
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

}  // namespace ferrun::ddp
