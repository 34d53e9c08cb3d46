#include "worker/ddp/sgd.h"

#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/empty_like.h>
#include <c10/util/Exception.h>

#include <algorithm>

#include "worker/ddp/state_fields.h"

namespace ferrun::ddp {
namespace {

using checkpoint::Dict;
using checkpoint::List;
using checkpoint::Value;

SgdOptions read_sgd_group(const Value& group, SgdOptions options) {
  options.lr = number(group, "lr").value_or(options.lr);
  options.momentum = number(group, "momentum").value_or(options.momentum);
  options.dampening = number(group, "dampening").value_or(options.dampening);
  options.weight_decay = number(group, "weight_decay").value_or(options.weight_decay);
  if (group.find("nesterov") != nullptr) options.nesterov = is_true(group, "nesterov");
  return options;
}

}  // namespace

Sgd::Sgd(const std::vector<SgdGroup>& groups, SgdOptions defaults) : defaults_(defaults) {
  TORCH_CHECK(!groups.empty(), "SGD needs a parameter group");
  for (const SgdGroup& group : groups) add_param_group(group);
}

void Sgd::add_param_group(const SgdGroup& group) {
  add_parameters(group.parameters);
  momentum_buffers_.resize(parameters().size());
  options_.push_back({.lr = group.options.lr.value_or(defaults_.lr),
                      .momentum = group.options.momentum.value_or(defaults_.momentum),
                      .dampening = group.options.dampening.value_or(defaults_.dampening),
                      .weight_decay = group.options.weight_decay.value_or(defaults_.weight_decay),
                      .nesterov = group.options.nesterov.value_or(defaults_.nesterov)});
}

std::string Sgd::name() const {
  const bool any = std::ranges::any_of(options_, [](const SgdOptions& options) { return options.momentum != 0; });
  return any ? "SGD with momentum" : "SGD";
}

void Sgd::apply(const Active& active, const std::optional<at::Tensor>& grad_scale,
                const std::optional<at::Tensor>& found_inf) {
  const SgdOptions& options = options_[active.group];
  struct Lists {
    std::vector<at::Tensor> parameters, gradients, buffers;
  };
  const auto run = [&](const Lists& lists, bool is_first_step) {
    if (lists.parameters.empty()) return;
    at::_fused_sgd_(lists.parameters, lists.gradients, lists.buffers, options.weight_decay, options.momentum,
                    options.lr, options.dampening, options.nesterov, /*maximize=*/false, is_first_step, grad_scale,
                    found_inf);
  };
  if (options.momentum == 0) return run({active.parameters, active.gradients, {}}, false);
  Lists first, later;
  std::vector<size_t> first_indices;
  for (size_t k = 0; k < active.indices.size(); ++k) {
    const at::Tensor& buffer = momentum_buffers_[active.indices[k]];
    Lists& lists = buffer.defined() ? later : first;
    lists.parameters.push_back(active.parameters[k]);
    lists.gradients.push_back(active.gradients[k]);
    lists.buffers.push_back(buffer.defined() ? buffer : at::empty_like(active.parameters[k]));
    if (!buffer.defined()) first_indices.push_back(active.indices[k]);
  }
  // A first step fills the buffers, which nothing has written yet: one that is skipped must not leave them behind. That
  // alone has to be known here, and is asked once.
  if (!first.parameters.empty() && found_inf && found_inf->item<float>() != 0) return;
  run(first, true);
  run(later, false);
  for (size_t k = 0; k < first_indices.size(); ++k) momentum_buffers_[first_indices[k]] = first.buffers[k];
}

Dict Sgd::hyperparameters(size_t group) const {
  const SgdOptions& options = options_[group];
  return Dict{{"lr", options.lr},
              {"momentum", options.momentum},
              {"dampening", options.dampening},
              {"weight_decay", options.weight_decay},
              {"nesterov", options.nesterov},
              {"maximize", false},
              {"foreach", Value()},
              {"differentiable", false},
              {"fused", true}};
}

Dict Sgd::state_of(size_t parameter) const {
  const at::Tensor& buffer = momentum_buffers_[parameter];
  return buffer.defined() ? Dict{{"momentum_buffer", buffer}} : Dict{};
}

Status Sgd::load(const List& groups, const std::vector<const Value*>& entries) {
  std::vector<at::Tensor> buffers(entries.size());
  for (size_t i = 0; i < entries.size(); ++i) {
    const Value* buffer = entries[i] == nullptr ? nullptr : entries[i]->find("momentum_buffer");
    if (buffer == nullptr || buffer->is_none()) continue;  // None: PyTorch's before the first step
    auto read = state_tensor(*entries[i], "momentum_buffer", i, parameters()[i]);
    if (!read) return read.error();
    buffers[i] = std::move(*read);
  }
  for (size_t group = 0; group < groups.size(); ++group) {
    options_[group] = read_sgd_group(groups[group], options_[group]);
  }
  momentum_buffers_ = std::move(buffers);
  return ok_status();
}

}  // namespace ferrun::ddp
