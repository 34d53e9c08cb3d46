// What every optimizer of the trainer can do, with PyTorch's state layout: torch.optim goes on from our state, and we
// from torch.optim's.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "common/result.h"
#include "worker/checkpoint/value.h"
#include "worker/ddp/group_rates.h"

namespace ferrun::ddp {

// Has a list of parameter groups, each with hyperparameters of its own, and numbers parameters across all of them.
// Not thread-safe.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  // One step from the parameters' gradients; a parameter without one is left alone. `grad_scale`, when defined, divides
  // the gradients first. `found_inf`, when defined, is a one-element float tensor, 0 or 1: 1 skips the step as
  // PyTorch's fused optimizers do (state unchanged). Both lie on the parameters' device and are not fetched from it.
  void step(const at::Tensor& grad_scale = {}, const at::Tensor& found_inf = {});
  // Drops the gradients, or with set_to_none=false fills them with zeros in place, which keeps DDP's bucket views.
  void zero_grad(bool set_to_none = true);

  // Calls `wait` once, before the next step() or load_state_dict() changes anything: somebody still reads the
  // parameters and the state (a snapshot of them that is being taken).
  void wait_before_change(std::function<void()> wait) { waits_.push_back(std::move(wait)); }

  // PyTorch's name, with what tells variants of one class apart: "Adam", "AdamW", "SGD with momentum".
  virtual std::string name() const = 0;
  size_t group_count() const { return group_ends_.size(); }
  // Those of all groups, in their order, and those of one.
  const std::vector<at::Tensor>& parameters() const { return parameters_; }
  std::span<const at::Tensor> parameters(size_t group) const;
  // The first group's rate, and every group's.
  double lr() const { return lr_of(0); }
  std::vector<double> lrs() const;
  // The same rate for all groups.
  void set_lr(double lr);
  // One for each group. Throws c10::Error where there is another number of them.
  void set_lrs(const GroupRates& lrs);
  // SGD's momentum, Adam's first beta: what OneCycleLr moves against the rate. For all groups, or one for each, as
  // above.
  void set_momentum(double momentum);
  void set_momentums(const GroupRates& momentums);

  // torch.optim's state_dict(): 'state' by parameter index, 'param_groups' with all keys that torch 2.11 writes (and
  // 'initial_lr', which a scheduler adds; one for each group). The tensors are the optimizer's own: save them before
  // the next step.
  checkpoint::Value state_dict(const GroupRates& initial_lrs) const;
  // Takes over state and hyperparameters, as Python does; hyperparameters that it lacks stay as they are. All or
  // nothing; the error says what does not fit, and another optimizer's state is refused by that one's name.
  Status load_state_dict(const checkpoint::Value& state);

 protected:
  Optimizer() = default;
  // Shared with the model; all on one device, dense, with their final strides. Tied weights, which a module names at
  // each place, count once. Throws c10::Error, which names the place, where one is in another group already.
  void add_parameters(const std::vector<at::Tensor>& parameters);

  // The parameters of a group's step with their gradients, which lie in memory as their parameters do: the fused
  // kernels walk raw memory and never look at strides.
  struct Active {
    size_t group;
    std::vector<size_t> indices;
    std::vector<at::Tensor> parameters;
    std::vector<at::Tensor> gradients;
  };
  virtual void apply(const Active& active, const std::optional<at::Tensor>& grad_scale,
                     const std::optional<at::Tensor>& found_inf) = 0;
  // A group's hyperparameters as torch.optim names and orders them, without 'initial_lr' and 'params'.
  virtual checkpoint::Dict hyperparameters(size_t group) const = 0;
  virtual double lr_of(size_t group) const = 0;
  virtual void set_lr_of(size_t group, double lr) = 0;
  virtual void set_momentum_of(size_t group, double momentum) = 0;
  // The parameter's entry of 'state'; empty before its first step.
  virtual checkpoint::Dict state_of(size_t parameter) const = 0;
  // Takes over groups of this optimizer's kind, as many as it has, and the states by parameter (null where there is
  // none). All or nothing.
  virtual Status load(const checkpoint::List& groups, const std::vector<const checkpoint::Value*>& states) = 0;

 private:
  void wait_for_readers();
  size_t group_begin(size_t group) const { return group == 0 ? 0 : group_ends_[group - 1]; }
  size_t group_of(size_t parameter) const;
  // Whether a saved group is one of this optimizer's kind, with this group's parameters.
  Status check_group(const checkpoint::Value& saved, size_t group) const;

  std::vector<at::Tensor> parameters_;
  std::vector<size_t> group_ends_;  // where in parameters_ each group ends
  std::vector<std::function<void()>> waits_;
};

// A group's parameters and what it has of its own; the rest is as the optimizer was made.
template <typename Options>
struct ParameterGroup {
  std::vector<at::Tensor> parameters;
  Options options = {};
};

// What {} means where an optimizer's parameters stand.
struct NoParameters {
  NoParameters() = delete;
};

struct AdamOptions {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.0;
  bool decoupled_weight_decay = false;  // true: AdamW (whose weight_decay PyTorch sets to 0.01)
};

struct AdamGroupOptions {
  std::optional<double> lr = {};
  std::optional<double> beta1 = {};
  std::optional<double> beta2 = {};
  std::optional<double> eps = {};
  std::optional<double> weight_decay = {};
};
using AdamGroup = ParameterGroup<AdamGroupOptions>;

struct SgdOptions {
  double lr = 1e-3;
  double momentum = 0.0;
  double dampening = 0.0;
  double weight_decay = 0.0;
  bool nesterov = false;  // needs momentum, and no dampening
};

struct SgdGroupOptions {
  std::optional<double> lr = {};
  std::optional<double> momentum = {};
  std::optional<double> dampening = {};
  std::optional<double> weight_decay = {};
  std::optional<bool> nesterov = {};
};
using SgdGroup = ParameterGroup<SgdGroupOptions>;

// The class in torch.optim that wrote such an entry of 'param_groups': "Adam", "SGD with momentum". Adam and AdamW of
// before torch 2.7 are both "Adam".
std::string optimizer_of(const checkpoint::Value& group);

using OptimizerOptions = std::variant<AdamOptions, SgdOptions>;

// The optimizer that the options describe, with one group. Failure: a value that PyTorch refuses as well; the error
// names it.
Result<std::unique_ptr<Optimizer>> make_optimizer(std::vector<at::Tensor> parameters, const OptimizerOptions& options);

}  // namespace ferrun::ddp
