#include "launcher/cli/config_file.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <vector>

#include "launcher/cli/argument_split.h"
#include "launcher/cli/nearest_name.h"

namespace ferrun {
namespace {

using nlohmann::json;

constexpr std::string_view kOption = "config";

// The last one counts.
std::optional<std::string> named_file(const std::vector<std::string>& own) {
  const std::string name = "--" + std::string(kOption);
  const auto last = std::ranges::find_if(own.rbegin(), own.rend(), [&name](const std::string& token) {
    return token == name || token.starts_with(name + "=");
  });
  if (last == own.rend()) return std::nullopt;
  return last->substr(std::min(name.size() + 1, last->size()));
}

// Reads the options of one file. Every method fails with the first bad one.
class ConfigFile {
 public:
  ConfigFile(const std::string& path, const std::vector<const Flag*>& flags) : path_(path), flags_(flags) {}

  Status read(const std::string& text, RawOptions& options) const {
    const json object = json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (object.is_discarded()) return usage_error(path_ + ": it is no JSON");
    if (!object.is_object()) return usage_error(path_ + R"(: expected one object, as {"nproc-per-node": 2})");
    for (const auto& [name, value] : object.items()) {
      const Result<const Flag*> flag = flag_of(name);
      if (!flag) return flag.error();
      Result<std::string> given = (*flag)->kind == FlagKind::kSwitch ? switch_of(name, value) : value_of(name, value);
      if (!given) return given.error();
      options.set((*flag)->name, RawValue{std::move(*given), path_ + ": " + name});
    }
    return ok_status();
  }

 private:
  Result<const Flag*> flag_of(const std::string& name) const {
    std::string dashed(name);
    std::ranges::replace(dashed, '_', '-');
    std::vector<std::string_view> names;
    for (const Flag* flag : flags_) {
      if (flag->name == dashed && flag->group != FlagGroup::kInformation && flag->name != kOption) return flag;
      names.push_back(flag->name);
    }
    const std::string_view nearest = nearest_name(dashed, names);
    const bool helps = !nearest.empty() && nearest != dashed;
    return usage_error(path_ + ": '" + name + "' is no option for a file" +
                       (helps ? "; did you mean " + std::string(nearest) + "?" : ""));
  }

  Result<std::string> switch_of(const std::string& name, const json& value) const {
    if (!value.is_boolean()) return usage_error(path_ + ": " + name + ": expected true or false");
    return std::string(value.get<bool>() ? "1" : "0");
  }

  Result<std::string> value_of(const std::string& name, const json& value) const {
    if (value.is_string()) return value.get<std::string>();
    if (value.is_number()) return value.dump();
    return usage_error(path_ + ": " + name + ": expected a string or a number");
  }

  const std::string& path_;
  const std::vector<const Flag*>& flags_;
};

}  // namespace

Result<CommandLine> parse_with_config_file(std::span<const std::string> arguments, const Environment& environment,
                                           Verb verb, const ReadFile& read) {
  Result<CommandLine> line = parse_command_line(arguments, environment, verb);
  if (!line || !takes_program(verb)) return line;
  const std::optional<std::string> path = named_file(split_arguments(arguments, verb)->own);
  if (!path) return line;
  const Result<std::string> text = read(*path);
  if (!text) return usage_error("--config=" + *path + ": " + text.error().message);
  RawOptions from_file;
  const std::vector<const Flag*> flags = flags_of(verb);
  if (Status done = ConfigFile(*path, flags).read(*text, from_file); !done) return done.error();
  for (const Flag* flag : flags) {
    const RawValue* given = from_file.given(flag->name);
    const RawValue* before = line->options.given(flag->name);
    const bool on_command_line = before != nullptr && before->origin.starts_with("--");
    if (given == nullptr || on_command_line) continue;
    if (!flag->refusal.empty() && given->text != flag->fallback) {
      return usage_error(given->origin + "=" + given->text + ": " + std::string(flag->refusal));
    }
    line->options.set(flag->name, *given);
  }
  return line;
}

}  // namespace ferrun
