// Which program a worker executes: the rule from what the user typed to a command line whose first word is a path.
// Pure; asks about files through FileQueries.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "common/result.h"
#include "launcher/config/host_facts.h"

namespace ferrun {

struct ProgramChoice {
  bool module = false;
  bool no_python = false;
  bool run_path = false;
};

struct Program {
  std::vector<std::string> argv;  // argv[0] holds a slash
  size_t user_arguments = 1;      // index in argv of the first argument that is the user's own
  std::string title;              // what reports call it: as the user typed it
};

// `words` is the program and its arguments as typed, at least one word.
//   --run-path: Python runs it by runpy; -m: python -u -m; *.py without --no-python: python -u; a name with a slash:
//   that file; "worker": the one beside ferrun; any other name: PATH, then beside ferrun.
// Fails with kUser and one line when there is no such program, it is a directory, or may not be executed.
Result<Program> resolve_program(const std::vector<std::string>& words, ProgramChoice choice, const HostFacts& facts);

}  // namespace ferrun
