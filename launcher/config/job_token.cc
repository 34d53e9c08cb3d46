#include "launcher/config/job_token.h"

#include "common/text.h"

namespace ferrun {

Result<std::string> job_token(const RawOptions& options, const HostFacts& facts) {
  const RawValue file = options.value("token-file");
  if (file.text.empty()) return std::string(strip(facts.environment.get_or(kTokenVariable, "")));
  const Result<std::string> content = facts.files.beginning(file.text);
  const auto refused = [&file](const std::string& why) {
    return Error{ErrorKind::kUser, file.origin + "=" + file.text + ": " + why};
  };
  if (!content) return refused(content.error().message);
  const std::string token(strip(*content));
  if (token.empty()) return refused("there is no token in it");
  return token;
}

}  // namespace ferrun
