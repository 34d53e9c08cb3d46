// Where every worker's output goes: torchrun's tree below the job's folder, and its prefixes. Pure.
//
//   <base>/<run id>_<random>/attempt_<n>/<local rank>/{stdout.log,stderr.log,error.json}
//   <base>/<run id>_<random>/attempt_<n>/{filtered_stdout.log,filtered_stderr.log}
//
// A job that was asked for no files has them in its temporary folder, without one for the job in it. There the error
// files of workers that are no Python scripts lie side by side, because a folder made and removed for each of 64 costs
// half as much again as all the rest of a short job:
//
//   <base>/attempt_<n>/<local rank>/error.json
//   <base>/attempt_<n>_<local rank>_error.json
#pragma once

#include <filesystem>

#include "launcher/config/job_config.h"
#include "launcher/logs/log_plan.h"

namespace ferrun {

// The folder of the whole job; empty when the job wants no files.
std::filesystem::path job_folder(const OutputConfig& output);
// The folder of one worker in one attempt; empty when it needs none.
std::filesystem::path worker_folder(const OutputConfig& output, int attempt, int local_rank);

// Where the job's workers leave each other notes that are to outlive an attempt; the first of them that has one makes
// it, the end of the job removes it. Empty when the job wants no files.
std::filesystem::path launch_folder(const OutputConfig& output);

// A stream that is neither redirected nor teed is inherited. A worker that the console filter leaves out writes to its
// files only; what would be inherited goes to /dev/null. Without files (log directory /dev/null) a redirected stream
// goes to /dev/null and a teed one to the terminal alone. `first_rank` is the global rank of the node's local rank 0.
WorkerLogPlan worker_log_plan(const JobConfig& config, int attempt, int local_rank, int first_rank = 0);

// The files of --duplicate-stdout-filters and --duplicate-stderr-filters in an attempt, beside its workers' folders;
// none where no text is given or no stream is written to files.
LineFilterPlans line_filter_plans(const OutputConfig& output, int attempt);

// "[default0]:" from the template, with role_name, local_rank, rank and hostname replaced.
std::string line_prefix(const JobConfig& config, int local_rank, int first_rank = 0);

}  // namespace ferrun
