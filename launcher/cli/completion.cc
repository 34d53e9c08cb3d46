#include "launcher/cli/completion.h"

#include <functional>
#include <vector>

#include "launcher/cli/flag_table.h"

namespace ferrun {
namespace {

enum class Values { kNone, kAny, kWords, kFiles, kFolders };

Values values_of(const Flag& flag) {
  if (flag.kind == FlagKind::kSwitch) return Values::kNone;
  if (!flag.choices.empty()) return Values::kWords;
  if (flag.value_name == "FILE") return Values::kFiles;
  return flag.value_name == "DIR" ? Values::kFolders : Values::kAny;
}

std::vector<const Flag*> offered_flags() {
  std::vector<const Flag*> flags;
  for (const Flag& flag : flag_table()) {
    if (flag.refusal.empty()) flags.push_back(&flag);
  }
  return flags;
}

// "--tee" and "-t".
std::vector<std::string> spellings(const Flag& flag) {
  std::vector<std::string> names = {"--" + std::string(flag.name)};
  if (flag.short_name != 0) names.push_back(std::string("-") + flag.short_name);
  return names;
}

std::string joined(const std::vector<std::string>& words, const char* between) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : between) + word;
  return text;
}

std::string all_names() {
  std::vector<std::string> names;
  for (const Flag* flag : offered_flags()) {
    for (const std::string& name : spellings(*flag)) names.push_back(name);
  }
  return joined(names, " ");
}

// The first sentence of the help.
std::string summary(const Flag& flag) {
  const size_t end = flag.help.find_first_of(".:;");
  return std::string(flag.help.substr(0, end));
}

// `text` with a backslash before each of `special`, and a quote as it stands in a quoted word of a shell.
std::string quoted(const std::string& text, std::string_view special) {
  std::string out;
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
      continue;
    }
    if (special.find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return "'" + out + "'";
}

// In bash a "=" is a word of its own.
std::string bash_script() {
  std::string script =
      "_ferrun() {\n"
      "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
      "  if [[ $word == = ]]; then word=; elif [[ $before == = ]]; then before=${COMP_WORDS[COMP_CWORD-2]}; fi\n"
      "  COMPREPLY=()\n"
      "  case $before in\n";
  for (const Flag* flag : offered_flags()) {
    const Values values = values_of(*flag);
    if (values == Values::kNone) continue;
    script += "    " + joined(spellings(*flag), "|") + ") ";
    if (values == Values::kWords)
      script += "COMPREPLY=($(compgen -W '" + std::string(flag->choices) + "' -- \"$word\")); ";
    if (values == Values::kFiles) script += "COMPREPLY=($(compgen -f -- \"$word\")); ";
    if (values == Values::kFolders) script += "COMPREPLY=($(compgen -d -- \"$word\")); ";
    script += "return ;;\n";
  }
  script +=
      "  esac\n"
      "  if [[ $word == -* ]]; then\n"
      "    COMPREPLY=($(compgen -W '" +
      all_names() +
      "' -- \"$word\"))\n"
      "  else\n"
      "    COMPREPLY=($(compgen -c -f -- \"$word\"))\n"
      "  fi\n"
      "}\n"
      "complete -F _ferrun ferrun\n";
  return script;
}

std::string zsh_script() {
  std::string script = "#compdef ferrun\n_ferrun() {\n  _arguments -S";
  for (const Flag* flag : offered_flags()) {
    std::string values;
    switch (values_of(*flag)) {
      case Values::kNone: break;
      case Values::kAny: values = ":" + std::string(flag->value_name) + ":"; break;
      case Values::kWords:
        values = ":" + std::string(flag->value_name) + ":(" + std::string(flag->choices) + ")";
        break;
      case Values::kFiles: values = ":FILE:_files"; break;
      case Values::kFolders: values = ":DIR:_files -/"; break;
    }
    for (const std::string& name : spellings(*flag)) {
      const char* const takes = values.empty() ? "" : name.size() == 2 ? "+" : "=";
      script += " \\\n    '" + name + takes + "'" + quoted("[" + summary(*flag) + "]", ":") + quoted(values, "");
    }
  }
  script +=
      " \\\n    '1:program:_command_names -e' '*::arguments:_default'\n"
      "}\n"
      "if [[ $zsh_eval_context == *file* ]]; then compdef _ferrun ferrun; else _ferrun \"$@\"; fi\n";
  return script;
}

std::string fish_script() {
  std::string script;
  for (const Flag* flag : offered_flags()) {
    script += "complete -c ferrun -l " + std::string(flag->name);
    if (flag->short_name != 0) script += std::string(" -s ") + flag->short_name;
    switch (values_of(*flag)) {
      case Values::kNone: break;
      case Values::kAny: script += " -x"; break;
      case Values::kWords: script += " -x -a '" + std::string(flag->choices) + "'"; break;
      case Values::kFiles: script += " -r -F"; break;
      case Values::kFolders: script += " -x -a '(__fish_complete_directories)'"; break;
    }
    script += " -d " + quoted(summary(*flag), "") + "\n";
  }
  return script;
}

std::string tcsh_script() {
  std::string script = "complete ferrun";
  for (const Flag* flag : offered_flags()) {
    for (const std::string& name : spellings(*flag)) {
      switch (values_of(*flag)) {
        case Values::kNone: break;
        case Values::kAny: script += " 'n/" + name + "/()/'"; break;
        case Values::kWords: script += " 'n/" + name + "/(" + std::string(flag->choices) + ")/'"; break;
        case Values::kFiles: script += " 'n/" + name + "/f/'"; break;
        case Values::kFolders: script += " 'n/" + name + "/d/'"; break;
      }
    }
  }
  std::vector<std::string> names;
  for (const Flag* flag : offered_flags()) names.emplace_back(flag->name);
  return script + " 'c/--/(" + joined(names, " ") + ")/' 'p/*/c/'\n";
}

}  // namespace

Result<std::string> completion_script(std::string_view shell) {
  if (shell == "bash") return bash_script();
  if (shell == "zsh") return zsh_script();
  if (shell == "fish") return fish_script();
  if (shell == "tcsh") return tcsh_script();
  return usage_error("--print-completion=" + std::string(shell) + ": expected bash, zsh, fish or tcsh");
}

}  // namespace ferrun
