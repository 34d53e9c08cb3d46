#include "worker/train/run_identity.h"

#include "worker/train/continuation.h"
#include "worker/train/part_options.h"
#include "worker/train/source_data.h"

namespace ferrun::train {

std::string precision_name(const Arithmetic& arithmetic) {
  return !arithmetic.autocast ? "fp32" : *arithmetic.autocast == at::kHalf ? "fp16" : "bf16";
}

RunIdentity identity_of(const TrainOptions& options, const Job& job, const data::Split& split,
                        const Arithmetic& arithmetic) {
  const auto whole = [](int64_t value) { return checkpoint::Value(value); };
  RunIdentity identity;
  identity.classes = split.train->classes();
  identity.launch_id = job.context.launch_id;
  identity.world_size = job.group->world_size();
  identity.options = {{"image_size", whole(options.data.size())},
                      {"batch_size", whole(options.batch_size)},
                      {"accumulate", whole(options.accumulate)},
                      {"lr", options.lr},
                      {"step_size", whole(options.step_size)},
                      {"gamma", options.gamma},
                      {"seed", whole(static_cast<int64_t>(options.seed))},
                      {"scheduler", name_of(options.schedule)},
                      {"plateau_patience", whole(options.plateau_patience)},
                      {"min_lr", options.min_lr},
                      {"warmup", whole(options.warmup)},
                      {"optimizer", name_of(options.optimizer)},
                      {"momentum", options.momentum},
                      {"nesterov", options.nesterov},
                      {"weight_decay", weight_decay(options)},
                      {"clip_grad", options.clip_grad},
                      {"ema", options.ema},
                      {"label_smoothing", options.label_smoothing},
                      {"class_weights", options.class_weights == ClassWeights::kBalanced ? "balanced" : "none"},
                      {"monitor", name_of(options.monitor)},
                      {"min_delta", options.min_delta},
                      {"device", job.device.name()},
                      {"precision", precision_name(arithmetic)},
                      {"channels_last", options.channels_last},
                      {"exif_orientation", options.data.exif_orientation.value_or(false)},
                      {"threads", whole(job.threads)},
                      {"world_size", whole(job.group->world_size())},
                      {"training_samples", whole(split.train->size())},
                      {"validation_samples", whole(split.val->size())},
                      {"pictures", data::dataset_fingerprint(split)}};
  identity.data = absolute_directory(options.data.directory);
  if (options.data.directory.empty()) identity.options.emplace_back("faces", whole(options.data.faces()));
  if (!options.data.split.empty()) {
    identity.options.emplace_back("split", checkpoint::List(options.data.split.begin(), options.data.split.end()));
  }
  if (options.data.transforms) identity.options.emplace_back("transforms", data::recipe_text(*options.data.transforms));
  if (options.schedule == ScheduleChoice::kCosine) {
    identity.options.emplace_back("cosine_epochs", whole(options.epochs));
  }
  identity.length = {{"epochs", whole(options.epochs)}, {"patience", whole(options.patience)}};
  return identity;
}

}  // namespace ferrun::train
