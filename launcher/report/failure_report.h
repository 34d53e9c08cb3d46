// The last thing on the screen of a failed run: who failed first and why, apart from those that only followed. Pure.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "launcher/report/root_cause.h"

namespace ferrun {

struct FailedRun {
  std::string title;  // the program as typed
  std::string hostname;
  int attempt = 0;
  int max_restarts = 0;
  bool stopped_by_user = false;  // a signal to ferrun ended what a failure had begun
  const std::vector<WorkerRecord>& workers;
  const std::vector<WorkerEvidence>& evidence;
  // The root cause's own log plan: where its stderr went, if anywhere.
  std::filesystem::path stderr_file;  // empty: none
  bool stderr_inherited = false;
};

// Lines without line ends, safe for a terminal, the root cause last.
std::vector<std::string> failure_report(const FailedRun& run, const Diagnosis& diagnosis);

// "rank 5 (local_rank 1, pid 4711) exited with code 3"; `first_rank` is the global rank of local rank 0.
std::string describe_worker(const WorkerRecord& worker, int first_rank = 0);

// What a failed worker left behind, as indented lines safe for a terminal: out of memory, error file, log, and the last
// lines of its stderr at the end.
std::vector<std::string> evidence_lines(const WorkerEvidence& evidence, const std::filesystem::path& stderr_file,
                                        bool stderr_inherited);

// What is to be said of the restarts that a failed job had.
std::string restarts_hint(int max_restarts);

}  // namespace ferrun
