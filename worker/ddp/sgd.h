// Stochastic gradient descent with PyTorch's numbers and PyTorch's state layout, on the fused kernel.
#pragma once

#include <initializer_list>
#include <string>
#include <vector>

#include "worker/ddp/optimizer.h"

namespace ferrun::ddp {

// Steps are those of torch.optim.SGD(..., fused=True), bit for bit. Python's own choice on the CPU, a loop over the
// parameters, rounds otherwise where there is weight decay or dampening, in the last bit.
class Sgd : public Optimizer {
 public:
  // One group. A template, so that braces in which single tensors are groups do not mean this.
  template <typename = void>
  Sgd(const std::vector<at::Tensor>& parameters, SgdOptions options) : defaults_(options) {
    add_param_group({parameters, {}});
  }
  Sgd(std::initializer_list<NoParameters>, SgdOptions options) : Sgd(std::vector<at::Tensor>(), options) {}
  // Several; what one of them leaves open is as in `defaults`.
  explicit Sgd(const std::vector<SgdGroup>& groups, SgdOptions defaults = {});
  void add_param_group(const SgdGroup& group);

  // With momentum where any group has it.
  std::string name() const override;
  const SgdOptions& options(size_t group = 0) const { return options_.at(group); }

 private:
  void apply(const Active& active, const std::optional<at::Tensor>& grad_scale,
             const std::optional<at::Tensor>& found_inf) override;
  checkpoint::Dict hyperparameters(size_t group) const override;
  double lr_of(size_t group) const override { return options_.at(group).lr; }
  void set_lr_of(size_t group, double lr) override { options_.at(group).lr = lr; }
  void set_momentum_of(size_t group, double momentum) override { options_.at(group).momentum = momentum; }
  checkpoint::Dict state_of(size_t parameter) const override;
  Status load(const checkpoint::List& groups, const std::vector<const checkpoint::Value*>& states) override;

  SgdOptions defaults_;
  std::vector<SgdOptions> options_;           // by group
  std::vector<at::Tensor> momentum_buffers_;  // by parameter; undefined before its first step and without momentum
};

}  // namespace ferrun::ddp
