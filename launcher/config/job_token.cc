#include "launcher/config/job_token.h"

#include <utility>

#include "common/text.h"
#include "launcher/config/names.h"
#include "rendezvous/wire/handshake.h"

namespace ferrun {
namespace {

Result<JobToken> checked(JobToken token, const std::string& origin) {
  if (token.text.size() >= kShortestToken) return token;
  return Error{ErrorKind::kUser, origin + ": the token has " + std::to_string(token.text.size()) +
                                     " bytes and can be guessed; it needs at least " + std::to_string(kShortestToken) +
                                     ", at random: 'openssl rand -hex 16' makes a good one"};
}

// What is wrapped: for whom, then the token.
std::string token_heading(const std::string& job_id) { return "ferrun " + job_id + "\n"; }

}  // namespace

Result<OwnToken> make_own_token(const std::string& job_id, const HostFacts& facts) {
  OwnToken token{hexadecimal(facts.random[4], 16) + hexadecimal(facts.random[5], 16), {}};
  Result<std::string> wrapped = facts.token_wrapping.wrap(token_heading(job_id) + token.text);
  if (!wrapped) return wrapped.error();
  if (wrapped->size() > kMaxWrappedTokenBytes) return Error{ErrorKind::kPlatform, "its credentials are too long"};
  token.wrapped = std::move(*wrapped);
  return token;
}

std::function<Result<std::string>(const std::string& wrapped)> own_token_reader(const std::string& job_id,
                                                                                const HostFacts& facts) {
  return [heading = token_heading(job_id), unwrap = facts.token_wrapping.unwrap](const std::string& wrapped) {
    Result<std::string> content = unwrap(wrapped);
    if (!content) {
      content = Error{ErrorKind::kPlatform, "hands out its job token by munge, and that cannot be read here: " +
                                                content.error().message + " (--token-file or FERRUN_TOKEN)"};
    } else if (!content->starts_with(heading)) {
      content = Error{ErrorKind::kPlatform, "hands out the job token of another job"};
    } else {
      content->erase(0, heading.size());
    }
    return content;
  };
}

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
