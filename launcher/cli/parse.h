// The command line and the PET_ variables as raw text per option, before anything is judged. Pure.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/environment.h"
#include "common/result.h"
#include "launcher/cli/verb.h"

namespace ferrun {

struct RawValue {
  std::string text;    // the switch's is "1" or "0"
  std::string origin;  // "--max-restarts" or "PET_MAX_RESTARTS": how an error names it
};

// Names where the value came from, the value and what was expected.
inline Error bad_value(const RawValue& value, const std::string& expectation) {
  return usage_error(value.origin + "=" + value.text + ": " + expectation);
}

// What was given for each option; the command line has won over PET_ already.
class RawOptions {
 public:
  void set(std::string_view name, RawValue value) { given_.insert_or_assign(std::string(name), std::move(value)); }
  // The value given, else none.
  const RawValue* given(std::string_view name) const;
  // The value given, else the flag table's default.
  RawValue value(std::string_view name) const;
  bool on(std::string_view name) const;

 private:
  std::map<std::string, RawValue, std::less<>> given_;
};

struct CommandLine {
  Verb verb = Verb::kRun;
  RawOptions options;
  std::vector<std::string> program;  // with its arguments; may be empty
};

// Fails with kUsage and one line that names the option or variable. An option of torchrun that ferrun does not offer is
// refused here. `arguments` are those after argv[0], or after the verb, which takes no program.
Result<CommandLine> parse_command_line(std::span<const std::string> arguments, const Environment& environment,
                                       Verb verb = Verb::kRun);

}  // namespace ferrun
