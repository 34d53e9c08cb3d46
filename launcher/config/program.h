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
  std::vector<std::string> argv;      // argv[0] holds a slash
  size_t user_arguments = 1;          // index in argv of the first argument that is the user's own
  std::string title;                  // what reports call it: as the user typed it
  std::string why_python;             // why argv[0] is that Python; empty when it is the program itself
  std::vector<std::string> warnings;  // two programs have this name
  // Workers that have returned wait for the others of their node: descriptor 3 of each is the writing end of one pipe.
  bool returns_together = false;
};

// `words` is the program and its arguments as typed, at least one word.
//   --run-path: Python runs it by runpy; -m: python -u -m; --no-python: the program itself.
// Else what `python NAME` would run, Python runs, unbuffered: *.py, a folder with a __main__.py, a zip, byte code,
// text, a script whose #! names a Python. An ELF file and a script of another #! run themselves, and so does a console
// script beside the Python of its #!.
//   A name with a slash is that file. "worker" is the one beside ferrun. Any other name is what Python would run in the
// current folder, as torchrun has it; then the program in PATH; then the one beside ferrun.
// Fails with kUser and one line when there is no such program, or it cannot be run.
Result<Program> resolve_program(const std::vector<std::string>& words, ProgramChoice choice, const HostFacts& facts);

}  // namespace ferrun
