// A job as ferrun will run it: validated, complete, immutable. Made once from the raw options and the host's facts;
// nothing after it looks at options or at ferrun's environment again. Whoever keeps one keeps it const: what a run
// finds out about its machine is state of its own.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "common/environment.h"
#include "common/result.h"
#include "common/time.h"
#include "launcher/cli/parse.h"
#include "launcher/config/cpu_binding.h"
#include "launcher/config/host_facts.h"
#include "launcher/config/meeting.h"
#include "launcher/config/program.h"
#include "launcher/config/rendezvous_config.h"
#include "launcher/config/stop_rules.h"
#include "launcher/config/values.h"
#include "launcher/logs/log_rotation.h"
#include "launcher/workers/spawn_request.h"
#include "rendezvous/job/restart_policy.h"

namespace ferrun {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

struct OutputConfig {
  // Base folder, absolute; the job's own folder is made below it. Empty when neither logs nor error files are wanted
  // (/dev/null).
  std::filesystem::path base;
  std::string job_folder;  // "<run id>_<random>"
  bool temporary =
      false;  // not the user's choice: left behind only if something was written, and done without if it cannot be
  std::vector<StreamSet> redirects;         // by local rank
  std::vector<StreamSet> tee;               // by local rank
  std::optional<std::vector<int>> console;  // the local ranks shown on the terminal; none: all
  std::string prefix_template;
  // A worker has a folder even if the error file is all that it may leave.
  bool folder_for_error_file = false;
  LogRotation rotation;  // of workers' log files
  // Lines of teed streams with one of these texts are kept in a file of their own as well.
  struct LineFilters {
    std::vector<std::string> out;
    std::vector<std::string> err;
  } line_filters;

  bool wants_files() const { return !base.empty(); }
  // Nothing was asked for: the only files that workers may leave are error files.
  bool wants_only_error_files() const { return temporary && wants_files() && !writes_streams(); }
  // Whether any worker's stream goes to a file.
  bool writes_streams() const;
};

// What happens to the job, for programs.
struct EventConfig {
  std::filesystem::path file;  // gets lines of JSON (report/event_log.h); empty: none
  bool console = false;        // torchrun's events on stderr
  std::string backend;         // as torchrun's events name it
};

struct JobConfig {
  int workers = 1;
  std::string role;
  std::string run_id;
  std::string launch_id;  // unique for this launch, the same through its restarts; sorts by start time
  int max_restarts = 0;
  RestartPolicy restart;
  Duration min_uptime = std::chrono::seconds(30);
  StopRules stop;
  bool torchrun_exit_code = false;
  bool torchrun_report = false;

  Program program;
  bool expand_local_rank = false;
  bool pass_local_rank = false;  // as the first argument of the user's, --local-rank=N
  StartMethod start_method = StartMethod::kSpawn;
  std::optional<PythonPlan> python_template;  // where workers are forked from a Python
  // For each local rank its only device, as the value of `device_variable`; LOCAL_RANK is 0 then. Empty with
  // --devices=all.
  std::vector<std::string> own_device;
  std::string device_variable = "CUDA_VISIBLE_DEVICES";
  // For each local rank the CPUs that it may run on; empty without --numa-binding.
  std::vector<WorkerCpus> cpus;
  // OMP_NUM_THREADS by local rank; empty without --omp.
  std::vector<int> omp_threads;

  Meeting meeting;                             // on one node
  std::optional<RendezvousConfig> rendezvous;  // with several nodes
  // Else ferrun chooses the store's port, and lets go of it before rank 0 starts, who serves the store there.
  bool serves_store = true;
  OutputConfig output;
  EventConfig events;
  // The pipe for torch's FileTimerClient, which ferrun serves (TORCHELASTIC_ENABLE_FILE_TIMER=1); empty: none.
  std::filesystem::path timer_pipe;
  std::string hostname;
  LogLevel log_level = LogLevel::kWarning;
  // ferrun's own environment with the job-wide changes; worker_environment() adds what differs between workers.
  Environment environment;
  Environment inherited;               // as it was
  std::optional<uint64_t> open_files;  // the soft limit that workers get back, whatever ferrun needs itself
  // TORCHELASTIC_ERROR_FILE of ferrun itself: where its parent wants the root cause; empty: nowhere.
  std::string parent_error_file;
  // Where the container's runtime looks for the root cause; empty: nowhere.
  std::filesystem::path termination_log;
  // What the user should know about the options, one line each: an unused one, a program without a fork point.
  std::vector<std::string> warnings;
  // What ferrun decided by itself, for --verbose.
  std::vector<std::string> notes;
};

// Fails with kUsage (exit status 2) or kUser, and one line that names the option or variable at fault.
Result<JobConfig> make_job_config(const CommandLine& line, const HostFacts& facts);

// --verbose and LOGLEVEL.
LogLevel log_level_of(const RawOptions& options, const Environment& environment);
// Unique for this start of ferrun; sorts by time.
std::string make_launch_id(const HostFacts& facts);

}  // namespace ferrun
