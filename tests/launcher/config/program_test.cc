#include "launcher/config/program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/launcher/config/host_fixture.h"

namespace ferrun {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string refusal(const std::vector<std::string>& words, const FakeHost& host, ProgramChoice choice = {}) {
  const Result<Program> program = resolve_program(words, choice, host.facts());
  if (program) return "accepted";
  EXPECT_EQ(program.error().kind, ErrorKind::kUser);
  return program.error().message;
}

TEST(ResolveProgram, RunsAPythonFileByPython) {
  FakeHost host;
  host.file("train.py");
  const auto program = resolve_program({"train.py", "--lr", "1"}, {}, host.facts());
  ASSERT_TRUE(program);
  EXPECT_THAT(program->argv, ElementsAre("/usr/bin/python3", "-u", "train.py", "--lr", "1"));
  EXPECT_EQ(program->user_arguments, 3u);
  EXPECT_EQ(program->title, "train.py");
}

TEST(ResolveProgram, RunsAModuleByPython) {
  FakeHost host;
  const auto program = resolve_program({"pkg.train", "x"}, {.module = true}, host.facts());
  ASSERT_TRUE(program);
  EXPECT_THAT(program->argv, ElementsAre("/usr/bin/python3", "-u", "-m", "pkg.train", "x"));
}

TEST(ResolveProgram, RunsAScriptByRunpyWhenAsked) {
  FakeHost host;
  host.file("script");
  const auto program = resolve_program({"script", "x"}, {.run_path = true}, host.facts());
  ASSERT_TRUE(program);
  EXPECT_THAT(program->argv, ElementsAre("/usr/bin/python3", "-u", "-c", HasSubstr("runpy.run_path"), "script", "x"));
  EXPECT_EQ(program->user_arguments, 5u);
}

TEST(ResolveProgram, ChoosesTheInterpreterFromTheEnvironment) {
  FakeHost host;
  host.file("t.py").program("/venv/bin/python").program("/opt/bin/pypy").program("/conda/python");
  const auto interpreter = [&host] { return resolve_program({"t.py"}, {}, host.facts())->argv.front(); };
  EXPECT_EQ(interpreter(), "/usr/bin/python3");
  host.variable("VIRTUAL_ENV", "/venv");
  EXPECT_EQ(interpreter(), "/venv/bin/python");
  host.variable("PYTHON_EXEC", "pypy");
  EXPECT_EQ(interpreter(), "/opt/bin/pypy");
  host.variable("PYTHON_EXEC", "/conda/python");
  EXPECT_EQ(interpreter(), "/conda/python");
  host.variable("PYTHON_EXEC", "/nowhere/python");
  EXPECT_EQ(refusal({"t.py"}, host), "PYTHON_EXEC: /nowhere/python: no such program");
  host.variable("PYTHON_EXEC", "nopython");
  EXPECT_EQ(refusal({"t.py"}, host), "PYTHON_EXEC=nopython: no such program in PATH");
}

TEST(ResolveProgram, SaysWhenThereIsNoInterpreter) {
  FakeHost host;
  host.file("t.py").variable("PATH", "/empty");
  EXPECT_THAT(refusal({"t.py"}, host), HasSubstr("set PYTHON_EXEC"));
}

TEST(ResolveProgram, ANameWithASlashIsThatFile) {
  FakeHost host;
  host.program("./train").program("/usr/bin/train");
  EXPECT_THAT(resolve_program({"./train"}, {}, host.facts())->argv, ElementsAre("./train"));
}

TEST(ResolveProgram, WorkerIsTheOneBesideFerrunThenTheOneInPath) {
  FakeHost host;
  host.program("/usr/bin/worker");
  EXPECT_EQ(resolve_program({"worker"}, {}, host.facts())->argv.front(), "/usr/bin/worker");
  host.program("/opt/ferrun/bin/worker");
  EXPECT_EQ(resolve_program({"worker"}, {}, host.facts())->argv.front(), "/opt/ferrun/bin/worker");
}

TEST(ResolveProgram, AnyOtherNameIsInPathThenBesideFerrun) {
  FakeHost host;
  host.program("/opt/ferrun/bin/hello");
  EXPECT_EQ(resolve_program({"hello"}, {}, host.facts())->argv.front(), "/opt/ferrun/bin/hello");
  host.program("/opt/bin/hello");
  EXPECT_EQ(resolve_program({"hello"}, {}, host.facts())->argv.front(), "/opt/bin/hello");
  host.program("/usr/bin/hello");
  EXPECT_EQ(resolve_program({"hello", "x"}, {}, host.facts())->argv, (std::vector<std::string>{"/usr/bin/hello", "x"}));
}

TEST(ResolveProgram, PathSkipsFoldersAndFilesThatCannotBeExecuted) {
  FakeHost host;
  host.directory("/usr/bin/tool").program("/opt/bin/tool").file("/usr/bin/other").program("/opt/bin/other");
  EXPECT_EQ(resolve_program({"tool"}, {}, host.facts())->argv.front(), "/opt/bin/tool");
  EXPECT_EQ(resolve_program({"other"}, {}, host.facts())->argv.front(), "/opt/bin/other");
}

TEST(ResolveProgram, WithoutPythonAScriptIsExecutedItself) {
  FakeHost host;
  host.program("/usr/bin/train.py").program("./train.py");
  EXPECT_THAT(resolve_program({"train.py"}, {.no_python = true}, host.facts())->argv, ElementsAre("/usr/bin/train.py"));
  EXPECT_THAT(resolve_program({"./train.py"}, {.no_python = true}, host.facts())->argv, ElementsAre("./train.py"));
}

TEST(ResolveProgram, SaysInOneLineWhatIsWrong) {
  FakeHost host;
  host.file("./plain").directory("./folder").directory("d.py").file("local");
  EXPECT_EQ(refusal({"./gone"}, host), "./gone: no such program");
  EXPECT_EQ(refusal({"./folder"}, host), "./folder is a directory, not a program");
  EXPECT_EQ(refusal({"./plain"}, host), "./plain is not executable; allow it with: chmod +x ./plain");
  EXPECT_EQ(refusal({"gone"}, host), "gone: no such program in PATH or beside ferrun");
  EXPECT_THAT(refusal({"local"}, host), HasSubstr("for the file in this folder write ./local"));
  EXPECT_EQ(refusal({"gone.py"}, host), "gone.py: no such file");
  EXPECT_EQ(refusal({"d.py"}, host), "d.py is a directory, not a script");
  EXPECT_EQ(refusal({""}, host), "the program's name is empty");
}

}  // namespace
}  // namespace ferrun
