#include "launcher/cli/parse.h"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "launcher/cli/argument_split.h"
#include "launcher/cli/flag_table.h"

namespace ferrun {
namespace {

// torchrun reads flag variables as integers only and fails on anything else; Kubeflow's operator sets
// PET_STANDALONE="".
Result<bool> switch_from_variable(const std::string& variable, std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (text.empty() || text == "true" || text == "yes" || text == "on") return true;
  if (text == "false" || text == "no" || text == "off") return false;
  const size_t digits = text.starts_with('-') || text.starts_with('+') ? 1 : 0;
  if (digits == text.size() || text.find_first_not_of("0123456789", digits) != std::string::npos) {
    return usage_error(variable + "=" + text + ": expected 1 (on) or 0 (off)");
  }
  return text.find_first_not_of('0', digits) != std::string::npos;
}

Status read_variables(const Environment& environment, const std::vector<const Flag*>& flags, RawOptions& options) {
  for (const Flag* known : flags) {
    const Flag& flag = *known;
    if (!flag.reads_pet) continue;
    const std::string variable = pet_variable(flag);
    std::optional<std::string> text = environment.get(variable);
    if (!text) continue;
    if (flag.kind == FlagKind::kSwitch) {
      const Result<bool> on = switch_from_variable(variable, *text);
      if (!on) return on.error();
      text = *on ? "1" : "0";
    }
    options.set(flag.name, RawValue{*text, variable});
  }
  return ok_status();
}

// The split has left nothing but known options in one spelling, so CLI11 sees no program, prefix or alias.
Status read_options(std::vector<std::string> own, const std::vector<const Flag*>& flags, RawOptions& options) {
  CLI::App app;
  app.set_help_flag();
  for (const Flag* known : flags) {
    const Flag& flag = *known;
    const std::string name = "--" + std::string(flag.name);
    if (flag.kind == FlagKind::kSwitch) {
      app.add_flag_callback(name, [&options, &flag, name] { options.set(flag.name, RawValue{"1", name}); });
    } else {
      CLI::Option* const option =
          app.add_option_function<std::string>(name, [&options, &flag, name](const std::string& text) {
            options.set(flag.name, RawValue{text, name});
          });
      flag.kind == FlagKind::kList ? option->join(',') : option->take_last();
    }
  }
  std::ranges::reverse(own);  // CLI11 consumes a vector from its back
  try {
    app.parse(std::move(own));
  } catch (const CLI::ParseError& error) {
    return usage_error(error.what());
  }
  return ok_status();
}

Status refuse_unsupported(const std::vector<const Flag*>& flags, const RawOptions& options) {
  for (const Flag* known : flags) {
    const Flag& flag = *known;
    const RawValue* given = options.given(flag.name);
    if (flag.refusal.empty() || given == nullptr || given->text == flag.fallback) continue;
    return usage_error(given->origin + "=" + given->text + ": " + std::string(flag.refusal));
  }
  return ok_status();
}

}  // namespace

const RawValue* RawOptions::given(std::string_view name) const {
  const auto found = given_.find(name);
  return found == given_.end() ? nullptr : &found->second;
}

RawValue RawOptions::value(std::string_view name) const {
  if (const RawValue* value = given(name)) return *value;
  return RawValue{std::string(find_flag(name)->fallback), "--" + std::string(name)};
}

bool RawOptions::on(std::string_view name) const {
  const RawValue* value = given(name);
  return value != nullptr && value->text == "1";
}

Result<CommandLine> parse_command_line(std::span<const std::string> arguments, const Environment& environment,
                                       Verb verb) {
  const std::vector<const Flag*> flags = flags_of(verb);
  Result<SplitArguments> split = split_arguments(arguments, verb);
  if (!split) return split.error();
  CommandLine line;
  line.program = std::move(split->program);
  line.verb = verb;
  if (!takes_program(verb) && !line.program.empty()) {
    return usage_error("ferrun " + std::string(verb_name(verb)) + " takes no '" + line.program.front() +
                       "'; for a program of that name write ferrun -- " + std::string(verb_name(verb)));
  }
  if (Status read = read_variables(environment, flags, line.options); !read) return read.error();
  if (Status read = read_options(std::move(split->own), flags, line.options); !read) return read.error();
  if (Status accepted = refuse_unsupported(flags, line.options); !accepted) return accepted.error();
  return line;
}

}  // namespace ferrun
