#include "launcher/config/program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/launcher/config/host_fixture.h"

namespace ferrun {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

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

TEST(ResolveProgram, RunsStandardInputByPython) {
  FakeHost host;
  const auto program = resolve_program({"-", "x"}, {}, host.facts());
  ASSERT_TRUE(program);
  EXPECT_THAT(program->argv, ElementsAre("/usr/bin/python3", "-u", "-", "x"));
  EXPECT_THAT(refusal({"-"}, host, {.no_python = true}), HasSubstr("no such program in PATH"));
}

TEST(ResolveProgram, RunsAScriptByRunpyWhenAsked) {
  FakeHost host;
  host.file("script");
  const auto program = resolve_program({"script", "x"}, {.run_path = true}, host.facts());
  ASSERT_TRUE(program);
  EXPECT_THAT(program->argv, ElementsAre("/usr/bin/python3", "-u", "-c", HasSubstr("runpy.run_path"), "script", "x"));
  EXPECT_EQ(program->user_arguments, 5u);
}

TEST(ResolveProgram, SaysWhenThereIsNoPython) {
  FakeHost host;
  host.file("t.py").variable("PATH", "/empty");
  EXPECT_THAT(refusal({"t.py"}, host), HasSubstr("set PYTHON_EXEC"));
}

// What `python X` runs.

const std::string kElf =
    "\x7f"
    "ELF\x02\x01";
const std::string kZip = "PK\x03\x04 and more";
const std::string kByteCode = std::string("\xcb\x0d\r\n", 4) + std::string(12, '\0') + "code";
const std::string kData = std::string("\x89PNG\0\0", 6);

std::string run_line(const std::string& name, const FakeHost& host, ProgramChoice choice = {}) {
  const Result<Program> program = resolve_program({name, "x"}, choice, host.facts());
  if (!program) return program.error().message;
  std::string line;
  for (const std::string& word : program->argv) line += word + " ";
  for (const std::string& warning : program->warnings) line += "| " + warning + " ";
  return line.substr(0, line.size() - 1);
}

TEST(ResolveProgram, PythonRunsWhatIsNoProgramOfItsOwn) {
  FakeHost host;
  host.file("app.pyz", kZip).file("app.pyc", kByteCode).file("train", "import torch\n").file("empty", "");
  host.program("marked", "import torch\n").file("script", "#!/usr/bin/env python3\nimport torch\n");
  host.program("executable", "#!/opt/python3.11\n").file("zipapp", "#!/usr/bin/env python3\n" + kZip);
  host.directory("package").file("package/__main__.py").directory("compiled").file("compiled/__main__.pyc");
  host.directory("named.py").file("named.py/__main__.py");
  for (const char* name : {"app.pyz", "app.pyc", "train", "empty", "marked", "script", "executable", "zipapp",
                           "package", "compiled", "named.py"}) {
    EXPECT_EQ(run_line(name, host), "/usr/bin/python3 -u " + std::string(name) + " x");
  }
}

TEST(ResolveProgram, PythonRunsTheSameByItsPath) {
  FakeHost host;
  host.file("./train", "import torch\n").program("/code/train", "#!/usr/bin/python3\n").directory("/code/app");
  host.file("/code/app/__main__.py");
  for (const char* name : {"./train", "/code/train", "/code/app"}) {
    EXPECT_EQ(run_line(name, host), "/usr/bin/python3 -u " + std::string(name) + " x");
  }
}

TEST(ResolveProgram, AProgramAndAScriptOfAnotherInterpreterRunThemselves) {
  FakeHost host;
  host.program("./elf", kElf).program("./shell", "#!/bin/bash\n").program("./perl", "#!/usr/bin/env -S perl -w\n");
  host.program("./data", kData).program("./secret");
  for (const char* name : {"./elf", "./shell", "./perl", "./data", "./secret"}) {
    EXPECT_EQ(run_line(name, host), std::string(name) + " x");
  }
}

TEST(ResolveProgram, AConsoleScriptBesideItsPythonRunsItself) {
  FakeHost host;
  host.program("/venv/bin/tool", "#!/venv/bin/python\n").program("venv/bin/tool", "#!/home/user/venv/bin/python3.11\n");
  EXPECT_EQ(run_line("/venv/bin/tool", host), "/venv/bin/tool x");
  EXPECT_EQ(run_line("venv/bin/tool", host), "venv/bin/tool x");
  host.program("/usr/bin/installed", "#!/usr/bin/python3\n");
  EXPECT_EQ(run_line("installed", host), "/usr/bin/installed x");
}

TEST(ResolveProgram, WhatLiesInThisFolderComesBeforeAProgramOfItsNameAndThatIsSaid) {
  FakeHost host;
  host.file("test", "import torch\n").program("/usr/bin/test", kElf);
  EXPECT_EQ(run_line("test", host),
            "/usr/bin/python3 -u test x | test: Python runs the one in this folder; for the program in PATH write"
            " /usr/bin/test");
  host.program("built", kElf).program("/usr/bin/built", kElf).directory("sources").program("/usr/bin/sources", kElf);
  EXPECT_EQ(run_line("built", host), "/usr/bin/built x");
  EXPECT_EQ(run_line("sources", host), "/usr/bin/sources x");
}

TEST(ResolveProgram, WorkerStaysTheOneBesideFerrunAndThatIsSaid) {
  FakeHost host;
  host.file("worker", "import torch\n").program("/opt/ferrun/bin/worker");
  EXPECT_EQ(
      run_line("worker", host),
      "/opt/ferrun/bin/worker x | worker is the program beside ferrun; for the one in this folder write ./worker");
}

TEST(ResolveProgram, WithoutPythonNothingIsGivenToIt) {
  FakeHost host;
  host.file("train", "import torch\n").program("./train", "import torch\n").program("/usr/bin/train");
  EXPECT_EQ(run_line("train", host, {.no_python = true}), "/usr/bin/train x");
  EXPECT_EQ(run_line("./train", host, {.no_python = true}), "./train x");
}

TEST(ResolveProgram, NeverReadsWhatIsNoFile) {
  FakeHost host;
  host.pipe("/dev/fd/63");
  EXPECT_EQ(run_line("/dev/fd/63", host), "/usr/bin/python3 -u /dev/fd/63 x");
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
  host.file("./plain", kElf).directory("./folder").directory("d.py").file("local", kElf).file("./sh", "#! /bin/sh\n");
  host.file("./data", kData).file("./locked").directory("package").file("./text", "import torch\n");
  EXPECT_EQ(refusal({"./gone"}, host), "./gone: no such program");
  EXPECT_EQ(refusal({"./folder"}, host), "./folder is a directory without a __main__.py, not a program");
  EXPECT_EQ(refusal({"./plain"}, host), "./plain is not executable; allow it with: chmod +x ./plain");
  EXPECT_EQ(refusal({"./sh"}, host), "./sh is not executable, and its #! names /bin/sh; allow it with: chmod +x ./sh");
  EXPECT_EQ(refusal({"./data"}, host), "./data is neither a program nor anything that Python runs");
  EXPECT_EQ(refusal({"./locked"}, host), "./locked: Permission denied");
  EXPECT_THAT(refusal({"package"}, host), HasSubstr("the folder of this name has no __main__.py"));
  EXPECT_EQ(refusal({"./text"}, host, {.no_python = true}),
            "./text is not executable, which --no-python needs it to be; without that Python runs it");
  EXPECT_EQ(refusal({"gone"}, host), "gone: no such program in PATH or beside ferrun");
  EXPECT_THAT(refusal({"local"}, host), HasSubstr("for the file in this folder write ./local"));
  EXPECT_EQ(refusal({"gone.py"}, host), "gone.py: no such file");
  EXPECT_EQ(refusal({"d.py"}, host), "d.py is a directory without a __main__.py, not a script");
  EXPECT_EQ(refusal({""}, host), "the program's name is empty");
  host.unreachable("./in/a").unreachable("in/a.py");
  const std::string why =
      " cannot be reached: a folder on the way is closed to this user, or its links lead in a circle";
  EXPECT_THAT(refusal({"./in/a"}, host), StartsWith("./in/a" + why));
  EXPECT_THAT(refusal({"./in/a"}, host, {.no_python = true}), StartsWith("./in/a" + why));
  EXPECT_THAT(refusal({"in/a.py"}, host), StartsWith("in/a.py" + why));
}

}  // namespace
}  // namespace ferrun
