#include "launcher/config/program.h"

#include <optional>

#include "launcher/config/values.h"

namespace ferrun {
namespace {

namespace fs = std::filesystem;
using Kind = FileQueries::Kind;

// Runs sys.argv[1] as python would run a script, under torch's error recorder where torch is installed.
constexpr std::string_view kRunPathBootstrap = R"(import os, runpy, sys
sys.argv = sys.argv[1:]
sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
def run_script_path():
    runpy.run_path(sys.argv[0], run_name="__main__")
try:
    from torch.distributed.elastic.multiprocessing.errors import record
except ImportError:
    record = lambda function: function
record(run_script_path)()
)";

Error user_error(std::string message) { return Error{ErrorKind::kUser, std::move(message)}; }

bool runnable(const fs::path& path, const FileQueries& files) {
  return files.kind(path) == Kind::kFile && files.executable(path);
}

std::optional<std::string> search_path(const std::string& name, const HostFacts& facts) {
  const std::string folders = facts.environment.get_or("PATH", "/usr/local/bin:/usr/bin:/bin");
  for (const std::string& folder : split_list(folders, ':')) {
    const fs::path candidate = fs::path(folder.empty() ? "." : folder) / name;  // an empty entry is the current folder
    if (runnable(candidate, facts.files)) return candidate.string();
  }
  return std::nullopt;
}

Result<std::string> program_at(const std::string& path, const FileQueries& files) {
  switch (files.kind(path)) {
    case Kind::kMissing: return user_error(path + ": no such program");
    case Kind::kDirectory: return user_error(path + " is a directory, not a program");
    case Kind::kFile:
    case Kind::kOther: break;
  }
  if (!files.executable(path)) return user_error(path + " is not executable; allow it with: chmod +x " + path);
  return path;
}

Result<std::string> named_program(const std::string& name, const HostFacts& facts) {
  if (name.find('/') != std::string::npos) return program_at(name, facts.files);
  const fs::path beside = facts.ferrun_folder / name;
  const bool is_beside = !facts.ferrun_folder.empty() && runnable(beside, facts.files);
  if (name == "worker" && is_beside) return beside.string();
  if (const std::optional<std::string> found = search_path(name, facts)) return *found;
  if (is_beside) return beside.string();
  std::string message = name + ": no such program in PATH or beside ferrun";
  if (facts.files.kind(name) == Kind::kFile) message += "; for the file in this folder write ./" + name;
  return user_error(message);
}

Result<std::string> interpreter(const HostFacts& facts) {
  if (const std::optional<std::string> chosen = facts.environment.get("PYTHON_EXEC"); chosen && !chosen->empty()) {
    if (chosen->find('/') != std::string::npos) {
      Result<std::string> path = program_at(*chosen, facts.files);
      if (!path) return user_error("PYTHON_EXEC: " + path.error().message);
      return path;
    }
    if (std::optional<std::string> found = search_path(*chosen, facts)) return *found;
    return user_error("PYTHON_EXEC=" + *chosen + ": no such program in PATH");
  }
  if (const std::optional<std::string> venv = facts.environment.get("VIRTUAL_ENV"); venv && !venv->empty()) {
    const fs::path python = fs::path(*venv) / "bin" / "python";
    if (runnable(python, facts.files)) return python.string();
  }
  for (const char* name : {"python3", "python"}) {
    if (std::optional<std::string> found = search_path(name, facts)) return *found;
  }
  return user_error(
      "no Python interpreter found: neither $VIRTUAL_ENV/bin/python nor python3 in PATH; set PYTHON_EXEC");
}

Status check_script(const std::string& script, const FileQueries& files) {
  switch (files.kind(script)) {
    case Kind::kMissing: return user_error(script + ": no such file");
    case Kind::kDirectory: return user_error(script + " is a directory, not a script");
    case Kind::kFile:
    case Kind::kOther: break;
  }
  return ok_status();
}

// `front` is everything up to the first argument of the user's own.
Program assemble(std::vector<std::string> front, const std::vector<std::string>& words) {
  Program program{std::move(front), 0, words.front()};
  program.user_arguments = program.argv.size();
  program.argv.insert(program.argv.end(), words.begin() + 1, words.end());
  return program;
}

}  // namespace

Result<Program> resolve_program(const std::vector<std::string>& words, ProgramChoice choice, const HostFacts& facts) {
  const std::string& name = words.front();
  if (name.empty()) return user_error("the program's name is empty");
  const bool python = choice.run_path || choice.module || (!choice.no_python && name.ends_with(".py"));
  if (!python) {
    Result<std::string> path = named_program(name, facts);
    if (!path) return path.error();
    return assemble({*path}, words);
  }
  const Result<std::string> python_path = interpreter(facts);
  if (!python_path) return python_path.error();
  if (choice.module) return assemble({*python_path, "-u", "-m", name}, words);
  if (Status script = check_script(name, facts.files); !script) return script.error();
  if (choice.run_path) return assemble({*python_path, "-u", "-c", std::string(kRunPathBootstrap), name}, words);
  return assemble({*python_path, "-u", name}, words);
}

}  // namespace ferrun
