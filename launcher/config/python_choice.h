// Which Python runs scripts and modules. Pure; asks about files through FileQueries.
#pragma once

#include <optional>
#include <string>

#include "common/result.h"
#include "launcher/config/host_facts.h"

namespace ferrun {

struct PythonChoice {
  std::string path;
  std::string why;           // the second half of a sentence: "PYTHON_EXEC names it"
  std::string warning = {};  // of an environment that was meant and has no Python to run; empty: none
};

// In this order: PYTHON_EXEC; the environment (venv or conda) whose bin folder ferrun was called from, as torchrun in
// that folder would; VIRTUAL_ENV; CONDA_PREFIX; python3 and python in PATH. A variable that names an environment
// without a Python is passed over. Fails with kUser and one line.
Result<PythonChoice> choose_python(const HostFacts& facts);

// Whether `path` is a file that may be executed.
bool runnable(const std::filesystem::path& path, const FileQueries& files);

// The program of this name in PATH.
std::optional<std::string> search_path(const std::string& name, const HostFacts& facts);

}  // namespace ferrun
