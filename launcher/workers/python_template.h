// Makes a Python that is started into a fork template: the archive that its start-up imports from, before the program
// runs. Ranks that are forked there need no import of what it has preloaded, and are Pythons of their own otherwise.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "common/environment.h"

namespace ferrun {

struct PythonPlan {
  // The modules to import; none: torch where it is installed, and then what the first attempt imports of it and of what
  // it needs.
  std::optional<std::vector<std::string>> preload = std::nullopt;
  size_t behind_python = 1;  // the first word of the command line that stands behind the interpreter; 0: a script's #!
};

// A zip file with a sitecustomize.py, as Python's zipimport reads it. `argv` is the command line: another Python that
// is started on the way to it does not become the template.
std::string python_template_archive(const std::vector<std::string>& argv, const PythonPlan& plan);

// Has the interpreter find the archive at `path` before anything else, and glibc keep the heap in huge pages, of which
// a fork copies one entry where it copies 512 of the others. The template takes both back.
void let_python_find(const std::string& path, Environment& environment);

}  // namespace ferrun
