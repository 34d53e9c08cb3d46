// The texts that the flag table gives: --help for people, --print-flags for programs. Pure.
#pragma once

#include <string>

#include "launcher/cli/verb.h"

namespace ferrun {

// At most 100 columns wide, options grouped by what the user wants to do.
std::string help_text(Verb verb = Verb::kRun);
// One line per flag, fields separated by tabs: long name, short name or "-", "switch" or "value", PET_ variable or "-",
// default or "-", "offered" or "refused".
std::string flag_lines();

}  // namespace ferrun
