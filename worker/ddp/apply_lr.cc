// Where a schedule's rates go into an optimizer.
#include <c10/util/Exception.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/rmsprop.h>
#include <torch/optim/sgd.h>

#include <tuple>

#include "worker/ddp/lr_schedule.h"
#include "worker/ddp/optimizer.h"

namespace ferrun::ddp {
namespace {

// False where the options are not of this class.
template <typename Options>
bool set_beta1(torch::optim::OptimizerOptions& options, double momentum) {
  auto* const own = dynamic_cast<Options*>(&options);
  if (own != nullptr) own->betas(std::make_tuple(momentum, std::get<1>(own->betas())));
  return own != nullptr;
}

template <typename Options>
bool set_plain_momentum(torch::optim::OptimizerOptions& options, double momentum) {
  auto* const own = dynamic_cast<Options*>(&options);
  if (own != nullptr) own->momentum(momentum);
  return own != nullptr;
}

void check_groups(size_t groups, size_t rates) {
  TORCH_CHECK(groups == rates, "the schedule has rates for ", rates, " parameter groups, the optimizer has ", groups,
              groups > rates ? ": its add_group() is for one that was added" : "");
}

}  // namespace

void LrSchedule::apply_to(Optimizer& optimizer) const {
  check_groups(optimizer.group_count(), lrs_.size());
  optimizer.set_lrs(lrs_);
  if (!momentums_.empty()) optimizer.set_momentums(momentums_);
}

void LrSchedule::apply_to(torch::optim::Optimizer& optimizer) const {
  namespace optim = torch::optim;
  std::vector<optim::OptimizerParamGroup>& groups = optimizer.param_groups();
  check_groups(groups.size(), lrs_.size());
  for (size_t i = 0; i < groups.size(); ++i) {
    optim::OptimizerOptions& options = groups[i].options();
    options.set_lr(lrs_[i]);
    if (momentums_.empty()) continue;
    const double momentum = momentums_[i];
    TORCH_CHECK(set_plain_momentum<optim::SGDOptions>(options, momentum) ||
                    set_beta1<optim::AdamOptions>(options, momentum) ||
                    set_beta1<optim::AdamWOptions>(options, momentum) ||
                    set_plain_momentum<optim::RMSpropOptions>(options, momentum),
                "the optimizer has no momentum that the schedule could change");
  }
}

}  // namespace ferrun::ddp
