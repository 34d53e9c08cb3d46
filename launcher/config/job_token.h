// The job's secret, by which its agents know each other. Pure.
#pragma once

#include <string>
#include <vector>

#include "common/result.h"
#include "launcher/cli/parse.h"
#include "launcher/config/host_facts.h"

namespace ferrun {

inline constexpr const char* kTokenVariable = "FERRUN_TOKEN";
// Whoever reaches the endpoint is given a proof that the coordinator knows the token, and can try tokens on it at home.
// Sixteen random characters are beyond that.
inline constexpr size_t kShortestToken = 16;

struct JobToken {
  std::string text;  // empty: none is given
  std::vector<std::string> warnings;
};

// The content of --token-file without the line end, else FERRUN_TOKEN; empty when neither is given. Fails with kUser
// when the file cannot be read or holds nothing, or the token is shorter than kShortestToken.
Result<JobToken> job_token(const RawOptions& options, const HostFacts& facts);

}  // namespace ferrun
