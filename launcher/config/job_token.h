// The job's secret, by which its agents know each other. Pure.
#pragma once

#include <functional>
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

// A token that ferrun makes itself, where the processes of one user on a cluster can hand each other a secret.
struct OwnToken {
  std::string text;
  std::string wrapped;  // for a coordinator to hand out
};

// kPlatform, with the cause, where nothing wraps. `job_id` goes with it: what was wrapped for one job opens no other.
Result<OwnToken> make_own_token(const std::string& job_id, const HostFacts& facts);
// The token of that job in what a coordinator hands out; else one line about the coordinator. Any thread may call it.
std::function<Result<std::string>(const std::string& wrapped)> own_token_reader(const std::string& job_id,
                                                                                const HostFacts& facts);

// The content of --token-file without the line end, else FERRUN_TOKEN; empty when neither is given. Fails with kUser
// when the file cannot be read or holds nothing, or the token is shorter than kShortestToken.
Result<JobToken> job_token(const RawOptions& options, const HostFacts& facts);

}  // namespace ferrun
