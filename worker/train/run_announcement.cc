#include "worker/train/run_announcement.h"

#include "worker/train/idle_options.h"
#include "worker/train/mixed_precision.h"
#include "worker/train/part_options.h"
#include "worker/train/run_identity.h"
#include "worker/train/source_data.h"
#include "worker/train/step_graph.h"

namespace ferrun::train {
namespace {

std::string counted(int64_t number, const std::string& thing) {
  return std::to_string(number) + " " + thing + (number == 1 ? "" : "s");
}

}  // namespace

void announce_run(RunLog& log, const TrainOptions& options, const Job& job, const data::Split& split,
                  const Arithmetic& arithmetic, const std::vector<at::Tensor>& parameters,
                  const std::string& directory) {
  int64_t numbers = 0;
  for (const at::Tensor& parameter : parameters) numbers += parameter.numel();
  const std::string size = std::to_string(options.data.size());
  log.say("training " + std::to_string(numbers) + " parameters on " + describe_data(options.data, split) + " at " +
          size + "x" + size + ", " + std::to_string(split.train->classes().size()) + " classes, " +
          std::to_string(split.val->size()) + " to validate");
  if (const int64_t kept = cache_bytes(options.data, job.device); kept > 0) {
    log.say("decoded pictures are kept, up to " + std::to_string(kept >> 20) + " MiB a rank");
  }
  if (!options.data.directory.empty()) log.say("validated on " + split.validation);
  for (const std::string& note : split.notes) log.say("note: " + note);
  log.say(counted(job.group->world_size(), "rank") + " on " + job.device.description() + ", " +
          counted(job.threads, "thread") + " each, " + precision_name(arithmetic) + ", batch " +
          std::to_string(options.batch_size) + ", seed " + std::to_string(options.seed) + ", output in " + directory);
  for (const std::string& note : idle_options(options, job.device.is_cuda())) log.say("note: " + note);
  const GraphDecision graph = graph_decision(options, job);
  if (graph.use) log.say("steps are recorded as a CUDA graph after the first " + std::to_string(StepGraph::kWarmUp));
  if (!graph.note.empty()) log.say("note: " + graph.note);
  if (const auto note = precision_note(arithmetic.autocast, !job.device.is_cuda())) log.say("note: " + *note);
}

}  // namespace ferrun::train
