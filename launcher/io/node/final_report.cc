#include "launcher/io/node/final_report.h"

#include <utility>

#include "common/exit_status.h"
#include "launcher/exit_statuses.h"
#include "launcher/io/node/evidence.h"
#include "launcher/logs/log_layout.h"
#include "launcher/report/failure_report.h"

namespace ferrun {
namespace {

constexpr int kTorchrunFailure = 1;

class Finisher {
 public:
  Finisher(const JobConfig& config, const AgentMachine& machine, const LogRouter& router)
      : config_(config), machine_(machine), router_(router) {}

  FinalReport operator()(const Success&) const { return {{}, 0}; }

  FinalReport operator()(const GroupFailed&) const { return failure(/*stopped_by_user=*/false); }

  FinalReport operator()(const StoppedBy& stop) const {
    FinalReport report;
    if (machine_.group() != nullptr && machine_.group()->first_failure()) report = failure(/*stopped_by_user=*/true);
    report.lines.push_back("ferrun: stopped by " + signal_name(stop.signal));
    report.exit_status = config_.torchrun_exit_code ? kTorchrunFailure : 128 + stop.signal;
    return report;
  }

  FinalReport operator()(const CannotRun& cannot) const {
    return {{"ferrun: " + cannot.error.message},
            config_.torchrun_exit_code ? kTorchrunFailure : exit_status_of(cannot.error)};
  }

  FinalReport operator()(const Abandoned&) const {
    return {{"ferrun: the sentinel was killed; every process of the job has been killed too"}, kExitInternal};
  }

 private:
  FinalReport failure(bool stopped_by_user) const {
    const std::vector<WorkerRecord>& workers = machine_.group()->workers();
    const std::vector<WorkerEvidence> evidence = gather(workers);
    const Diagnosis diagnosis = diagnose(workers, evidence);
    const WorkerRecord& root = workers[static_cast<size_t>(diagnosis.root_cause)];
    const WorkerLogPlan plan = worker_log_plan(config_, machine_.attempt(), diagnosis.root_cause);
    const FailedRun run{config_.program.title, config_.hostname, machine_.attempt(), config_.max_restarts,
                        stopped_by_user,       workers,          evidence,           plan.err.file.value_or(""),
                        plan.err.inherited()};
    const int status = root.status ? root.status->shell_code() : exit_status_of(*root.start_error);
    tell_parent(config_, plan.error_file, describe_worker(root), status);
    return {failure_report(run, diagnosis), config_.torchrun_exit_code ? kTorchrunFailure : status};
  }

  std::vector<WorkerEvidence> gather(const std::vector<WorkerRecord>& workers) const {
    std::vector<WorkerEvidence> evidence(workers.size());
    for (const WorkerRecord& worker : workers) {
      if (!worker.failed()) continue;
      evidence[static_cast<size_t>(worker.local_rank)] =
          read_evidence(config_, router_, machine_.attempt(), worker.local_rank);
    }
    return evidence;
  }

  const JobConfig& config_;
  const AgentMachine& machine_;
  const LogRouter& router_;
};

}  // namespace

FinalReport final_report(const JobConfig& config, const Ending& ending, const AgentMachine& machine,
                         const LogRouter& router) {
  return std::visit(Finisher(config, machine, router), ending);
}

}  // namespace ferrun
