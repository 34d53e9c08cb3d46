#include "launcher/config/program.h"

#include <optional>

#include "launcher/config/file_nature.h"
#include "launcher/config/python_choice.h"

namespace ferrun {
namespace {

namespace fs = std::filesystem;
using Kind = FileQueries::Kind;

// Runs sys.argv[1] as python would run a script, under torch's error recorder where torch is installed. A script that
// has returned waits for those of the other ranks: descriptor 3 is the writing end of a pipe that all of them hold, so
// that its reading end ends when the last of them lets go of it, by returning or by its end. A child must not hold it.
// What is left of an interpreter's end behind its exit functions are destructors, and that of a process group with work
// on its way waits for peers, which wait for this rank: after an exception it has ten seconds.
constexpr std::string_view kRunPathBootstrap = R"(import atexit, faulthandler, os, runpy, sys
raised = False
atexit.register(lambda: raised and faulthandler.dump_traceback_later(10, exit=True))
sys.argv = sys.argv[1:]
sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
def run_script_path():
    runpy.run_path(sys.argv[0], run_name="__main__")
class Gate:
    def __init__(self):
        try:
            self.running = os.dup(3)
            self.others = os.open("/proc/self/fd/3", os.O_RDONLY | os.O_CLOEXEC)
            os.close(3)
        except OSError:
            self.running = self.others = None
        os.register_at_fork(after_in_child=self.let_go)
    def let_go(self):
        if self.running is not None:
            os.close(self.running)
            self.running = None
    def wait(self):
        self.let_go()
        if self.others is not None:
            os.read(self.others, 1)
gate = Gate()
try:
    from torch.distributed.elastic.multiprocessing.errors import record
except ImportError:
    record = lambda function: function
try:
    record(run_script_path)()
except SystemExit as end:
    if end.code:
        raise
except Exception:
    raised = True
    raise
gate.wait()
)";

Error user_error(std::string message) { return Error{ErrorKind::kUser, std::move(message)}; }

Error unreachable(const std::string& path) {
  return user_error(path + " cannot be reached: a folder on the way is closed to this user, or its links lead in a " +
                    "circle; see where with: namei -l " + path);
}

// Who runs a file or folder that was named.
enum class Runner { kItself, kPython };

bool has_main(const fs::path& folder, const FileQueries& files) {
  return files.kind(folder / "__main__.py") == Kind::kFile || files.kind(folder / "__main__.pyc") == Kind::kFile;
}

// As installers of Python packages make them: the Python of its own environment is the one to run it.
bool is_console_script(const std::string& script, std::string_view beginning, const HostFacts& facts) {
  const fs::path interpreter = interpreter_of(beginning);
  const fs::path folder = (facts.current_folder / script).lexically_normal().parent_path();
  return interpreter.is_absolute() && interpreter.parent_path() == folder;
}

Error not_executable(const std::string& path, const std::string& more = "") {
  return user_error(path + " is not executable" + more + "; allow it with: chmod +x " + path);
}

Result<Runner> runner_of_file(const std::string& path, const HostFacts& facts) {
  const bool executable = facts.files.executable(path);
  const Result<std::string> beginning = facts.files.beginning(path);
  if (!beginning && executable) return Runner::kItself;
  if (!beginning) return user_error(path + ": " + beginning.error().message);
  switch (nature_of(*beginning)) {
    case FileNature::kArchive:
    case FileNature::kByteCode:
    case FileNature::kText: return Runner::kPython;
    case FileNature::kPythonScript:
      return executable && is_console_script(path, *beginning, facts) ? Runner::kItself : Runner::kPython;
    case FileNature::kProgram:
      if (!executable) return not_executable(path);
      return Runner::kItself;
    case FileNature::kOtherScript:
      if (!executable) return not_executable(path, ", and its #! names " + interpreter_of(*beginning));
      return Runner::kItself;
    case FileNature::kData:
      if (!executable) return user_error(path + " is neither a program nor anything that Python runs");
      return Runner::kItself;  // the kernel may know its format
  }
  return Runner::kItself;
}

Result<Runner> runner_at(const std::string& path, const HostFacts& facts) {
  switch (facts.files.kind(path)) {
    case Kind::kMissing: return user_error(path + ": no such program");
    case Kind::kUnreachable: return unreachable(path);
    case Kind::kDirectory:
      if (has_main(path, facts.files)) return Runner::kPython;
      return user_error(path + " is a directory without a __main__.py, not a program");
    case Kind::kOther: return Runner::kPython;  // a device or pipe can be read, and nothing else
    case Kind::kFile: break;
  }
  return runner_of_file(path, facts);
}

// Whether Python runs what has this name in the current folder.
bool python_runs(const std::string& name, const HostFacts& facts) {
  const Kind kind = facts.files.kind(name);
  if (kind != Kind::kFile && kind != Kind::kDirectory) return false;
  const Result<Runner> runner = runner_at(name, facts);
  return runner && *runner == Runner::kPython;
}

// Without Python's help, for --no-python.
Result<std::string> executable_at(const std::string& path, const HostFacts& facts) {
  switch (facts.files.kind(path)) {
    case Kind::kMissing: return user_error(path + ": no such program");
    case Kind::kUnreachable: return unreachable(path);
    case Kind::kDirectory: return user_error(path + " is a directory, not a program");
    case Kind::kFile:
    case Kind::kOther: break;
  }
  if (facts.files.executable(path)) return path;
  if (python_runs(path, facts)) {
    return user_error(path + " is not executable, which --no-python needs it to be; without that Python runs it");
  }
  return not_executable(path);
}

Status check_script(const std::string& script, const FileQueries& files) {
  switch (files.kind(script)) {
    case Kind::kMissing: return user_error(script + ": no such file");
    case Kind::kUnreachable: return unreachable(script);
    case Kind::kDirectory:
      if (!has_main(script, files)) return user_error(script + " is a directory without a __main__.py, not a script");
      break;
    case Kind::kFile:
    case Kind::kOther: break;
  }
  return ok_status();
}

// Finds the program, and says who runs it.
class ProgramSearch {
 public:
  ProgramSearch(const std::vector<std::string>& words, const HostFacts& facts)
      : words_(words), name_(words.front()), facts_(facts), files_(facts.files) {}

  Result<Program> find(ProgramChoice choice) const {
    if (name_.empty()) return user_error("the program's name is empty");
    if (choice.module) return by_python({"-m"});
    if (name_ == "-" && !choice.no_python) return by_python({});  // from standard input
    if (choice.run_path || (!choice.no_python && name_.ends_with(".py"))) {
      if (Status script = check_script(name_, files_); !script) return script.error();
      if (!choice.run_path) return by_python({});
      Result<Program> program = by_python({"-c", std::string(kRunPathBootstrap)});
      if (program) program->returns_together = true;
      return program;
    }
    if (name_.find('/') == std::string::npos) return by_name(!choice.no_python);
    if (choice.no_python) {
      Result<std::string> path = executable_at(name_, facts_);
      if (!path) return path.error();
      return itself(*path);
    }
    const Result<Runner> runner = runner_at(name_, facts_);
    if (!runner) return runner.error();
    return *runner == Runner::kPython ? by_python({}) : itself(name_);
  }

 private:
  Result<Program> by_name(bool python_allowed) const {
    const fs::path beside = facts_.ferrun_folder / name_;
    const bool is_beside = !facts_.ferrun_folder.empty() && runnable(beside, files_);
    const bool is_here = python_allowed && python_runs(name_, facts_);
    if (name_ == "worker" && is_beside) {
      const std::string other = "worker is the program beside ferrun; for the one in this folder write ./worker";
      return with_warning(itself(beside.string()), is_here ? other : "");
    }
    const std::optional<std::string> installed = search_path(name_, facts_);
    if (is_here) {
      return with_warning(by_python({}), installed
                                             ? name_ + ": Python runs the one in this folder; for the program in" +
                                                   " PATH write " + *installed
                                             : "");
    }
    if (installed) return itself(*installed);
    if (is_beside) return itself(beside.string());
    return nothing_of_this_name();
  }

  Error nothing_of_this_name() const {
    std::string message = name_ + ": no such program in PATH or beside ferrun";
    if (files_.kind(name_) == Kind::kFile) message += "; for the file in this folder write ./" + name_;
    if (files_.kind(name_) == Kind::kDirectory) message += ", and the folder of this name has no __main__.py";
    return user_error(message);
  }

  // `front`: what stands between the options of Python and the name.
  Result<Program> by_python(std::vector<std::string> front) const {
    const Result<PythonChoice> python = choose_python(facts_);
    if (!python) return python.error();
    front.insert(front.begin(), {python->path, "-u"});
    front.push_back(name_);
    Program program = assemble(std::move(front));
    program.why_python = python->why;
    if (!python->warning.empty()) program.warnings.push_back(python->warning);
    return program;
  }

  Program itself(const std::string& path) const { return assemble({path}); }

  // `front` is everything up to the first argument of the user's own.
  Program assemble(std::vector<std::string> front) const {
    Program program;
    program.argv = std::move(front);
    program.title = name_;
    program.user_arguments = program.argv.size();
    program.argv.insert(program.argv.end(), words_.begin() + 1, words_.end());
    return program;
  }

  static Result<Program> with_warning(Result<Program> program, const std::string& warning) {
    if (program && !warning.empty()) program->warnings.push_back(warning);
    return program;
  }

  const std::vector<std::string>& words_;
  const std::string& name_;
  const HostFacts& facts_;
  const FileQueries& files_;
};

}  // namespace

Result<Program> resolve_program(const std::vector<std::string>& words, ProgramChoice choice, const HostFacts& facts) {
  return ProgramSearch(words, facts).find(choice);
}

}  // namespace ferrun
