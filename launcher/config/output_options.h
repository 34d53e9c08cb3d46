// What becomes of the workers' output, and where ferrun tells others of the job: log folder, redirects, tee, prefixes,
// filters, rotation, events, the timer pipe, the termination message. Pure.
#pragma once

#include "common/result.h"
#include "launcher/cli/parse.h"
#include "launcher/config/host_facts.h"
#include "launcher/config/job_config.h"

namespace ferrun {

// Into `config`, of which the number of workers and the id are there. Fails with the first bad value (kUsage).
Status read_output_options(const RawOptions& options, const HostFacts& facts, JobConfig& config);

// Where the root cause of a failure is left for a container's runtime; empty: nowhere. Knows it of a job that cannot be
// configured as well.
std::filesystem::path termination_log(const RawOptions& options, const HostFacts& facts);

}  // namespace ferrun
