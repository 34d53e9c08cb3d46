// Options from a file: --config FILE, one object of JSON with options' names, below the command line and above the
// PET_ variables. Pure; asks for the file through a function.
//
//   {"nproc-per-node": 4, "max_restarts": 3, "standalone": true, "tee": "3"}
#pragma once

#include <functional>
#include <span>
#include <string>

#include "common/environment.h"
#include "common/result.h"
#include "launcher/cli/parse.h"

namespace ferrun {

// The whole of a file; fails with a reason that follows its name: "No such file or directory".
using ReadFile = std::function<Result<std::string>(const std::string& path)>;

// As parse_command_line(), with the file that --config names, if any. Names are dashed or underscored, whole; a switch
// is true or false, any other value a string or a number. Fails with kUsage, naming the file and the option, where it
// cannot be read, is no such object, or names what is no option of ferrun's.
Result<CommandLine> parse_with_config_file(std::span<const std::string> arguments, const Environment& environment,
                                           Verb verb, const ReadFile& read);

}  // namespace ferrun
