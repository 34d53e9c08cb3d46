#include "launcher/cli/verb.h"

#include <algorithm>
#include <array>
#include <initializer_list>

namespace ferrun {
namespace {

using enum FlagGroup;
using enum FlagKind;

// Options of verbs alone.
constexpr std::array kVerbFlags = {
    Flag{"job", 0, kValue, kNodes, "ID", "", false, "The job to show, where several run: its --rdzv-id."},
    Flag{"use-env", 0, kSwitch, kProgram, "", "", false,
         "Workers read LOCAL_RANK; without it they are given --local-rank=N as well, before their own arguments."},
};

const Flag* flag_named(std::string_view name) {
  const auto own = std::ranges::find(kVerbFlags, name, &Flag::name);
  return own != kVerbFlags.end() ? &*own : find_flag(name);
}

std::vector<const Flag*> flags_named(std::initializer_list<std::string_view> names) {
  std::vector<const Flag*> flags;
  for (const std::string_view name : names) flags.push_back(flag_named(name));
  return flags;
}

std::vector<const Flag*> every_flag() {
  std::vector<const Flag*> flags;
  for (const Flag& flag : flag_table()) flags.push_back(&flag);
  return flags;
}

}  // namespace

Verb verb_of(std::span<const std::string> arguments) {
  if (arguments.empty()) return Verb::kRun;
  for (const Verb verb : {Verb::kLaunch, Verb::kCoordinator, Verb::kStatus, Verb::kDoctor}) {
    if (arguments.front() == verb_name(verb)) return verb;
  }
  return Verb::kRun;
}

std::string_view verb_name(Verb verb) {
  switch (verb) {
    case Verb::kRun: return "";
    case Verb::kLaunch: return "launch";
    case Verb::kCoordinator: return "coordinator";
    case Verb::kStatus: return "status";
    case Verb::kDoctor: return "doctor";
  }
  return "";
}

std::vector<const Flag*> flags_of(Verb verb) {
  switch (verb) {
    case Verb::kRun: return every_flag();
    case Verb::kLaunch: {
      std::vector<const Flag*> flags = every_flag();
      flags.push_back(flag_named("use-env"));
      return flags;
    }
    case Verb::kCoordinator:
      return flags_named({"nnodes", "max-restarts", "rdzv-endpoint", "rdzv-backend", "rdzv-id", "rdzv-conf",
                          "token-file", "coordinator-timeout", "min-uptime", "on-exit", "restart-delay",
                          "scale-interval", "state-file", "verbose", "help"});
    case Verb::kStatus: return flags_named({"job", "json", "help"});
    case Verb::kDoctor:
      return flags_named({"rdzv-endpoint", "rdzv-backend", "rdzv-id", "rdzv-conf", "token-file", "local-addr", "iface",
                          "master-port", "port-range", "nproc-per-node", "json", "help"});
  }
  return {};
}

}  // namespace ferrun
