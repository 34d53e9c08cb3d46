#include "launcher/cli/argument_split.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <string_view>
#include <utility>

#include "launcher/cli/flag_table.h"
#include "launcher/cli/nearest_name.h"

namespace ferrun {
namespace {

// argparse takes "-1" or "-.5" as a value, but "-x" as an option.
bool looks_like_option(std::string_view token) {
  if (token.size() < 2 || token[0] != '-') return false;
  const bool number = std::isdigit(static_cast<unsigned char>(token[1])) ||
                      (token[1] == '.' && token.size() > 2 && std::isdigit(static_cast<unsigned char>(token[2])));
  return !number;
}

// Reads options off the front of the arguments; what is left when it stops is the program.
class Splitter {
 public:
  Splitter(std::span<const std::string> arguments, std::vector<const Flag*> flags)
      : left_(arguments), flags_(std::move(flags)) {}

  Result<SplitArguments> run() {
    while (!left_.empty()) {
      const std::string& token = left_.front();
      if (token == "--") {
        drop_dashes();
        break;
      }
      if (token.size() < 2 || token[0] != '-') break;
      left_ = left_.subspan(1);
      if (Status read = token[1] == '-' ? read_long(token.substr(2)) : read_short(token); !read) return read.error();
    }
    split_.program.assign(left_.begin(), left_.end());
    return std::move(split_);
  }

 private:
  // argparse drops one, and the Python that torchrun starts drops another before its script.
  void drop_dashes() {
    for (int dropped = 0; dropped < 2 && !left_.empty() && left_.front() == "--"; ++dropped) left_ = left_.subspan(1);
  }

  // "unknown option --nproc-per-nod; did you mean --nproc-per-node?"
  Error unknown_option(const std::string& spelled, const std::string& dashed) const {
    std::vector<std::string_view> names;
    for (const Flag* flag : flags_) names.push_back(flag->name);
    const std::string_view nearest = nearest_name(dashed, names);
    const std::string hint = nearest.empty() ? "" : "; did you mean --" + std::string(nearest) + "?";
    return usage_error("unknown option --" + spelled + hint);
  }

  Result<const Flag*> long_flag(const std::string& name) const {
    std::string dashed(name);
    std::ranges::replace(dashed, '_', '-');
    std::vector<const Flag*> matches;
    for (const Flag* flag : flags_) {
      if (flag->name == dashed) return flag;
      if (flag->name.starts_with(dashed)) matches.push_back(flag);
    }
    if (matches.size() == 1) return matches.front();
    if (matches.empty()) return unknown_option(name, dashed);
    std::string candidates;
    for (const Flag* flag : matches) candidates += (candidates.empty() ? "--" : ", --") + std::string(flag->name);
    return usage_error("--" + name + " is short for more than one option: " + candidates);
  }

  const Flag* short_flag(char letter) const {
    const auto found = std::ranges::find(flags_, letter, &Flag::short_name);
    return found == flags_.end() ? nullptr : *found;
  }

  Status read_long(const std::string& body) {
    const size_t equals = body.find('=');
    const Result<const Flag*> flag = long_flag(body.substr(0, equals));
    if (!flag) return flag.error();
    std::optional<std::string> value;
    if (equals != std::string::npos) value = body.substr(equals + 1);
    return take(**flag, "--" + body.substr(0, equals), std::move(value));
  }

  // "-m", "-r 3", "-r3", "-r=3" and "-mr3".
  Status read_short(const std::string& token) {
    for (size_t at = 1; at < token.size(); ++at) {
      const std::string spelled = std::string("-") + token[at];
      const Flag* flag = short_flag(token[at]);
      if (flag == nullptr) return usage_error("unknown option " + (at == 1 ? token : spelled + " in " + token));
      if (flag->kind == FlagKind::kSwitch) {
        if (Status taken = take(*flag, spelled, std::nullopt); !taken) return taken;
        continue;
      }
      std::optional<std::string> value;
      if (at + 1 < token.size()) value = token.substr(at + (token[at + 1] == '=' ? 2 : 1));
      return take(*flag, spelled, std::move(value));
    }
    return ok_status();
  }

  Status take(const Flag& flag, const std::string& spelled, std::optional<std::string> value) {
    const std::string name = "--" + std::string(flag.name);
    if (flag.kind == FlagKind::kSwitch) {
      if (value) return usage_error(spelled + " takes no value, but was given '" + *value + "'");
      split_.own.push_back(name);
      return ok_status();
    }
    if (!value) {
      if (left_.empty() || looks_like_option(left_.front())) {
        return usage_error(spelled + " needs a value (" + std::string(flag.value_name) + ")");
      }
      value = left_.front();
      left_ = left_.subspan(1);
    }
    if (value->empty()) {
      split_.own.insert(split_.own.end(), {name, ""});
    } else {
      split_.own.push_back(name + "=" + *value);
    }
    return ok_status();
  }

  std::span<const std::string> left_;
  std::vector<const Flag*> flags_;
  SplitArguments split_;
};

}  // namespace

Result<SplitArguments> split_arguments(std::span<const std::string> arguments, Verb verb) {
  return Splitter(arguments, flags_of(verb)).run();
}

}  // namespace ferrun
