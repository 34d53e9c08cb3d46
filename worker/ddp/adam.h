// Adam and AdamW with PyTorch's numbers and PyTorch's state layout, on the fused kernels.
#pragma once

#include <string>
#include <vector>

#include "worker/ddp/optimizer.h"

namespace ferrun::ddp {

// Steps are those of torch.optim.Adam(..., fused=True), bit for bit.
class Adam : public Optimizer {
 public:
  Adam(std::vector<at::Tensor> parameters, AdamOptions options);

  std::string name() const override { return options_.decoupled_weight_decay ? "AdamW" : "Adam"; }
  double lr() const override { return options_.lr; }
  void set_lr(double lr) override { options_.lr = lr; }
  void set_momentum(double momentum) override { options_.beta1 = momentum; }
  const AdamOptions& options() const { return options_; }

 private:
  struct State {
    at::Tensor exp_avg;
    at::Tensor exp_avg_sq;
    at::Tensor step;  // one float; undefined, as the others, before the first step
  };
  void apply(const Active& active, const std::optional<at::Tensor>& grad_scale,
             const std::optional<at::Tensor>& found_inf) override;
  checkpoint::Dict group() const override;
  checkpoint::Dict state_of(size_t parameter) const override;
  Status load(const checkpoint::Value& group, const std::vector<const checkpoint::Value*>& states) override;
  Result<State> read_state(const checkpoint::Value& entry, size_t parameter) const;

  AdamOptions options_;
  std::vector<State> states_;  // by parameter
};

}  // namespace ferrun::ddp
