// Adam and AdamW with PyTorch's numbers and PyTorch's state layout, on the fused kernels.
#pragma once

#include <initializer_list>
#include <string>
#include <vector>

#include "worker/ddp/optimizer.h"

namespace ferrun::ddp {

// Steps are those of torch.optim.Adam(..., fused=True), bit for bit.
class Adam : public Optimizer {
 public:
  // One group. A template, so that braces in which single tensors are groups do not mean this.
  template <typename = void>
  Adam(const std::vector<at::Tensor>& parameters, AdamOptions options) : defaults_(options) {
    add_param_group({parameters, {}});
  }
  Adam(std::initializer_list<NoParameters>, AdamOptions options) : Adam(std::vector<at::Tensor>(), options) {}
  // Several; what one of them leaves open is as in `defaults`.
  explicit Adam(const std::vector<AdamGroup>& groups, AdamOptions defaults = {});
  void add_param_group(const AdamGroup& group);

  std::string name() const override { return defaults_.decoupled_weight_decay ? "AdamW" : "Adam"; }
  const AdamOptions& options(size_t group = 0) const { return options_.at(group); }

 private:
  struct State {
    at::Tensor exp_avg;
    at::Tensor exp_avg_sq;
    at::Tensor step;  // one float; undefined, as the others, before the first step
  };
  void apply(const Active& active, const std::optional<at::Tensor>& grad_scale,
             const std::optional<at::Tensor>& found_inf) override;
  checkpoint::Dict hyperparameters(size_t group) const override;
  double lr_of(size_t group) const override { return options_.at(group).lr; }
  void set_lr_of(size_t group, double lr) override { options_.at(group).lr = lr; }
  void set_momentum_of(size_t group, double momentum) override { options_.at(group).beta1 = momentum; }
  checkpoint::Dict state_of(size_t parameter) const override;
  Status load(const checkpoint::List& groups, const std::vector<const checkpoint::Value*>& states) override;
  Result<State> read_state(const checkpoint::Value& entry, size_t parameter) const;

  AdamOptions defaults_;
  std::vector<AdamOptions> options_;  // by group
  std::vector<State> states_;         // by parameter
};

}  // namespace ferrun::ddp
