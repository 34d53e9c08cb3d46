#include "worker/train/run_start.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <utility>
#include <vector>

#include "worker/checkpoint/reader.h"
#include "worker/model/emotion_net.h"
#include "worker/model/weights.h"
#include "worker/train/checkpoint_note.h"
#include "worker/train/class_names.h"
#include "worker/train/continuation.h"
#include "worker/train/output_plan.h"
#include "worker/train/shared_checkpoint.h"

namespace ferrun::train {
namespace {

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

std::string some(const std::vector<std::string>& names) {
  constexpr size_t kShown = 5;
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kShown); ++i) text += (i == 0 ? "" : ", ") + names[i];
  return names.size() > kShown ? text + " and " + std::to_string(names.size() - kShown) + " more" : text;
}

// Rank 0's; the others get its weights with the network. A last layer that was trained for other classes is a fair
// start, but its outputs mean something else from here on.
Status begin_with_weights(model::EmotionNet& model, const TrainOptions& options,
                          const std::vector<std::string>& classes, RunLog& log) {
  const Result<checkpoint::Value> file = checkpoint::read(options.weights);
  if (!file) return Error{file.error().kind, "--weights: " + file.error().message};
  const Result<model::WeightsReport> report = model::begin_with(model, *file, options.weights, options.strict);
  if (!report) return Error{report.error().kind, "--weights: " + report.error().message};
  log.say("beginning with the weights of " + options.weights);
  if (const auto names = class_names(*file); names && !names->empty() && *names != classes) {
    log.say("note: its classes are " + some(*names) + ", those of the data " + some(classes) +
            ": the last layer begins with the other's weights, output by output");
  }
  if (!report->missing.empty()) log.say("note: missing in it, and drawn from the seed: " + some(report->missing));
  if (!report->unexpected.empty()) log.say("note: unexpected in it, and left out: " + some(report->unexpected));
  return ok_status();
}

Status cannot_continue(const RunStart& start, const Error& why) {
  return Error{ErrorKind::kUser, "cannot continue from " + start.checkpoint_file + ": " + why.message};
}

Status resume(RunStart& start, Checkpointer& checkpointer, const TrainingState& state, RunLog& log) {
  const Result<Restored> restored = checkpointer.restore(start.checkpoint, start.rules);
  start.checkpoint = {};
  if (!restored) return cannot_continue(start, restored.error());
  for (const std::string& note : start.notes) log.say("note: " + note);
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
void keep_best(const RunStart& start, TrainingState& state, RunLog& log, ddp::ProcessGroup& group) {
  bool has_best = true;
  if (group.rank() == 0 && state.early_stopping.best) {
    has_best = bring_best_along(start.checkpoint_file, start.directory);
  }
  if (group.broadcast_bytes(has_best ? "" : "anew").empty()) return;
  log.say("note: there is no " + std::string(kBestModel) + " beside " + start.checkpoint_file +
          ": the best one is looked for anew");
  state.early_stopping.forget_best();
}

// A collective. A restart must not begin afresh, or from an older checkpoint, where this launch has saved one.
Status check_not_lost(const OutputPlan& plan, const Job& job) {
  if (plan.of_launch) return ok_status();
  const std::string host = job.group->broadcast_bytes(job.group->rank() == 0 ? host_name() : "");
  const std::optional<std::string> saved_on = CheckpointNote(job.context.launch_dir, plan.directory).saved_on();
  if (!saved_on) return ok_status();
  return Error{ErrorKind::kUser, "an earlier attempt of this launch saved " + join_path(plan.directory, kLastModel) +
                                     " on " + *saved_on + ", and rank 0, now on " + host +
                                     ", does not find it: --output-dir must be a folder that all nodes share and "
                                     "that stays; a new launch begins afresh"};
}

}  // namespace

std::variant<RunStart, Ending> decide_start(const TrainOptions& asked, const Job& job) {
  std::variant<SharedStart, Ending> shared = share_start(output_request(asked, job.context), *job.group);
  if (Ending* const failure = std::get_if<Ending>(&shared)) return *failure;
  SharedStart& found = std::get<SharedStart>(shared);
  if (std::optional<Ending> failure = agree(*job.group, check_not_lost(found.plan, job))) return *failure;
  RunStart start{asked, found.plan.directory, found.plan.checkpoint, std::move(found.checkpoint), {}};
  if (start.checkpoint_file.empty()) return start;
  Result<Continuation> continued = continue_options(asked, start.checkpoint);
  const Status usable = continued ? ok_status() : cannot_continue(start, continued.error());
  if (std::optional<Ending> failure = agree(*job.group, usable)) return *failure;
  start.options = std::move(continued->options);
  start.rules = {continued->new_schedule, std::move(continued->hyperparameters)};
  start.notes = std::move(continued->notes);
  return start;
}

// A last batch that is smaller is dealt so that no rank has too little of it (EpochPlan).
Status check_batches(const data::Split& split, const TrainOptions& options, int64_t world_size) {
  const int64_t size = options.data.size(), least = model::least_training_batch(size);
  const int64_t smallest = std::min(options.batch_size / world_size, split.train->size());
  if (smallest >= least) return ok_status();
  const std::string side = std::to_string(size);
  return Error{ErrorKind::kUsage, "a batch of one picture of " + side + "x" + side +
                                      " cannot be trained on: choose another --batch-size (" +
                                      std::to_string(split.train->size()) + " pictures an epoch, on " +
                                      std::to_string(world_size) + " ranks) or a larger --image-size"};
}

std::optional<Ending> begin_run(RunStart& start, model::EmotionNet& model, TrainingState& state,
                                Checkpointer& checkpointer, const std::vector<std::string>& classes, RunLog& log,
                                ddp::ProcessGroup& group) {
  if (!start.checkpoint_file.empty()) {
    if (std::optional<Ending> failure = agree(group, resume(start, checkpointer, state, log))) return failure;
    if (!start.options.weights.empty()) log.say("note: --weights is left out: the checkpoint has weights");
    keep_best(start, state, log, group);
  } else if (!start.options.weights.empty()) {
    return agree(group, group.rank() == 0 ? begin_with_weights(model, start.options, classes, log) : ok_status());
  }
  return std::nullopt;
}

void remember_checkpoint(const RunStart& start, const Job& job) {
  const std::string host = job.group->broadcast_bytes(job.group->rank() == 0 ? host_name() : "");
  if (job.context.local_rank != 0) return;
  if (const Status left = CheckpointNote(job.context.launch_dir, start.directory).leave(host); !left) {
    std::fprintf(stderr, "worker: rank %d: %s; a restart that has lost its checkpoint may go unnoticed\n",
                 job.context.rank, left.error().message.c_str());
  }
}

}  // namespace ferrun::train
