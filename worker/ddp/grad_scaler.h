// torch.amp.GradScaler for C++: constants, order of operations and state of PyTorch.
#pragma once

#include <ATen/core/Tensor.h>

#include <set>
#include <unordered_map>
#include <vector>

#include "common/result.h"
#include "worker/checkpoint/value.h"
#include "worker/ddp/optimizer.h"

namespace torch::optim {
class Optimizer;
}

namespace ferrun::ddp {

struct GradScalerOptions {
  double init_scale = 65536.0;
  double growth_factor = 2.0;
  double backoff_factor = 0.5;
  int64_t growth_interval = 2000;
  bool enabled = true;
};

// An iteration: scale(loss).backward(), unscale if the gradients are looked at or clipped, step, update. With several
// optimizers unscale and step are each one's, and update is called once, after all: an optimizer whose gradients are
// not finite is the only one that is skipped, and the scale backs off. Calls out of this order throw c10::Error.
// Disabled, every call passes through. Not thread-safe.
class GradScaler {
 public:
  GradScaler(at::Device device, GradScalerOptions options = {});

  // loss × scale (loss itself when disabled).
  at::Tensor scale(const at::Tensor& loss);
  // Divides the gradients by the scale in place and notes whether any is not finite: those of an optimizer, or some
  // that whole optimizers have. After the DDP all-reduce every rank sees the same gradients, so all ranks skip alike
  // without a collective of their own.
  void unscale(const std::vector<at::Tensor>& parameters);
  void unscale(const Optimizer& optimizer) { unscale(optimizer.parameters()); }
  void unscale(const torch::optim::Optimizer& optimizer);
  // Steps the optimizer, which leaves weights and state alone when a gradient was not finite: the flag stays on the
  // device, and no step waits for it. Calls unscale if it was not called. Throws where no parameter has a gradient.
  void step(Optimizer& optimizer);
  // The same with one of LibTorch's, which know no such flag: it is fetched from the device, as Python fetches it for
  // optimizers that are not fused. One that needs a closure (LBFGS) is refused by its own step, as in Python.
  void step(torch::optim::Optimizer& optimizer);
  // Whether the last step was left out so. Waits for the device.
  bool skipped() const;
  // Grows or backs off the scale. Once an iteration, last.
  void update();

  double scale_value() const;
  bool enabled() const { return options_.enabled; }
  // scale, growth_factor, backoff_factor, growth_interval, _growth_tracker; {} when disabled.
  checkpoint::Value state_dict() const;
  // Takes over all five entries. All or nothing. Disabled, it takes nothing and succeeds, as in Python.
  Status load_state_dict(const checkpoint::Value& state);

 private:
  void begin_iteration();
  // The flag of the optimizer at this address.
  at::Tensor begin_step(const void* optimizer, const std::vector<at::Tensor>& parameters);

  GradScalerOptions options_;
  at::Tensor scale_;           // one float on the device
  at::Tensor growth_tracker_;  // one int: iterations since the last growth or back-off
  // Of this iteration. One float for each call of unscale: not 0 when a gradient was not finite.
  std::vector<at::Tensor> found_inf_;
  std::unordered_map<const void*, size_t> unscaled_;  // parameters, and by which call
  std::set<const void*> stepped_;                     // optimizers
  at::Tensor last_found_inf_;                         // of the last step
};

}  // namespace ferrun::ddp
