// A worker's failure as its node tells it to the job: kind, age, and a report that fits a message. Pure.
#pragma once

#include <filesystem>

#include "common/time.h"
#include "launcher/report/root_cause.h"
#include "rendezvous/job/failure.h"

namespace ferrun {

// What one failed worker left behind, as far as it can be read without waiting.
struct FailedWorker {
  int local_rank = 0;
  WorkerEvidence evidence;
  std::filesystem::path stderr_file;  // where its stderr went, if into a file
  bool stderr_inherited = false;
};

// Where a node's workers stand in the job.
struct GroupPlace {
  int first_rank = 0;  // the global rank of local rank 0
  int attempt = 0;     // of this agent
};

// `record` is that of the same worker, which failed by itself. The report has at most LocalFailure::kReportBytes: of
// the evidence the newest lines stay.
LocalFailure local_failure(const WorkerRecord& record, const FailedWorker& left_behind, const GroupPlace& place,
                           TimePoint now);

// A failed worker's record with what it left behind.
struct ExaminedWorker {
  WorkerRecord record;
  FailedWorker left_behind;
};

// Several ends may be noticed in another order than they came: of workers whose error files carry a time, these times
// give the order, and the moments at which ferrun noticed stay what they are.
void order_by_error_files(std::vector<ExaminedWorker>& workers);

// Of a node that could not even begin to start its workers.
LocalFailure start_failure(const Error& error, int first_rank);

}  // namespace ferrun
