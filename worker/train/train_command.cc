// `worker train` from top to bottom, in the order of a PyTorch tutorial.
#include <ATen/Context.h>
#include <ATen/ops/empty.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <string>
#include <utility>

#include "worker/ddp/class_weights.h"
#include "worker/model/weights.h"
#include "worker/report/class_metrics.h"
#include "worker/train/channels_last.h"
#include "worker/train/checkpointer.h"
#include "worker/train/commands.h"
#include "worker/train/continuation.h"
#include "worker/train/job.h"
#include "worker/train/mixed_precision.h"
#include "worker/train/run_log.h"
#include "worker/train/sample_predictions.h"
#include "worker/train/shared_checkpoint.h"
#include "worker/train/source_data.h"
#include "worker/train/stop_request.h"
#include "worker/train/trainer.h"
#include "worker/train/value_fields.h"

namespace ferrun::train {
namespace {

using Network = ddp::DistributedDataParallel<model::EmotionNet>;

// "20260728-101500-4711": unique on this machine.
std::string fresh_name() {
  const std::time_t now = std::time(nullptr);
  std::tm parts = {};
  localtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y%m%d-%H%M%S", &parts);
  return std::string(text) + "-" + std::to_string(getpid());
}

OutputRequest output_request(const TrainOptions& options, const client::Context& worker) {
  OutputRequest request;
  request.output_dir = options.output_dir;
  request.resume = options.resume;
  request.overwrite = options.overwrite;
  request.launch_id = worker.launch_id;
  request.fresh_name = fresh_name();
  return request;
}

Shard shard_of(const ddp::ProcessGroup& group) { return {group.world_size(), group.rank()}; }

// BatchNorm cannot train on one value a channel: the last layers of the network see one pixel of a 32² picture.
Status check_batches(const data::Split& split, const TrainOptions& options, int64_t world_size) {
  constexpr int kReduction = 32;
  const int64_t last = split.train->size() % options.batch_size;
  // The smallest share of a batch is the last rank's.
  const auto has_one = [world_size](int64_t samples) {
    return share_of(samples, {world_size, world_size - 1}) == 1 ||
           (samples > 0 && share_of(samples, {world_size, 0}) == 1);
  };
  if (options.data.size() == kReduction && (has_one(options.batch_size) || has_one(last))) {
    return Error{ErrorKind::kUsage,
                 "a batch of one picture of 32x32 cannot be trained on: choose another --batch-size (" +
                     std::to_string(split.train->size()) + " pictures an epoch, on " + std::to_string(world_size) +
                     " ranks) or a larger --image-size"};
  }
  return ok_status();
}

ShardedLoaderOptions loader_options(const TrainOptions& options, bool shuffle) {
  ShardedLoaderOptions sharded;
  sharded.batch_size = options.batch_size;
  sharded.shuffle = shuffle;
  sharded.loader.threads = options.data.num_workers;
  sharded.loader.channels_last = options.channels_last;
  sharded.loader.bad_images = options.data.bad_images;
  sharded.loader.seed = options.seed;  // one for all ranks: their shards are parts of one permutation
  return sharded;
}

// Weights are drawn from the seed, then laid out for the device; before the optimizer and DDP look at their strides.
model::EmotionNet make_model(const TrainOptions& options, const ComputeDevice& device, size_t classes) {
  at::manual_seed(options.seed);
  model::EmotionNet model(static_cast<int64_t>(classes));
  model->to(device.device);
  if (options.channels_last) use_channels_last(*model);
  return model;
}

double weight_decay(const TrainOptions& options) {
  return options.weight_decay.value_or(options.optimizer == OptimizerChoice::kAdamW ? 0.01 : 0.0);
}

ddp::OptimizerOptions optimizer_options(const TrainOptions& options) {
  if (options.optimizer == OptimizerChoice::kSgd) {
    ddp::SgdOptions sgd;
    sgd.lr = options.lr;
    sgd.momentum = options.momentum;
    sgd.nesterov = options.nesterov;
    sgd.weight_decay = weight_decay(options);
    return sgd;
  }
  ddp::AdamOptions adam;
  adam.lr = options.lr;
  adam.decoupled_weight_decay = options.optimizer == OptimizerChoice::kAdamW;
  adam.weight_decay = weight_decay(options);
  return adam;
}

ddp::LrScheduleOptions schedule_options(const TrainOptions& options) {
  ddp::LrScheduleOptions schedule;
  schedule.initial_lr = options.lr;
  schedule.warmup.epochs = options.warmup;
  switch (options.schedule) {
    case ScheduleChoice::kStep: schedule.schedule = ddp::StepLrOptions{options.step_size, options.gamma}; break;
    case ScheduleChoice::kCosine:
      schedule.schedule = ddp::CosineAnnealingLrOptions{std::max<int64_t>(1, options.epochs - options.warmup), 0.0};
      break;
    case ScheduleChoice::kPlateau: {
      ddp::ReduceLrOnPlateauOptions plateau;
      plateau.larger_is_better = options.monitor != Monitor::kLoss;
      plateau.factor = options.gamma;
      plateau.patience = options.plateau_patience;
      schedule.schedule = plateau;
    }
  }
  return schedule;
}

ddp::GradScalerOptions scaler_options(const Arithmetic& arithmetic) {
  ddp::GradScalerOptions scaler;
  scaler.enabled = arithmetic.autocast == at::kHalf;
  return scaler;
}

EarlyStopping early_stopping(const TrainOptions& options) {
  EarlyStopping stopping;
  stopping.monitor = options.monitor;
  stopping.min_delta = options.min_delta;
  stopping.patience = options.patience;
  return stopping;
}

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
                      {"warmup", whole(options.warmup)},
                      {"optimizer", name_of(options.optimizer)},
                      {"momentum", options.momentum},
                      {"weight_decay", weight_decay(options)},
                      {"clip_grad", options.clip_grad},
                      {"ema", options.ema},
                      {"label_smoothing", options.label_smoothing},
                      {"class_weights", options.class_weights == ClassWeights::kBalanced ? "balanced" : "none"},
                      {"device", job.device.name()},
                      {"precision", precision_name(arithmetic)},
                      {"channels_last", options.channels_last},
                      {"threads", whole(job.threads)},
                      {"world_size", whole(job.group->world_size())},
                      {"training_samples", whole(split.train->size())},
                      {"validation_samples", whole(split.val->size())}};
  if (options.data.transforms) identity.options.emplace_back("transforms", data::recipe_text(*options.data.transforms));
  if (options.schedule == ScheduleChoice::kCosine) {
    identity.options.emplace_back("cosine_epochs", whole(options.epochs));
  }
  return identity;
}

std::string counted(int64_t number, const std::string& thing) {
  return std::to_string(number) + " " + thing + (number == 1 ? "" : "s");
}

void show_start(RunLog& log, const TrainOptions& options, const Job& job, const data::Split& split,
                const Arithmetic& arithmetic, const std::vector<at::Tensor>& parameters, const std::string& directory) {
  int64_t numbers = 0;
  for (const at::Tensor& parameter : parameters) numbers += parameter.numel();
  const std::string size = std::to_string(options.data.size());
  log.say("training " + std::to_string(numbers) + " parameters on " + describe_data(options.data, split) + " at " +
          size + "x" + size + ", " + std::to_string(split.train->classes().size()) + " classes, " +
          std::to_string(split.val->size()) + " to validate");
  if (!options.data.directory.empty()) log.say("validated on " + split.validation);
  for (const std::string& note : split.notes) log.say("note: " + note);
  log.say(counted(job.group->world_size(), "rank") + " on " + job.device.name() + ", " +
          counted(job.threads, "thread") + " each, " + precision_name(arithmetic) + ", batch " +
          std::to_string(options.batch_size) + ", seed " + std::to_string(options.seed) + ", output in " + directory);
  if (const auto note = precision_note(arithmetic.autocast, !job.device.is_cuda())) log.say("note: " + *note);
}

EpochMetrics metrics_of(const TrainingState& state, double lr, const Evaluation& validation,
                        const report::ConfusionMatrix& confusion) {
  EpochMetrics metrics;
  metrics.epoch = state.epoch + 1;
  metrics.lr = lr;
  metrics.train_loss = state.sums.mean_loss();
  metrics.train_accuracy = state.sums.accuracy();
  metrics.val_loss = validation.sums.mean_loss();
  metrics.val_accuracy = validation.sums.accuracy();
  metrics.val_f1 = report::ClassMetrics::of(confusion).macro_f1;
  return metrics;
}

report::ConfusionMatrix confusion_of(const Evaluation& evaluation, const data::Split& split) {
  return report::ConfusionMatrix::make(split.train->classes(), evaluation.confusion).value();
}

Status check_finite(const EpochMetrics& metrics) {
  if (std::isfinite(metrics.val_loss) && std::isfinite(metrics.train_loss)) return ok_status();
  const char* const which = std::isfinite(metrics.val_loss) ? "the training loss" : "the validation loss";
  return Error{ErrorKind::kUser, std::string(which) + " of epoch " + std::to_string(metrics.epoch) +
                                     " is not finite, at learning rate " + value_text(metrics.lr) +
                                     ": lower --lr; the last checkpoint is from before that"};
}

// Rank 0's checkpoint is in place before any rank leaves.
Ending stopped(const TrainingState& state, Checkpointer& checkpointer, RunLog& log, ddp::ProcessGroup& group) {
  group.barrier();
  const int own = noted_stop_signal();
  const int signal = own != 0 ? own : SIGTERM;
  log.say("stopped by " + signal_name(signal) + " after " + std::to_string(state.epoch) + " epochs and " +
          std::to_string(state.step) + " steps; continue with --resume " + checkpointer.directory());
  Ending ending;
  ending.status = 128 + signal;
  return ending;
}

// A count that grew is worth a line; each rank knows its own.
class SkippedPictures {
 public:
  explicit SkippedPictures(int rank) : rank_(rank) {}

  void show(const ShardedLoader& train, const ShardedLoader& val) {
    const int64_t skipped = train.skipped() + val.skipped();
    if (skipped <= shown_) return;
    shown_ = skipped;
    const std::optional<Error>& first = train.first_skipped() ? train.first_skipped() : val.first_skipped();
    std::fprintf(stderr, "worker: rank %d has skipped %lld broken pictures so far, first: %s\n", rank_,
                 static_cast<long long>(skipped), first ? first->message.c_str() : "");
  }

 private:
  int rank_;
  int64_t shown_ = 0;
};

// What was decided before the run's parts are made.
struct Start {
  TrainOptions options;
  std::string directory;
  std::string checkpoint_file;  // empty: afresh
  checkpoint::Value checkpoint;
  RestoreRules rules;
};

Result<at::Tensor> class_weights(const TrainOptions& options, const data::Dataset& pictures, c10::Device device) {
  if (options.class_weights == ClassWeights::kNone) return at::Tensor();
  std::vector<int64_t> counts(pictures.classes().size());
  for (int64_t i = 0; i < pictures.size(); ++i) ++counts[static_cast<size_t>(pictures.label(i))];
  const Result<std::vector<double>> weights = ddp::balanced_class_weights(counts, pictures.classes());
  if (!weights) return Error{weights.error().kind, "--class-weights: " + weights.error().message};
  at::Tensor tensor = at::empty({std::ssize(*weights)}, at::kFloat);
  std::ranges::transform(*weights, tensor.mutable_data_ptr<float>(),
                         [](double value) { return static_cast<float>(value); });
  return tensor.to(device);
}

std::string some(const std::vector<std::string>& names) {
  constexpr size_t kShown = 5;
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kShown); ++i) text += (i == 0 ? "" : ", ") + names[i];
  return names.size() > kShown ? text + " and " + std::to_string(names.size() - kShown) + " more" : text;
}

// Rank 0's; the others get its weights with the network.
Status begin_with_weights(model::EmotionNet& model, const TrainOptions& options, RunLog& log) {
  const Result<model::WeightsReport> report = model::load_weights_file(model, options.weights, options.strict);
  if (!report) return Error{report.error().kind, "--weights: " + report.error().message};
  log.say("beginning with the weights of " + options.weights);
  if (!report->missing.empty()) log.say("note: missing in it, and drawn from the seed: " + some(report->missing));
  if (!report->unexpected.empty()) log.say("note: unexpected in it, and left out: " + some(report->unexpected));
  return ok_status();
}

Status cannot_continue(const Start& start, const Error& why) {
  return Error{ErrorKind::kUser, "cannot continue from " + start.checkpoint_file + ": " + why.message};
}

Status resume(Start& start, Checkpointer& checkpointer, const TrainingState& state, RunLog& log) {
  const Result<Restored> restored = checkpointer.restore(start.checkpoint, start.rules);
  start.checkpoint = {};
  if (!restored) return cannot_continue(start, restored.error());
  for (const std::string& note : restored->notes) log.say("note: " + note);
  for (const std::string& warning : restored->warnings) {
    log.say("note: " + warning + "; the run will not equal an undisturbed one");
  }
  if (state.epoch > 0 || state.step > 0) {
    log.say("continuing after epoch " + std::to_string(state.epoch) +
            (state.step > 0 ? ", step " + std::to_string(state.step) : ""));
  }
  return ok_status();
}

// A collective: the best model comes along with the checkpoint, or the next epoch is the best so far.
void keep_best(const Start& start, TrainingState& state, RunLog& log, ddp::ProcessGroup& group) {
  bool has_best = true;
  if (group.rank() == 0 && state.early_stopping.best) {
    has_best = bring_best_along(start.checkpoint_file, start.directory);
  }
  if (group.broadcast_bytes(has_best ? "" : "anew").empty()) return;
  log.say("note: there is no " + std::string(kBestModel) + " beside " + start.checkpoint_file +
          ": the best one is looked for anew");
  state.early_stopping.forget_best();
}

Ending train(Start start, const Job& job, const data::Split& split) {
  const TrainOptions& options = start.options;
  ddp::ProcessGroup& group = *job.group;
  const bool leads = group.rank() == 0;

  // Data: the pictures of a split, a composition of transforms, and batches that the ranks share.
  const data::Recipe recipe = options.data.recipe();
  ShardedLoader train_loader(split.train, recipe.train, loader_options(options, true), shard_of(group));
  ShardedLoader val_loader(split.val, recipe.validation, loader_options(options, false), shard_of(group));

  // The model, the optimizer, its schedule, and mixed precision.
  const Arithmetic arithmetic{job.device, autocast_type(options.amp, job.device), options.channels_last};
  model::EmotionNet model = make_model(options, job.device, split.train->classes().size());
  const Result<std::unique_ptr<ddp::Optimizer>> made_optimizer =
      ddp::make_optimizer(model->parameters(), optimizer_options(options));
  if (!made_optimizer) return Ending::failure(made_optimizer.error());
  ddp::Optimizer& optimizer = **made_optimizer;
  const Result<std::unique_ptr<ddp::LrSchedule>> made_schedule = ddp::make_lr_schedule(schedule_options(options));
  if (!made_schedule) return Ending::failure(made_schedule.error());
  ddp::LrSchedule& schedule = **made_schedule;
  ddp::GradScaler scaler(job.device.device, scaler_options(arithmetic));
  std::optional<ddp::ExponentialMovingAverage> average;
  if (options.ema > 0) average.emplace(*model, options.ema);
  ddp::ExponentialMovingAverage* const ema = average ? &*average : nullptr;
  const Result<at::Tensor> loss_weights = class_weights(options, *split.train, job.device.device);
  if (!loss_weights) return Ending::failure(loss_weights.error());
  TrainingState state;
  state.early_stopping = early_stopping(options);

  // Where the run is kept and told; what it continues from.
  RunLog log(leads, start.directory, state.history, options.epochs);
  Checkpointer checkpointer(start.directory, {model, optimizer, schedule, scaler, state, ema},
                            identity_of(options, job, split, arithmetic), group);
  show_start(log, options, job, split, arithmetic, optimizer.parameters(), start.directory);
  if (!start.checkpoint_file.empty()) {
    if (std::optional<Ending> failure = agree(group, resume(start, checkpointer, state, log))) return *failure;
    keep_best(start, state, log, group);
  } else if (!options.weights.empty()) {
    const Status begun = leads ? begin_with_weights(model, options, log) : ok_status();
    if (std::optional<Ending> failure = agree(group, begun)) return *failure;
  }
  // Every rank has rank 0's weights from here on. BatchNorm's statistics come from rank 0 before they are used, in an
  // evaluation or a save, and not before each step, which does not read them.
  ddp::DdpOptions ddp_options;
  ddp_options.broadcast_buffers = false;
  Network network(model, job.group, ddp_options);
  Trainer trainer(
      {network, optimizer, schedule, scaler, train_loader, state, checkpointer, log.display(), group, ema},
      {arithmetic, options.accumulate, options.save_every, options.clip_grad, options.label_smoothing, *loss_weights});
  SkippedPictures skipped(group.rank());
  log.start();

  // A checkpoint from the first moment on: a restarted worker finds its launch's mark, whatever the directory held
  // before.
  if (Status saved = checkpointer.save_last(); !saved) return Ending::failure(saved.error());

  while (state.epoch < options.epochs && !state.early_stopping.exhausted()) {
    const Result<bool> trained = trainer.train_epoch();
    if (!trained) return Ending::failure(trained.error());
    network.broadcast_buffers();

    // The model that is validated, and saved when it is the best: with --ema that of the averages.
    std::optional<ddp::ExponentialMovingAverage::Swapped> averaged;
    if (ema != nullptr && ema->updates() > 0) {
      averaged.emplace(*ema);
      network.broadcast_buffers();
    }
    Result<Evaluation> validation = Evaluation{};
    if (*trained) validation = evaluate(model, val_loader, arithmetic, group, "validation");
    if (!validation) return Ending::failure(validation.error());
    if (!*trained || validation->stopped) {
      averaged.reset();
      if (Status saved = checkpointer.save_last(); !saved) return Ending::failure(saved.error());
      return stopped(state, checkpointer, log, group);
    }
    skipped.show(train_loader, val_loader);

    const EpochMetrics metrics = metrics_of(state, schedule.lr(), *validation, confusion_of(*validation, split));
    if (Status finite = check_finite(metrics); !finite) return Ending::failure(finite.error());
    state.history.push_back(metrics);
    const double watched = monitored(options.monitor, metrics);
    const bool best = state.early_stopping.improved_by(watched, metrics.epoch);
    schedule.step(watched);
    state.begin_next_epoch();

    // last_model.pt comes last: after a kill between the files the epoch is repeated, and writes all of them again.
    if (best) {
      if (Status saved = checkpointer.save_best(); !saved) return Ending::failure(saved.error());
    }
    averaged.reset();
    if (Status written = log.epoch_done(best); !written) return Ending::failure(written.error());
    if (Status saved = checkpointer.save_last(); !saved) return Ending::failure(saved.error());
  }
  if (state.early_stopping.exhausted()) log.say("stopped early: " + state.early_stopping.reason());
  if (Status drawn = log.finish(); !drawn) log.say("note: " + drawn.error().message);
  if (split.test == nullptr || state.history.empty()) return Ending::success();

  // The test set is asked once, of the best model.
  ShardedLoader test_loader(split.test, recipe.validation, loader_options(options, false), shard_of(group));
  if (Status loaded = checkpointer.load_best(); !loaded) return Ending::failure(loaded.error());
  const Result<Evaluation> test = evaluate(model, test_loader, arithmetic, group, "test");
  if (!test) return Ending::failure(test.error());
  if (test->stopped) return stopped(state, checkpointer, log, group);
  report::TestResult result;
  result.checkpoint = join_path(start.directory, kBestModel);
  result.data = options.data.directory;
  result.loss = test->sums.mean_loss();
  result.confusion = confusion_of(*test, split);
  constexpr int64_t kShown = 24;
  if (leads) {
    result.predictions = sample_predictions(model, job.device.device, *split.test, recipe.validation, kShown);
  }
  if (Status told = log.test_done(result); !told) return Ending::failure(told.error());
  return Ending::success();
}

// Decides on all ranks where the run writes, what it continues from and with which options.
std::variant<Start, Ending> decide_start(const TrainOptions& asked, const Job& job) {
  std::variant<SharedStart, Ending> shared = share_start(output_request(asked, job.context), *job.group);
  if (Ending* const failure = std::get_if<Ending>(&shared)) return *failure;
  SharedStart& found = std::get<SharedStart>(shared);
  Start start{asked, found.plan.directory, found.plan.checkpoint, std::move(found.checkpoint), {}};
  if (start.checkpoint_file.empty()) return start;
  Result<Continuation> continued = continue_options(asked, start.checkpoint);
  const Status usable = continued ? ok_status() : cannot_continue(start, continued.error());
  if (std::optional<Ending> failure = agree(*job.group, usable)) return *failure;
  start.options = std::move(continued->options);
  start.rules = {continued->new_schedule, std::move(continued->hyperparameters)};
  return start;
}

}  // namespace

Ending run_train(const TrainOptions& asked, CommandContext& context) {
  std::variant<Job, Ending> opened = open_job(context, asked.device, asked.threads, asked.collective_timeout);
  if (Ending* const failure = std::get_if<Ending>(&opened)) return *failure;
  const Job& job = std::get<Job>(opened);
  note_stop_signals();  // until here they end the worker at once: there is nothing to save
  std::variant<Start, Ending> decided = decide_start(asked, job);
  if (Ending* const failure = std::get_if<Ending>(&decided)) return *failure;
  Start& start = std::get<Start>(decided);
  const TrainOptions& options = start.options;
  Status checked = check_sizes(options.data.size(), options.batch_size, job.group->world_size());
  Result<data::Split> split = open_data(options.data, options.seed);
  if (checked) checked = split ? check_batches(*split, options, job.group->world_size()) : Status(split.error());
  if (std::optional<Ending> failure = agree(*job.group, checked)) return *failure;
  checked = check_same_data(*split, *job.group);
  if (checked && job.group->rank() == 0) checked = make_output_directory(start.directory);
  if (std::optional<Ending> failure = agree(*job.group, checked)) return *failure;
  return train(std::move(start), job, *split);
}

}  // namespace ferrun::train
