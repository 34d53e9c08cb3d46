// Which devices, CPUs and threads each worker has. Pure.
#pragma once

#include "common/result.h"
#include "launcher/cli/parse.h"
#include "launcher/config/device_count.h"
#include "launcher/config/host_facts.h"
#include "launcher/config/job_config.h"

namespace ferrun {

// Whether workers that are each given one MIG instance can use several of them.
MigInstances mig_instances(const RawOptions& options);

// Into `config`, of which the number of workers is there. Fails with the first bad value (kUsage).
Status read_device_options(const RawOptions& options, const HostFacts& facts, JobConfig& config);

}  // namespace ferrun
