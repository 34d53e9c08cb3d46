// Where ferrun's own options end and the program begins, by the rules of Python's argparse, which torchrun follows:
// the first token that is neither an option nor an option's value is the program, and everything after it is the
// program's, untouched, whatever it looks like. "--" before the program is dropped, and so is a second one, which under
// torchrun the Python of the script takes.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "common/result.h"
#include "launcher/cli/verb.h"

namespace ferrun {

struct SplitArguments {
  // ferrun's own options in one spelling: "--name" or "--name=value" with the full dashed name of the flag table (an
  // empty value follows as a token of its own), in the order given.
  std::vector<std::string> own;
  // The program and its arguments; empty when none was given.
  std::vector<std::string> program;
};

// `arguments` are those after argv[0], and after the verb, whose options they are. Unique prefixes of long names are
// expanded; two spellings of one option do not make a prefix ambiguous. Fails with kUsage for an option that is
// unknown, ambiguous, lacks its value or takes none.
Result<SplitArguments> split_arguments(std::span<const std::string> arguments, Verb verb = Verb::kRun);

}  // namespace ferrun
