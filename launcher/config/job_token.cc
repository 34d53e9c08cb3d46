#include "launcher/config/job_token.h"

#include <utility>

#include "common/text.h"

namespace ferrun {
namespace {

Result<JobToken> checked(JobToken token, const std::string& origin) {
  if (token.text.size() >= kShortestToken) return token;
  return Error{ErrorKind::kUser, origin + ": the token has " + std::to_string(token.text.size()) +
                                     " bytes and can be guessed; it needs at least " + std::to_string(kShortestToken) +
                                     ", at random: 'openssl rand -hex 16' makes a good one"};
}

}  // namespace

Result<JobToken> job_token(const RawOptions& options, const HostFacts& facts) {
  const RawValue file = options.value("token-file");
  if (file.text.empty()) {
    const std::string variable(strip(facts.environment.get_or(kTokenVariable, "")));
    if (variable.empty()) return JobToken{};
    return checked({variable, {}}, kTokenVariable);
  }
  const std::string origin = file.origin + "=" + file.text;
  const Result<FileQueries::Secret> secret = facts.files.secret(file.text);
  if (!secret) return Error{ErrorKind::kUser, origin + ": " + secret.error().message};
  JobToken token{std::string(strip(secret->text)), {}};
  if (token.text.empty()) return Error{ErrorKind::kUser, origin + ": there is no token in it"};
  if (secret->others_may_read) {
    token.warnings.push_back(origin + ": others on this machine may read it: chmod 600");
  }
  return checked(std::move(token), origin);
}

}  // namespace ferrun
