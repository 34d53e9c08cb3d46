// What ferrun is asked to do: to run a program, or one of its verbs, which are words only as the very first argument;
// a path, or "--" before it, reaches a program of that name. Pure.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/cli/flag_table.h"

namespace ferrun {

enum class Verb {
  kRun,          // no word
  kLaunch,       // the same as `python -m torch.distributed.launch` has it
  kCoordinator,  // the coordinator of a job in a process of its own
  kStatus,       // what a job on this machine does
  kDoctor,       // whether this machine can take part in a job with several nodes
};

// `arguments` are those after argv[0].
Verb verb_of(std::span<const std::string> arguments);
// "coordinator"; empty for kRun.
std::string_view verb_name(Verb verb);

// Whether a program follows its options.
inline bool takes_program(Verb verb) { return verb == Verb::kRun || verb == Verb::kLaunch; }

// The options that it takes, in the order of its --help. Those of kRun are the whole flag_table().
std::vector<const Flag*> flags_of(Verb verb);

}  // namespace ferrun
