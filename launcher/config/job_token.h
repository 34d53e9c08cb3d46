// The job's secret, by which its agents know each other. Pure.
#pragma once

#include <string>

#include "common/result.h"
#include "launcher/cli/parse.h"
#include "launcher/config/host_facts.h"

namespace ferrun {

inline constexpr const char* kTokenVariable = "FERRUN_TOKEN";

// The content of --token-file without the line end, else FERRUN_TOKEN; empty when neither is given. Fails with kUser
// when the file cannot be read or holds nothing.
Result<std::string> job_token(const RawOptions& options, const HostFacts& facts);

}  // namespace ferrun
