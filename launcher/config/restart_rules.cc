#include "launcher/config/restart_rules.h"

#include <algorithm>
#include <optional>

#include "common/exit_status.h"
#include "common/printable_text.h"
#include "common/text.h"
#include "launcher/config/values.h"

namespace ferrun {
namespace {

constexpr int kShellSignalBase = 128;
constexpr int kHighestStatus = 255;

Error malformed(const std::string& item) {
  return usage_error("'" + printable(item) +
                     "' is no rule; expected WHAT=stop, WHAT=restart or WHAT=spend, where WHAT is an exit code (3), a "
                     "range of them (40-49), a signal (SIGKILL) or oom");
}

std::optional<OnExit> consequence(std::string_view word) {
  if (word == "stop") return OnExit::kStop;
  if (word == "restart") return OnExit::kRestart;
  if (word == "spend") return OnExit::kSpend;
  return std::nullopt;
}

// An exit code, or a signal's name as the status that a shell gives it; 0: neither.
int exit_status_in(std::string_view word) {
  const std::optional<long> number = parse_integer(word);
  if (number) return *number >= 1 && *number <= kHighestStatus ? static_cast<int>(*number) : 0;
  const int signal = signal_number(word);
  return signal == 0 ? 0 : kShellSignalBase + signal;
}

Result<ExitRule> parse_exit_rule(const std::string& item) {
  ExitRule rule;
  rule.text = strip(item);
  const size_t equals = rule.text.rfind('=');
  if (equals == std::string::npos) return malformed(item);
  const std::string what(strip(rule.text.substr(0, equals)));
  const std::optional<OnExit> then = consequence(strip(rule.text.substr(equals + 1)));
  if (!then) return malformed(item);
  rule.then = *then;
  if (what == "oom") {
    rule.out_of_memory = true;
    return rule;
  }
  const size_t dash = what.find('-');
  rule.first = exit_status_in(what.substr(0, dash));
  rule.last = dash == std::string::npos ? rule.first : exit_status_in(what.substr(dash + 1));
  if (rule.first == 0 || rule.last < rule.first) return malformed(item);
  return rule;
}

Status read_delay(const RawOptions& options, RestartPolicy& policy) {
  const RawValue value = options.value("restart-delay");
  const std::vector<std::string> parts = split_list(value.text, ':');
  const std::optional<Duration> delay = parse_seconds(parts.front());
  const std::optional<Duration> longest = parts.size() == 2 ? parse_seconds(parts.back()) : policy.longest_delay;
  if (parts.size() > 2 || !delay || !longest) return bad_value(value, "expected seconds, 0 or more, or SECONDS:MAX");
  if (parts.size() == 2 && *longest < *delay) return bad_value(value, "the longest delay is shorter than the first");
  policy.delay = *delay;
  policy.longest_delay = std::max(*longest, *delay);
  return ok_status();
}

}  // namespace

Result<std::vector<ExitRule>> parse_exit_rules(const std::string& text) {
  std::vector<ExitRule> rules;
  if (strip(text).empty()) return rules;
  for (const std::string& item : split_list(text, ',')) {
    Result<ExitRule> rule = parse_exit_rule(item);
    if (!rule) return rule.error();
    rules.push_back(std::move(*rule));
  }
  return rules;
}

Result<RestartPolicy> read_restart_policy(const RawOptions& options, uint64_t seed) {
  RestartPolicy policy;
  policy.seed = seed;
  const RawValue value = options.value("on-exit");
  Result<std::vector<ExitRule>> rules = parse_exit_rules(value.text);
  if (!rules) return bad_value(value, rules.error().message);
  policy.on_exit = std::move(*rules);
  if (Status read = read_delay(options, policy); !read) return read.error();
  return policy;
}

}  // namespace ferrun
