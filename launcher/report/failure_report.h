// Words about one worker that failed: what became of it, what it left behind. Pure.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "launcher/report/root_cause.h"

namespace ferrun {

// "rank 5 (local_rank 1, pid 4711)"; the pid only where it was started.
std::string describe_rank(const WorkerRecord& worker, int first_rank);

// "rank 5 (local_rank 1, pid 4711) exited with code 3"; `first_rank` is the global rank of local rank 0.
std::string describe_worker(const WorkerRecord& worker, int first_rank = 0);

// What a failed worker left behind, as indented lines safe for a terminal: out of memory, error file, log, and the last
// lines of its stderr at the end.
std::vector<std::string> evidence_lines(const WorkerEvidence& evidence, const std::filesystem::path& stderr_file,
                                        bool stderr_inherited);

// What is to be said of the restarts that a failed job had.
std::string restarts_hint(int max_restarts);

}  // namespace ferrun
