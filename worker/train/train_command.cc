#include <unistd.h>

#include <ctime>
#include <string>

#include "worker/train/commands.h"
#include "worker/train/job.h"
#include "worker/train/shared_checkpoint.h"
#include "worker/train/source_data.h"
#include "worker/train/stop_signal.h"
#include "worker/train/trainer.h"

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

// BatchNorm cannot train on one value a channel: the last layers of the network see one pixel of a 32² picture.
Status check_batches(const data::Split& split, const TrainOptions& options, int world_size) {
  constexpr int kReduction = 32;
  const int64_t batch_size = options.batch_size / world_size;
  const int64_t samples = (split.train->size() + world_size - 1) / world_size;
  if (options.data.size() == kReduction && (batch_size == 1 || samples % batch_size == 1)) {
    return Error{ErrorKind::kUsage,
                 "a batch of one picture of 32x32 cannot be trained on: choose another --batch-size (a rank has " +
                     std::to_string(samples) + " pictures an epoch) or a larger --image-size"};
  }
  return ok_status();
}

}  // namespace

Ending run_train(const TrainOptions& options, CommandContext& context) {
  note_stop_signals();
  std::variant<Job, Ending> opened = open_job(context, options.device, options.threads, options.collective_timeout);
  if (Ending* const failure = std::get_if<Ending>(&opened)) {
    return *failure;
  }
  const Job& job = std::get<Job>(opened);
  Status checked = check_sizes(options.data.size(), options.batch_size, job.group->world_size());
  Result<data::Split> split = open_data(options.data, options.seed);
  if (checked) {
    checked = split ? check_batches(*split, options, job.group->world_size()) : Status(split.error());
  }
  if (std::optional<Ending> failure = agree(*job.group, checked)) {
    return *failure;
  }
  std::variant<SharedStart, Ending> shared = share_start(output_request(options, context.worker), *job.group);
  if (Ending* const failure = std::get_if<Ending>(&shared)) {
    return *failure;
  }
  SharedStart& start = std::get<SharedStart>(shared);
  Trainer trainer(options, job, *split, start.plan.directory);
  Status resumed = ok_status();
  if (!start.plan.checkpoint.empty()) {
    resumed = trainer.resume_from(start.checkpoint);
    start.checkpoint = {};
    if (!resumed) {
      resumed =
          Error{ErrorKind::kUser, "cannot continue from " + start.plan.checkpoint + ": " + resumed.error().message};
    }
  }
  if (std::optional<Ending> failure = agree(*job.group, resumed)) {
    return *failure;
  }
  return trainer.run();
}

}  // namespace ferrun::train
