#include "launcher/config/python_choice.h"

#include <vector>

#include "launcher/config/values.h"

namespace ferrun {
namespace {

namespace fs = std::filesystem;
using Kind = FileQueries::Kind;

// As many as the kernel follows.
constexpr int kMostLinks = 40;

Error no_python(std::string message) { return Error{ErrorKind::kUser, std::move(message)}; }

Result<PythonChoice> named_python(const std::string& chosen, const HostFacts& facts) {
  const std::string why = "PYTHON_EXEC names it";
  if (chosen.find('/') == std::string::npos) {
    if (std::optional<std::string> found = search_path(chosen, facts)) return PythonChoice{*found, why};
    return no_python("PYTHON_EXEC=" + chosen + ": no such program in PATH");
  }
  switch (facts.files.kind(chosen)) {
    case Kind::kMissing: return no_python("PYTHON_EXEC: " + chosen + ": no such program");
    case Kind::kUnreachable:
      return no_python("PYTHON_EXEC: " + chosen + " cannot be reached; see where with: namei -l " + chosen);
    case Kind::kDirectory: return no_python("PYTHON_EXEC: " + chosen + " is a directory, not a program");
    case Kind::kFile:
    case Kind::kOther: break;
  }
  if (facts.files.executable(chosen)) return PythonChoice{chosen, why};
  return no_python("PYTHON_EXEC: " + chosen + " is not executable; allow it with: chmod +x " + chosen);
}

std::optional<std::string> python_in(const fs::path& bin, const FileQueries& files) {
  for (const char* name : {"python", "python3"}) {
    if (runnable(bin / name, files)) return (bin / name).string();
  }
  return std::nullopt;
}

// The folders that the way to this process led through: the one in which it was called, then those that links lead to.
std::vector<fs::path> folders_called_from(const HostFacts& facts) {
  fs::path at = facts.called_as;
  if (facts.called_as.find('/') == std::string::npos) at = search_path(facts.called_as, facts).value_or("");
  if (!at.empty()) at = facts.current_folder / at;
  std::vector<fs::path> folders;
  for (int links = 0; !at.empty() && links <= kMostLinks; ++links) {
    folders.push_back(at.parent_path());
    const std::optional<fs::path> target = facts.files.link_target(at);
    if (!target) break;
    at = at.parent_path() / *target;  // an absolute one replaces all of it
  }
  if (!facts.ferrun_folder.empty()) folders.push_back(facts.ferrun_folder);
  return folders;
}

bool is_environment(const fs::path& folder, const FileQueries& files) {
  return files.kind(folder / "pyvenv.cfg") == Kind::kFile || files.kind(folder / "conda-meta") == Kind::kDirectory;
}

std::optional<PythonChoice> python_of_the_caller(const HostFacts& facts) {
  for (const fs::path& bin : folders_called_from(facts)) {
    const fs::path environment = (bin / "..").lexically_normal();
    if (!is_environment(environment, facts.files)) continue;
    if (const std::optional<std::string> python = python_in(bin, facts.files)) {
      return PythonChoice{*python, "ferrun was called from its environment"};
    }
  }
  return std::nullopt;
}

std::optional<PythonChoice> python_of_a_variable(const HostFacts& facts) {
  for (const char* name : {"VIRTUAL_ENV", "CONDA_PREFIX"}) {
    const std::string folder = facts.environment.get_or(name, "");
    if (folder.empty()) continue;
    if (const std::optional<std::string> python = python_in(fs::path(folder) / "bin", facts.files)) {
      return PythonChoice{*python, std::string(name) + " names its environment"};
    }
  }
  return std::nullopt;
}

// A virtual environment whose Python is gone, with the distribution's upgrade for example: what runs instead knows
// nothing of its packages.
std::string environment_without_python(const HostFacts& facts) {
  const auto sentence = [](const std::string& which) { return which + " has no Python that can be run"; };
  for (const fs::path& bin : folders_called_from(facts)) {
    const fs::path environment = (bin / "..").lexically_normal();
    if (is_environment(environment, facts.files) && !python_in(bin, facts.files)) {
      return sentence("the environment that ferrun was called from, " + environment.parent_path().string() + ",");
    }
  }
  const std::string named = facts.environment.get_or("VIRTUAL_ENV", "");
  return named.empty() || python_in(fs::path(named) / "bin", facts.files) ? "" : sentence("VIRTUAL_ENV=" + named);
}

// What is taken where none of the environments gives a Python.
Result<PythonChoice> python_of_the_path(const HostFacts& facts) {
  for (const char* name : {"python3", "python"}) {
    if (const std::optional<std::string> found = search_path(name, facts)) {
      return PythonChoice{*found, "it is the first one in PATH"};
    }
  }
  return no_python(
      "no Python interpreter found: neither in the environment that ferrun lies in, VIRTUAL_ENV and"
      " CONDA_PREFIX nor as python3 in PATH; set PYTHON_EXEC");
}

}  // namespace

bool runnable(const fs::path& path, const FileQueries& files) {
  return files.kind(path) == Kind::kFile && files.executable(path);
}

std::optional<std::string> search_path(const std::string& name, const HostFacts& facts) {
  if (name.empty()) return std::nullopt;
  const std::string folders = facts.environment.get_or("PATH", "/usr/local/bin:/usr/bin:/bin");
  for (const std::string& folder : split_list(folders, ':')) {
    const fs::path candidate = fs::path(folder.empty() ? "." : folder) / name;  // an empty entry is the current folder
    if (runnable(candidate, facts.files)) return candidate.string();
  }
  return std::nullopt;
}

Result<PythonChoice> choose_python(const HostFacts& facts) {
  const std::string named = facts.environment.get_or("PYTHON_EXEC", "");
  if (!named.empty()) return named_python(named, facts);
  if (std::optional<PythonChoice> python = python_of_the_caller(facts)) return *python;
  const std::optional<PythonChoice> of_variable = python_of_a_variable(facts);
  Result<PythonChoice> chosen = of_variable ? Result<PythonChoice>(*of_variable) : python_of_the_path(facts);
  if (const std::string broken = environment_without_python(facts); chosen && !broken.empty()) {
    chosen->warning = broken + ": using " + chosen->path;
  }
  return chosen;
}

}  // namespace ferrun
