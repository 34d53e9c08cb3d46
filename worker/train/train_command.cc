// `worker train` from top to bottom, in the order of a PyTorch tutorial.
#include <ATen/Context.h>

#include <csignal>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "ferrun/client.h"
#include "worker/data/cached_dataset.h"
#include "worker/train/channels_last.h"
#include "worker/train/checkpointer.h"
#include "worker/train/commands.h"
#include "worker/train/epoch_summary.h"
#include "worker/train/job.h"
#include "worker/train/part_options.h"
#include "worker/train/run_announcement.h"
#include "worker/train/run_identity.h"
#include "worker/train/run_log.h"
#include "worker/train/run_start.h"
#include "worker/train/sample_predictions.h"
#include "worker/train/shared_checkpoint.h"
#include "worker/train/skipped_pictures.h"
#include "worker/train/source_data.h"
#include "worker/train/trainer.h"

namespace ferrun::train {
namespace {

using Network = ddp::DistributedDataParallel<model::EmotionNet>;

// Weights are drawn from the seed, then laid out for the device; before the optimizer and DDP look at their strides.
model::EmotionNet make_model(const TrainOptions& options, const ComputeDevice& device, size_t classes) {
  at::manual_seed(options.seed);
  model::EmotionNet model(static_cast<int64_t>(classes));
  model->to(device.device);
  if (options.channels_last) use_channels_last(*model);
  return model;
}

// Returns when the device has done all that was asked of it.
std::function<void()> waiter(const ComputeDevice& device) {
  return device.is_cuda() ? std::function<void()>(device.cuda->synchronize) : std::function<void()>();
}

// Rank 0's checkpoint is in place before any rank leaves.
Ending stopped(const TrainingState& state, Checkpointer& checkpointer, RunLog& log, ddp::ProcessGroup& group) {
  group.barrier();
  const int own = client::noted_stop_signal();
  const int signal = own != 0 ? own : SIGTERM;
  log.say("stopped by " + signal_name(signal) + " after " + std::to_string(state.epoch) + " epochs and " +
          std::to_string(state.step) + " steps; continue with --resume " + checkpointer.directory());
  Ending ending;
  ending.status = 128 + signal;
  return ending;
}

// The test set is asked once, of the best model.
Ending test_best_model(model::EmotionNet& model, const RunStart& start, const Job& job, const data::Split& split,
                       const Arithmetic& arithmetic, Checkpointer& checkpointer, const TrainingState& state,
                       RunLog& log) {
  ddp::ProcessGroup& group = *job.group;
  const data::Transform transform = start.options.data.recipe().validation;
  ShardedLoader loader(split.test, transform, loader_options(start.options, job), shard_of(group));
  if (Status loaded = checkpointer.load_best(); !loaded) return Ending::failure(loaded.error());
  const Result<Evaluation> test = evaluate(model, loader, arithmetic, group, "test");
  if (!test) return Ending::failure(test.error());
  if (test->stopped) return stopped(state, checkpointer, log, group);
  SkippedPictures(group.rank()).show(loader);
  report::TestResult result;
  result.checkpoint = join_path(start.directory, kBestModel);
  result.data = start.options.data.directory;
  result.loss = test->sums.mean_loss();
  result.confusion = confusion_of(*test, split);
  constexpr int64_t kShown = 24;
  if (group.rank() == 0) {
    result.predictions = sample_predictions(model, job.device.device, *split.test, transform, kShown);
  }
  if (Status told = log.test_done(result); !told) return Ending::failure(told.error());
  return Ending::success();
}

Ending train(RunStart start, const Job& job, const data::Split& split) {
  const TrainOptions& options = start.options;
  ddp::ProcessGroup& group = *job.group;

  // Data: the pictures of a split, a composition of transforms, and batches that the ranks share.
  const data::Recipe recipe = options.data.recipe();
  ShardedLoaderOptions loading = loader_options(options, job);
  ShardedLoader val_loader(split.val, recipe.validation, loading, shard_of(group));
  loading.shuffle = true;
  loading.least_share = model::least_training_batch(recipe.size());
  ShardedLoader train_loader(split.train, recipe.train, loading, shard_of(group));

  // The model, the optimizer, its schedule, and mixed precision.
  const Arithmetic arithmetic{job.device, autocast_type(options.amp, job.device), options.channels_last};
  const bool graph = graph_decision(options, job).use;
  if (graph) job.device.cuda->use_own_stream(job.device.device.index());
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
  RunLog log(group.rank() == 0, start.directory, state.history, options.epochs);
  Checkpointer checkpointer(start.directory, {model, optimizer, schedule, scaler, state, ema},
                            identity_of(options, job, split, arithmetic), group, waiter(job.device));
  announce_run(log, options, job, split, arithmetic, optimizer.parameters(), start.directory);
  if (std::optional<Ending> failure = begin_run(start, model, state, checkpointer, split.train->classes(), log, group))
    return *failure;
  // Every rank has rank 0's weights from here on. BatchNorm's statistics come from rank 0 before they are used, in an
  // evaluation or a save, and not before each step, which does not read them.
  ddp::DdpOptions ddp_options;
  ddp_options.broadcast_buffers = false;
  Network network(model, job.group, ddp_options);
  Trainer::Options training;
  training.arithmetic = arithmetic;
  training.accumulate = options.accumulate;
  training.save_every = options.save_every;
  training.read_every = read_every(options, job.device);
  training.graph_batch = graph ? options.batch_size : 0;
  training.clip_grad = options.clip_grad;
  training.label_smoothing = options.label_smoothing;
  training.class_weights = *loss_weights;
  Trainer trainer({network, optimizer, schedule, scaler, train_loader, state, checkpointer, log.display(), group, ema},
                  training);
  SkippedPictures skipped(group.rank());
  log.start();

  // A checkpoint from the first moment on: a restarted worker finds its launch's mark, whatever the directory held
  // before.
  Status first = checkpointer.save_last();
  if (first) first = checkpointer.finish();
  if (std::optional<Ending> failure = agree(group, first)) return *failure;
  remember_checkpoint(start, job);

  while (state.epoch < options.epochs && !state.early_stopping.exhausted()) {
    train_loader.followed_by(val_loader, 0);
    const Result<bool> trained = trainer.train_epoch();
    if (!trained) return Ending::failure(trained.error());
    network.broadcast_buffers();

    // The model that is validated, and saved when it is the best: with --ema that of the averages.
    std::optional<ddp::ExponentialMovingAverage::Swapped> averaged;
    if (ema != nullptr && ema->updates() > 0) {
      averaged.emplace(*ema);
      network.broadcast_buffers();
    }
    if (state.epoch + 1 < options.epochs) val_loader.followed_by(train_loader, state.epoch + 1);
    Result<Evaluation> validation = Evaluation{};
    if (*trained) validation = evaluate(model, val_loader, arithmetic, group, "validation");
    if (!validation) return Ending::failure(validation.error());
    if (!*trained || validation->stopped) {
      averaged.reset();
      Status saved = checkpointer.save_last();
      if (saved) saved = checkpointer.finish();
      if (!saved) return Ending::failure(saved.error());
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
  if (Status saved = checkpointer.finish(); !saved) return Ending::failure(saved.error());
  if (state.early_stopping.exhausted()) log.say("stopped early: " + state.early_stopping.reason());
  if (Status drawn = log.finish(state.early_stopping.best_epoch); !drawn) log.say("note: " + drawn.error().message);
  if (split.test == nullptr || state.history.empty()) return Ending::success();

  return test_best_model(model, start, job, split, arithmetic, checkpointer, state, log);
}

}  // namespace

Ending run_train(const TrainOptions& asked, CommandContext& context) {
  std::variant<Job, Ending> opened =
      open_job(context, asked.device, asked.gpu, asked.threads, asked.collective_timeout);
  if (Ending* const failure = std::get_if<Ending>(&opened)) return *failure;
  const Job& job = std::get<Job>(opened);
  client::note_stop_signals();  // until here they end the worker at once: there is nothing to save
  std::variant<RunStart, Ending> decided = decide_start(asked, job);
  if (Ending* const failure = std::get_if<Ending>(&decided)) return *failure;
  RunStart& start = std::get<RunStart>(decided);
  const TrainOptions& options = start.options;
  Status checked = check_sizes(options.data.size(), options.batch_size, job.group->world_size());
  Result<data::Split> split = open_data(options.data, options.seed);
  if (!split && options.data.directory != asked.data.directory) {
    split = saved_data_error(split.error(), start.checkpoint_file);
  }
  if (checked) checked = split ? check_batches(*split, options, job.group->world_size()) : Status(split.error());
  if (std::optional<Ending> failure = agree(*job.group, checked)) return *failure;
  checked = check_same_data(*split, *job.group);
  if (checked && job.group->rank() == 0) checked = make_output_directory(start.directory);
  if (std::optional<Ending> failure = agree(*job.group, checked)) return *failure;
  return train(std::move(start), job, data::cached(*split, cache_bytes(options.data, job.device)));
}

}  // namespace ferrun::train
