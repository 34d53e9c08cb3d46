#include "worker/train/idle_options.h"

namespace ferrun::train {

std::vector<std::string> idle_options(const TrainOptions& options, bool on_gpu) {
  std::vector<std::string> notes;
  const auto idle = [&](bool in_use, const std::string& name, const std::string& beside) {
    if (!in_use && options.given.contains(name)) notes.push_back("--" + name + " changes nothing " + beside);
  };
  const bool sgd = options.optimizer == OptimizerChoice::kSgd;
  idle(sgd, "momentum", "without --optimizer sgd");
  idle(sgd, "nesterov", "without --optimizer sgd");
  idle(options.schedule == ScheduleChoice::kStep, "step-size", "without --scheduler step");
  idle(options.schedule != ScheduleChoice::kCosine, "gamma", "beside --scheduler cosine");
  idle(options.schedule == ScheduleChoice::kPlateau, "plateau-patience", "without --scheduler plateau");
  idle(options.schedule != ScheduleChoice::kStep, "min-lr", "beside --scheduler step");
  idle(options.data.directory.empty(), "faces", "beside --data");
  idle(on_gpu, "tf32", "on a CPU");
  idle(on_gpu, "cuda-graph", "on a CPU");
  idle(on_gpu, "deterministic", "on a CPU, where the same run gives the same numbers anyway");
  if (options.warmup >= options.epochs && options.given.contains("warmup")) {
    notes.push_back("--warmup " + std::to_string(options.warmup) + " is not over when the run ends, after " +
                    std::to_string(options.epochs) + (options.epochs == 1 ? " epoch" : " epochs"));
  }
  return notes;
}

}  // namespace ferrun::train
