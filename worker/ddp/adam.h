// Adam and AdamW with PyTorch's numbers and PyTorch's state layout, on the fused kernels.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "common/result.h"
#include "worker/checkpoint/value.h"

namespace ferrun::ddp {

struct AdamOptions {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.0;
  bool decoupled_weight_decay = false;  // true: AdamW (whose weight_decay PyTorch sets to 0.01)
};

// Steps are those of torch.optim.Adam(..., fused=True), bit for bit. Not thread-safe.
class Adam {
 public:
  // Parameters are shared with the model; all on one device, dense, and with their final strides.
  Adam(std::vector<at::Tensor> parameters, AdamOptions options);

  // One step from the parameters' gradients; a parameter without one is left alone. `grad_scale`, when defined, divides
  // the gradients first. `found_inf`, when defined, is a one-element float tensor: non-zero skips the step as PyTorch's
  // fused optimizers do (state unchanged).
  void step(const at::Tensor& grad_scale = {}, const at::Tensor& found_inf = {});
  // Drops the gradients, or with set_to_none=false fills them with zeros in place, which keeps DDP's bucket views.
  void zero_grad(bool set_to_none = true);

  double lr() const { return options_.lr; }
  void set_lr(double lr) { options_.lr = lr; }
  const AdamOptions& options() const { return options_; }
  const std::vector<at::Tensor>& parameters() const { return parameters_; }

  // torch.optim.Adam's state_dict(): 'state' by parameter index, 'param_groups' with all keys that torch 2.11 writes
  // (and 'initial_lr', which a scheduler adds). The tensors are the optimizer's own: save them before the next step.
  checkpoint::Value state_dict(double initial_lr) const;
  // Takes over moments, step counts and hyperparameters. All or nothing; the error says what does not fit.
  Status load_state_dict(const checkpoint::Value& state);

 private:
  struct State {
    at::Tensor exp_avg;
    at::Tensor exp_avg_sq;
    at::Tensor step;  // one float; undefined, as the others, before the first step
  };
  Result<State> read_state(const checkpoint::Value& entry, size_t parameter) const;
  Result<std::vector<State>> read_states(const checkpoint::Value& state) const;

  std::vector<at::Tensor> parameters_;
  AdamOptions options_;
  std::vector<State> states_;  // by parameter
};

}  // namespace ferrun::ddp
