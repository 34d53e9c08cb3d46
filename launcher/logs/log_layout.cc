#include "launcher/logs/log_layout.h"

#include <algorithm>
#include <array>

#include "launcher/logs/text_template.h"

namespace ferrun {
namespace {

namespace fs = std::filesystem;

StreamPlan stream_plan(const JobConfig& config, const fs::path& file, bool redirected, bool teed, int local_rank,
                       int first_rank) {
  const OutputConfig& output = config.output;
  const bool shown = !output.console || std::ranges::find(*output.console, local_rank) != output.console->end();
  StreamPlan plan;
  plan.tee = teed && shown;
  if (plan.tee) plan.prefix = line_prefix(config, local_rank, first_rank);
  if (redirected || teed) {
    if (output.wants_files()) {
      plan.file = file;
    } else if (!plan.tee) {
      plan.file = "/dev/null";
    }
  } else if (!shown) {
    plan.file = "/dev/null";
  }
  return plan;
}

fs::path attempt_folder(const OutputConfig& output, int attempt) {
  if (!output.wants_files()) return {};
  return job_folder(output) / ("attempt_" + std::to_string(attempt));
}

fs::path error_file(const OutputConfig& output, const fs::path& folder, int attempt, int local_rank) {
  if (!folder.empty()) return folder / "error.json";
  if (!output.wants_files()) return {};
  return output.base / ("attempt_" + std::to_string(attempt) + "_" + std::to_string(local_rank) + "_error.json");
}

}  // namespace

fs::path job_folder(const OutputConfig& output) {
  if (!output.wants_files()) return {};
  return output.wants_only_error_files() ? output.base : output.base / output.job_folder;
}

fs::path worker_folder(const OutputConfig& output, int attempt, int local_rank) {
  if (!output.wants_files()) return {};
  if (output.wants_only_error_files() && !output.folder_for_error_file) return {};
  return attempt_folder(output, attempt) / std::to_string(local_rank);
}

LineFilterPlans line_filter_plans(const OutputConfig& output, int attempt) {
  LineFilterPlans plans;
  const fs::path folder = attempt_folder(output, attempt);
  if (folder.empty()) return plans;
  const auto& [out, err] = output.line_filters;
  if (!out.empty()) plans.out = LineFilterPlan{folder / "filtered_stdout.log", out};
  if (!err.empty()) plans.err = LineFilterPlan{folder / "filtered_stderr.log", err};
  return plans;
}

fs::path launch_folder(const OutputConfig& output) {
  if (!output.wants_files()) return {};
  return job_folder(output) / "launch";
}

WorkerLogPlan worker_log_plan(const JobConfig& config, int attempt, int local_rank, int first_rank) {
  const size_t rank = static_cast<size_t>(local_rank);
  const fs::path folder = worker_folder(config.output, attempt, local_rank);
  const StreamSet redirected = config.output.redirects[rank];
  const StreamSet teed = config.output.tee[rank];
  WorkerLogPlan plan;
  plan.out = stream_plan(config, folder / "stdout.log", redirected.out, teed.out, local_rank, first_rank);
  plan.err = stream_plan(config, folder / "stderr.log", redirected.err, teed.err, local_rank, first_rank);
  plan.error_file = error_file(config.output, folder, attempt, local_rank);
  return plan;
}

std::string line_prefix(const JobConfig& config, int local_rank, int first_rank) {
  const std::string local = std::to_string(local_rank);
  const std::string rank = std::to_string(first_rank + local_rank);
  const std::array values = {TemplateValue{"role_name", config.role}, TemplateValue{"local_rank", local},
                             TemplateValue{"rank", rank}, TemplateValue{"hostname", config.hostname}};
  return safe_substitute(config.output.prefix_template, values);
}

}  // namespace ferrun
