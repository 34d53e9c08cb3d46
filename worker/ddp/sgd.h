// Stochastic gradient descent with PyTorch's numbers and PyTorch's state layout, on the fused kernel.
#pragma once

#include <string>
#include <vector>

#include "worker/ddp/optimizer.h"

namespace ferrun::ddp {

// Steps are those of torch.optim.SGD(..., fused=True), bit for bit. Python's own choice on the CPU, a loop over the
// parameters, rounds otherwise where there is weight decay or dampening, in the last bit.
class Sgd : public Optimizer {
 public:
  Sgd(std::vector<at::Tensor> parameters, SgdOptions options);

  std::string name() const override { return options_.momentum != 0 ? "SGD with momentum" : "SGD"; }
  double lr() const override { return options_.lr; }
  void set_lr(double lr) override { options_.lr = lr; }
  void set_momentum(double momentum) override { options_.momentum = momentum; }
  const SgdOptions& options() const { return options_; }

 private:
  void apply(const Active& active, const std::optional<at::Tensor>& grad_scale,
             const std::optional<at::Tensor>& found_inf) override;
  checkpoint::Dict group() const override;
  checkpoint::Dict state_of(size_t parameter) const override;
  Status load(const checkpoint::Value& group, const std::vector<const checkpoint::Value*>& states) override;

  SgdOptions options_;
  std::vector<at::Tensor> momentum_buffers_;  // by parameter; undefined before its first step and without momentum
};

}  // namespace ferrun::ddp
