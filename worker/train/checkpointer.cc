#include "worker/train/checkpointer.h"

#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/all.h>
#include <ATen/ops/isfinite.h>

#include <utility>

#include "worker/checkpoint/module_state.h"
#include "worker/checkpoint/reader.h"
#include "worker/ddp/random_state.h"
#include "worker/ddp/replica_check.h"
#include "worker/train/output_plan.h"
#include "worker/train/value_fields.h"

namespace ferrun::train {
namespace {

bool all_finite(const at::Tensor& tensor) {
  const at::NoGradGuard no_grad;
  return at::isfinite(tensor).all().item<bool>();
}

}  // namespace

Checkpointer::Checkpointer(std::string directory, RunParts parts, RunIdentity identity, ddp::ProcessGroup& group,
                           std::function<void()> wait)
    : directory_(std::move(directory)),
      parts_(parts),
      identity_(std::move(identity)),
      group_(group),
      writer_(std::move(wait)) {}

Result<Restored> Checkpointer::restore(const checkpoint::Value& checkpoint, const RestoreRules& rules) {
  return train::restore(checkpoint, parts_, identity_, rules, group_.rank());
}

Status Checkpointer::save_last() { return save(kLastModel, true, {}); }

Status Checkpointer::save_best() {
  checkpoint::WriteOptions options;
  options.previous_path = join_path(directory_, kPreviousBest);
  return save(kBestModel, false, options);
}

Status Checkpointer::load_best() {
  group_.set_activity("loading " + std::string(kBestModel));
  Status loaded = finish();
  if (group_.rank() == 0 && loaded) {
    const std::string path = join_path(directory_, kBestModel);
    const Result<checkpoint::Value> best = checkpoint::read(path);
    const checkpoint::Value* const weights = best ? best->find("model_state_dict") : nullptr;
    if (!best) {
      loaded = best.error();
    } else if (weights == nullptr) {
      loaded = Error{ErrorKind::kUser, path + " has no model_state_dict"};
    } else {
      loaded = checkpoint::load_module_state(*parts_.model, *weights);
    }
  }
  if (const std::string why = group_.broadcast_bytes(loaded ? "" : loaded.error().message); !why.empty()) {
    return Error{ErrorKind::kUser, why};
  }
  const at::NoGradGuard no_grad;
  for (const std::vector<at::Tensor>& tensors : {parts_.model->parameters(), parts_.model->buffers()}) {
    for (const at::Tensor& tensor : tensors) {
      at::Tensor plain = tensor.detach();
      group_.broadcast(plain);
    }
  }
  return ok_status();
}

// Rank 0's weights are everybody's only as long as all ranks hold the same.
Status Checkpointer::check_weights() {
  if (Status paired = group_.check_same_collectives(); !paired) return paired;
  const std::vector<int> differing = ddp::ranks_that_differ(parts_.model->parameters(), group_);
  if (!differing.empty()) {
    std::string ranks;
    for (const int rank : differing) ranks += (ranks.empty() ? "" : ", ") + std::to_string(rank);
    return Error{ErrorKind::kInternal, "the weights of rank " + ranks +
                                           " are no longer those of rank 0 (broken memory? another build of the "
                                           "libraries?); the last checkpoint is from before that"};
  }
  for (const auto& weight : parts_.model->named_parameters()) {
    if (all_finite(weight.value())) continue;
    return Error{ErrorKind::kUser, "the weights are no longer finite (" + weight.key() + ") after " +
                                       place(parts_.state) + ", at learning rate " + value_text(parts_.schedule.lr()) +
                                       ": lower --lr; the last checkpoint is from before that"};
  }
  return ok_status();
}

Status Checkpointer::save(const char* name, bool launch, const checkpoint::WriteOptions& options) {
  group_.set_activity(std::string("saving ") + name);
  if (Status sound = check_weights(); !sound) return sound;
  const std::vector<at::Tensor> random_states = group_.all_gather(ddp::random_state());
  if (group_.rank() != 0) return ok_status();
  return writer_.write(join_path(directory_, name), checkpoint_value(parts_, identity_, random_states, launch),
                       options);
}

}  // namespace ferrun::train
