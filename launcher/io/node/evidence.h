// What failed workers left behind, read for the report.
#pragma once

#include <filesystem>
#include <string>

#include "launcher/config/job_config.h"
#include "launcher/io/logs/log_router.h"
#include "launcher/report/root_cause.h"

namespace ferrun {

// Error file and the end of stderr, as far as they have arrived.
WorkerEvidence read_evidence(const JobConfig& config, const LogRouter& router, int attempt, int local_rank);

// Hands the root cause on to ferrun's own parent when that gave it a TORCHELASTIC_ERROR_FILE, as torchrun does: it may
// be a torchrun, or a platform that reads the same file. `error_file` is the worker's; without one `description` is
// told.
void tell_parent(const JobConfig& config, const std::filesystem::path& error_file, const std::string& description,
                 int status);

}  // namespace ferrun
