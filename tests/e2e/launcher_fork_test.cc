// Python workers that are forked from a template: to the script they are what started ones are, and where they could
// not be, they are started.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "launcher/io/probe/node_memory.h"
#include "tests/e2e/launcher_run.h"
#include "tests/peer_python.h"

namespace ferrun {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kPeerScripts = FERRUN_SOURCE_DIR "/tests/e2e/launcher_peer/";

class LauncherFork : public ::testing::Test {
 protected:
  void SetUp() override { FERRUN_NEEDS_PEER(); }

  Finished run(std::vector<std::string> arguments, RunningFerrun::Variables variables = {}) {
    variables["PYTHON_EXEC"] = peer_python();
    variables["TORCH_CPP_LOG_LEVEL"] = "FATAL";
    return ferrun(folder_, arguments, variables, kPatience);
  }
  Finished fork(std::vector<std::string> arguments, const RunningFerrun::Variables& variables = {}) {
    arguments.insert(arguments.begin(), "--start-method=forkserver");
    return run(arguments, variables);
  }

  // What view.py says under these options, by rank.
  std::vector<json> views(std::vector<std::string> arguments, RunningFerrun::Variables variables = {}) {
    fs::remove_all(folder_.path() / "views");
    fs::create_directory(folder_.path() / "views");
    variables["VIEW_FILE"] = (folder_.path() / "views/view").string();
    arguments.insert(arguments.begin(), {"--nproc-per-node=2", "--rdzv-id=job", "--log-dir=/dev/null"});
    const Finished end = run(arguments, variables);
    EXPECT_EQ(end.code(), 0) << end.err;
    EXPECT_THAT(end.err, Not(HasSubstr("spawned")));
    EXPECT_EQ(sorted_lines(end.out), (std::vector<std::string>{"at exit", "at exit", "out", "out"}));
    std::vector<json> seen;
    for (const char* name : {"views/view.0", "views/view.1"})
      seen.push_back(json::parse(folder_.read(name), nullptr, false));
    return seen;
  }

  // Several Pythons that load torch on a busy machine, and again after a restart.
  static constexpr std::chrono::seconds kPatience{240};

  ScratchFolder folder_;
};

std::string view_source() {
  std::ifstream file(kPeerScripts + "view.py");
  return {std::istreambuf_iterator<char>(file), {}};
}

void expect_equal_views(const json& started, const json& forked, const std::set<std::string>& but = {}) {
  ASSERT_TRUE(started.is_object() && forked.is_object());
  for (const auto& [name, value] : started.items()) {
    if (but.contains(name)) continue;
    EXPECT_EQ(value, forked.value(name, json())) << name;
  }
  EXPECT_EQ(started.size(), forked.size());
}

// Every way in which a Python is given its program.
TEST_F(LauncherFork, AScriptSeesItselfAsWhenItIsStarted) {
  const std::string source = view_source();
  fs::create_directories(folder_.path() / "pack");
  fs::create_directories(folder_.path() / "linked");
  folder_.write("view.py", source);
  folder_.write("pack/__main__.py", source);
  folder_.write("pack/__init__.py", "");
  fs::create_symlink(folder_.path() / "view.py", folder_.path() / "linked/view.py");
  const std::vector<std::vector<std::string>> programs = {
      {"view.py", "a b", ""}, {"linked/view.py", "--x"}, {"-m", "view", "-m"},
      {"-m", "pack"},         {"./pack", "x"},           {"--run-path", "linked/view.py", "x"}};
  for (const std::vector<std::string>& program : programs) {
    SCOPED_TRACE(json(program).dump());
    std::vector<std::string> forking = {"--start-method=fork", "--preload=json,logging,multiprocessing"};
    forking.insert(forking.end(), program.begin(), program.end());
    const RunningFerrun::Variables variables = {
        {"PYTHONHASHSEED", "7"}, {"MINE", "kept"}, {"GLIBC_TUNABLES", "glibc.malloc.tcache_count=7"}};
    const std::vector<json> started = views(program, variables);
    const std::vector<json> forked = views(forking, variables);
    for (const size_t rank : {0, 1}) expect_equal_views(started[rank]["view"], forked[rank]["view"]);
    for (const auto& [name, value] : forked[0]["draws"].items()) EXPECT_NE(value, forked[1]["draws"][name]) << name;
  }
}

TEST_F(LauncherFork, BoundToANodeItHasTheNodesMemoryAsWhenItIsStarted) {
  folder_.write("view.py", view_source());
  const RunningFerrun::Variables variables = {{"CUDA_VISIBLE_DEVICES", ""}, {"PYTHONHASHSEED", "7"}};
  const std::vector<json> started = views({"--numa-binding=node", "view.py"}, variables);
  const std::vector<json> forked =
      views({"--numa-binding=node", "--start-method=fork", "--preload=json", "view.py"}, variables);
  for (const size_t rank : {0, 1}) expect_equal_views(started[rank]["view"], forked[rank]["view"]);
  const NodeMemory memory = read_node_memory("/");
  if (memory.has_policy || !memory.refusal.empty() || memory.nodes != std::vector{0}) {
    GTEST_SKIP() << "no memory policy can be set here, or there are several nodes: " << memory.refusal;
  }
  EXPECT_EQ(forked[1]["view"]["memory"], json({"prefer:0"}));
}

TEST_F(LauncherFork, AScriptSeesTorchAsWhenItHasImportedIt) {
  folder_.write("view.py", view_source());
  const RunningFerrun::Variables variables = {{"VIEW_IMPORT", "torch"}, {"PYTHONHASHSEED", "7"}};
  const std::vector<json> started = views({"view.py"}, variables);
  const std::vector<json> forked = views({"--start-method=forkserver", "--preload=torch", "view.py"}, variables);
  for (const size_t rank : {0, 1}) expect_equal_views(started[rank]["view"], forked[rank]["view"]);
  EXPECT_EQ(forked[0]["draws"].size(), 4u) << "torch imports numpy";
  for (const auto& [name, value] : forked[0]["draws"].items()) EXPECT_NE(value, forked[1]["draws"][name]) << name;
}

// The same script by the interpreter itself: what is not the launcher's is the same.
TEST_F(LauncherFork, AScriptSeesItselfAsUnderPythonAlone) {
  folder_.write("view.py", view_source());
  const std::vector<json> forked = views({"--start-method=fork", "--preload=json", "view.py", "x"});
  const std::string command = "cd '" + folder_.path().string() + "' && exec env -i PATH=\"$PATH\" VIEW_FILE=alone '" +
                              peer_python() + "' -u view.py x > out 2> err < /dev/null";
  ASSERT_EQ(std::system(command.c_str()), 0) << folder_.read("err");
  expect_equal_views(json::parse(folder_.read("alone.0"))["view"], forked[0]["view"],
                     {"environ", "session", "death_signal", "parent", "stdin", "stdout", "stderr", "descriptors",
                      "spawned", "limits", "status"});
}

TEST_F(LauncherFork, TheStandardLibrarysOwnCustomizationsRunOnce) {
  fs::create_directories(folder_.path() / "site");
  folder_.write("site/sitecustomize.py", "import os\nos.environ['CUSTOM'] = os.environ.get('CUSTOM', '') + 'site'\n");
  folder_.write("x.py", "import os, sys\nprint(os.environ['CUSTOM'], os.environ['PYTHONPATH'], sys.path[1])\n");
  const std::string site = (folder_.path() / "site").string();
  const Finished end = fork({"--preload=", "x.py"}, {{"PYTHONPATH", site}});
  EXPECT_EQ(end.out, "site " + site + " " + site + "\n") << end.err;
}

// Attempt after attempt, a rank killed in the middle of a collective.
TEST_F(LauncherFork, AGlooJobIsForkedAgainAfterAKill) {
  const Finished end = fork({"--nproc-per-node=2", "--max-restarts=1", kPeerScripts + "ddp.py"}, {{"MODE", "kill"}});
  EXPECT_EQ(end.code(), 0) << end.err;
  const std::vector<std::string> lines = split_lines(end.out);
  ASSERT_EQ(lines.size(), 2u) << end.out;
  EXPECT_EQ(lines[0], lines[1]);
  EXPECT_THAT(lines[0], HasSubstr("attempt 1 sum 3 weights "));
  EXPECT_THAT(end.err, AllOf(HasSubstr("killed by SIGKILL"), Not(HasSubstr("spawned"))));
}

TEST_F(LauncherFork, ARankThatHasReturnedThroughRunPathWaitsForTheOthers) {
  for (const std::string how : {"return", "vanish"}) {
    const ScratchFolder events;
    const Finished end = fork({"--nproc-per-node=2", "--run-path", kPeerScripts + "returns.py"},
                              {{"HOW", how}, {"EVENTS", (events.path() / "events").string()}});
    EXPECT_EQ(end.code(), 0) << how << ": " << end.err;
    EXPECT_THAT(end.err, Not(HasSubstr("spawned")));
    const std::vector<std::string> lines = split_lines(events.read("events"));
    ASSERT_GE(lines.size(), 2u) << how;
    EXPECT_EQ(lines[0], "return 0") << how;
    EXPECT_EQ(lines[1], "return 1") << how;
  }
}

TEST_F(LauncherFork, AnExceptionReachesTheReportThroughRunPath) {
  const Finished end = fork({"--nproc-per-node=2", "--run-path", kPeerScripts + "fails.py", "--lr", "1"});
  EXPECT_EQ(end.code(), 1);
  EXPECT_THAT(end.err, HasSubstr("error:  ValueError: bad label in fails.py ['--lr', '1']"));
}

// What the first attempt has imported is there in the second: torchvision's library shows in the template's memory.
TEST_F(LauncherFork, WhatTheFirstAttemptImportsIsLearnt) {
  folder_.write("learns.py", R"(import glob, os, sys, time
if os.environ["TORCHELASTIC_RESTART_COUNT"] == "1":
    print("torchvision" in sys.modules, [type(finder).__name__ for finder in sys.meta_path].count("Learner"))
    sys.exit()
import torchvision
give_up = time.monotonic() + 200
while time.monotonic() < give_up:
    for children in glob.glob("/proc/%d/task/*/children" % os.getppid()):
        for pid in open(children).read().split():
            if int(pid) != os.getpid() and "torchvision" in open("/proc/%s/maps" % pid).read():
                sys.exit(3)
    time.sleep(0.05)
)");
  const Finished end = fork({"--max-restarts=1", "learns.py"});
  EXPECT_EQ(end.code(), 0) << end.err;
  EXPECT_EQ(end.out, "True 0\n") << end.err;
}

TEST_F(LauncherFork, AModuleThatCannotBeForkedHasItsWorkersSpawned) {
  struct Case {
    std::string source, line;
  };
  const std::vector<Case> cases = {
      {"import threading, time\nthreading.Thread(target=time.sleep, args=(1000,), daemon=True).start()",
       "a preloaded module has started a thread, which a fork would not have"},
      {"import socket\nkept = socket.socket()", "a preloaded module keeps socket:["},
      {"kept = open('/etc/passwd')", "a preloaded module keeps /etc/passwd open, which the workers would share"},
      {"import mmap\nkept = mmap.mmap(-1, 4096)", "a preloaded module has mapped"},
      {"import subprocess\nkept = subprocess.Popen(['sleep', '1000'])", "a preloaded module has started a process"},
      {"1 / 0", "importing odd gives ZeroDivisionError: division by zero"},
      {"raise SystemExit(3)", "importing odd gives SystemExit: 3"}};
  folder_.write("x.py", "print('ran')\n");
  for (const Case& refused : cases) {
    folder_.write("odd.py", refused.source + "\n");
    const Finished end = fork({"--preload=odd", "x.py"});
    EXPECT_EQ(end.code(), 0) << end.err;
    EXPECT_EQ(end.out, "ran\n");
    const std::vector<std::string> lines = split_lines(end.err);
    ASSERT_FALSE(lines.empty());
    EXPECT_THAT(lines[0], AllOf(HasSubstr("workers cannot be forked: " + refused.line),
                                HasSubstr("; workers are spawned from now on")));
  }
  EXPECT_THAT(fork({"--preload=no.such", "x.py"}).err,
              HasSubstr("importing no.such gives ModuleNotFoundError: No module named 'no'"));
}

TEST_F(LauncherFork, AFileThatHasChangedIsLoadedAnew) {
  folder_.write("mine.py", "text = 'before'\n");
  folder_.write("x.py", R"(import mine, os, sys
print(mine.text)
if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
    open("mine.py", "w").write("text = 'and after'\n")
    sys.exit(1)
)");
  const Finished end = fork({"--preload=mine", "--max-restarts=1", "x.py"});
  EXPECT_EQ(end.code(), 0) << end.err;
  EXPECT_EQ(end.out, "before\nand after\n");
  EXPECT_THAT(end.err, HasSubstr("mine.py has changed since it was loaded; workers are spawned from now on"));
}

TEST_F(LauncherFork, AModuleBesideTheScriptIsNotOvershadowed) {
  folder_.write("struct.py", "text = 'mine'\n");
  folder_.write("x.py", "import struct\nprint(struct.text)\n");
  const Finished end = fork({"--preload=", "x.py"});
  EXPECT_EQ(end.out, "mine\n");
  EXPECT_THAT(end.err, HasSubstr("struct.py stands before the struct that was preloaded; workers are spawned"));
}

// A Python between ferrun and the program's is no template.
TEST_F(LauncherFork, AnInterpreterBehindAWrapperIsFoundOut) {
  const std::string python = peer_python();
  const std::string wrapper = folder_.write(
      "wrapper", "#!/bin/sh\n'" + python + "' -c 'print(1)' > /dev/null\nexec '" + python + "' \"$@\"\n", true);
  folder_.write("x.py", "import sys\nprint('ran', sys.argv)\n");
  RunningFerrun::Variables variables = {{"PYTHON_EXEC", wrapper}};
  const Finished end =
      ferrun(folder_, {"--start-method=forkserver", "--preload=json", "x.py", "1"}, variables, kPatience);
  EXPECT_EQ(end.out, "ran ['x.py', '1']\n");
  EXPECT_EQ(end.err, "");
}

TEST_F(LauncherFork, AScriptWithItsOwnInterpreterIsForked) {
  folder_.write("tool", "#!" + peer_python() + "\nimport sys\nprint(sys.argv, 'colorsys' in sys.modules)\n", true);
  const Finished end = fork({"--preload=colorsys", "--no-python", "./tool", "x"});
  EXPECT_EQ(end.out, "['./tool', 'x'] True\n");
  EXPECT_EQ(end.err, "");
}

// FERRUN_FORK_RESTARTS restarts of a job that loads data in processes of its own and is killed at random moments.
TEST_F(LauncherFork, ManyRestartsLeaveNothing) {
  const char* many = std::getenv("FERRUN_FORK_RESTARTS");
  const std::string restarts = many != nullptr ? many : "4";
  const auto shared_memory = [] {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator("/dev/shm")) names.insert(entry.path().filename());
    return names;
  };
  const std::set<std::string> before = shared_memory();
  const std::string events = (folder_.path() / "events").string();
  const Finished end = ferrun(
      folder_,
      {"--start-method=forkserver", "--nproc-per-node=2", "--max-restarts=" + restarts, kPeerScripts + "restarts.py"},
      {{"PYTHON_EXEC", peer_python()}, {"TORCH_CPP_LOG_LEVEL", "FATAL"}, {"EVENTS", events}},
      kPatience + std::chrono::seconds(10) * std::stoi(restarts));
  EXPECT_EQ(end.code(), 0) << end.err.substr(end.err.size() < 4000 ? 0 : end.err.size() - 4000);
  EXPECT_THAT(end.err, Not(HasSubstr("spawned")));
  std::set<int> came_up;
  std::map<int, int> descriptors;  // how many attempts have seen that many
  std::ifstream lines(events);
  int attempt = 0;
  int count = 0;
  while (lines >> attempt >> count) {
    came_up.insert(attempt);
    if (attempt > 0) ++descriptors[count];  // the first restart opens what the later ones use
  }
  EXPECT_EQ(came_up.size(), static_cast<size_t>(std::stoi(restarts)) + 1);
  EXPECT_EQ(descriptors.size(), 1u) << "the agent keeps descriptors of older attempts: " << json(descriptors).dump();
  // PyTorch opens a segment and unlinks it at once; a SIGKILL that comes in between leaves it, whoever the launcher is.
  const int met_in_between = 1 + std::stoi(restarts) / 50;
  std::vector<std::string> left;
  for (const std::string& name : shared_memory()) {
    if (name.starts_with("torch_") && !before.contains(name)) left.push_back(name);
  }
  EXPECT_LE(std::ssize(left), met_in_between) << json(left).dump() << " are left in /dev/shm";
}

}  // namespace
}  // namespace ferrun
