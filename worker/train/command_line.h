// The worker's command line. Options are written with dashes or underscores (--batch-size, --batch_size).
#pragma once

#include <string>
#include <vector>

#include "common/result.h"
#include "worker/train/options.h"

namespace ferrun::train {

// `arguments` without the program's name. The first may be a command (train, predict, eval, export, make-data, report);
// without one the worker trains. Failure: one line that names the option, what is wrong with it, and where help is.
Result<Command> parse_command_line(const std::vector<std::string>& arguments);

}  // namespace ferrun::train
