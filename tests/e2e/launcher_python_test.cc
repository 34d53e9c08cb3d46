// Python workers with real torch under ferrun, and torchrun beside it on the same questions.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "launcher/cli/parse.h"
#include "tests/e2e/launcher_run.h"
#include "tests/peer_python.h"

namespace ferrun {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kScripts = FERRUN_SOURCE_DIR "/tests/e2e/launcher_peer/";

class LauncherPython : public ::testing::Test {
 protected:
  void SetUp() override { FERRUN_NEEDS_PEER(); }

  Finished run(std::vector<std::string> arguments, RunningFerrun::Variables variables = {}) {
    variables["PYTHON_EXEC"] = peer_python();
    variables["TORCH_CPP_LOG_LEVEL"] = "FATAL";
    return ferrun(folder_, arguments, variables, kPatience);
  }

  // Several Pythons that load torch on a busy machine, and again after a restart.
  static constexpr std::chrono::seconds kPatience{240};

  ScratchFolder folder_;
};

TEST_F(LauncherPython, APlainDdpScriptRunsUnchanged) {
  const Finished end = run({"--nproc-per-node=2", kScripts + "ddp.py"});
  EXPECT_EQ(end.code(), 0) << end.err;
  const std::vector<std::string> lines = split_lines(end.out);
  ASSERT_EQ(lines.size(), 2u) << end.out;
  EXPECT_EQ(lines[0], lines[1]) << "the ranks' weights differ";
  EXPECT_THAT(lines[0], HasSubstr("attempt 0 sum 3 weights "));
}

// The store of the new attempt must not hold the dead one's addresses.
TEST_F(LauncherPython, AGlooJobComesUpAgainAfterAKill) {
  for (const std::vector<std::string>& where : std::vector<std::vector<std::string>>{{"--standalone"}, {}}) {
    std::vector<std::string> arguments = {"--nproc-per-node=2", "--max-restarts=1", kScripts + "ddp.py"};
    arguments.insert(arguments.begin(), where.begin(), where.end());
    const Finished end = run(arguments, {{"MODE", "kill"}});
    EXPECT_EQ(end.code(), 0) << end.err;
    const std::vector<std::string> lines = split_lines(end.out);
    ASSERT_EQ(lines.size(), 2u) << end.out;
    EXPECT_EQ(lines[0], lines[1]);
    EXPECT_THAT(lines[0], HasSubstr("attempt 1 sum 3 weights "));
    EXPECT_THAT(end.err, HasSubstr("killed by SIGKILL"));
  }
}

// The port that ferrun has chosen is rank 0's, in every attempt.
TEST_F(LauncherPython, RankZeroServesTheStoreWhereFerrunIsToldNotTo) {
  const Finished end = run({"--standalone", "--nproc-per-node=2", "--max-restarts=1", kScripts + "ddp.py"},
                           {{"MODE", "kill"}, {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1"}});
  EXPECT_EQ(end.code(), 0) << end.err;
  const std::vector<std::string> lines = split_lines(end.out);
  ASSERT_EQ(lines.size(), 2u) << end.out;
  EXPECT_THAT(lines[0], HasSubstr("attempt 1 sum 3 weights "));
}

TEST_F(LauncherPython, AnExceptionReachesTheReportThroughRunPath) {
  const Finished end = run({"--nproc-per-node=2", "--run-path", kScripts + "fails.py", "--lr", "1"});
  EXPECT_EQ(end.code(), 1);
  const std::string report = end.err.substr(end.err.rfind("Root cause"));
  EXPECT_THAT(report, HasSubstr("rank 1"));
  EXPECT_THAT(report, HasSubstr("error:  ValueError: bad label in fails.py ['--lr', '1']"));
}

// From "===" to "===", without what differs between runs: times, pids, the host, and the folder of the error file.
std::vector<std::string> block_of_torchrun(const std::string& err) {
  constexpr const char* kEnd = "elastic.multiprocessing.errors.ChildFailedError: ";
  const size_t at = err.find(kEnd);
  if (at == std::string::npos) return {"no ChildFailedError in:", err};
  std::vector<std::string> lines;
  int borders = 0;
  for (std::string line : split_lines(err.substr(at))) {
    if (borders == 2) break;
    borders += line.starts_with("==") ? 1 : 0;
    // ferrun runs the script by a function of that name of its own.
    if (line.find("in run_script_path") != std::string::npos || line.find("runpy.run_path(") != std::string::npos)
      continue;
    line = std::regex_replace(line, std::regex("[0-9]{4}-[0-9]{2}-[0-9]{2}_[0-9:]{8}"), "TIME");
    line = std::regex_replace(line, std::regex("[pP][iI][dD]:? [0-9]+"), "pid N");
    line = std::regex_replace(line, std::regex("host      : .*"), "host");
    line = std::regex_replace(line, std::regex("error_file: /.*/attempt_"), "error_file: attempt_");
    line = std::regex_replace(line, std::regex("^[=-]+$"), "rule");  // as long as the longest line, which has a path
    lines.push_back(line);
  }
  return lines;
}

// Of processes it lists those too that were stopped because of the failure, of functions (--run-path) it does not.
TEST_F(LauncherPython, TheReportOfTorchrunIsThatOfTorchrun) {
  for (const std::vector<std::string>& job :
       {std::vector<std::string>{"--nproc-per-node=2", "--run-path", kScripts + "fails.py"},
        std::vector<std::string>{"--nproc-per-node=3", "--no-python", "sh", "-c",
                                 "[ $RANK = 1 ] && exit 3; exec sleep 1000"},
        std::vector<std::string>{"--no-python", "sh", "-c", "exit 3"},
        std::vector<std::string>{"--no-python", "sh", "-c", "kill -9 0"}}) {
    std::vector<std::string> ours = {"--report=torchrun", "--exit-code=torchrun",
                                     "--log-dir=" + (folder_.path() / "a").string()};
    std::vector<std::string> theirs = {"--standalone", "--log-dir=" + (folder_.path() / "b").string()};
    ours.insert(ours.end(), job.begin(), job.end());
    theirs.insert(theirs.end(), job.begin(), job.end());
    const Finished ferrun_end = run(ours);
    theirs.insert(theirs.begin(), {"--no-python", peer_python(), "-m", "torch.distributed.run"});
    const Finished torchrun_end = run(theirs);
    EXPECT_EQ(ferrun_end.code(), torchrun_end.code());
    EXPECT_EQ(block_of_torchrun(ferrun_end.err), block_of_torchrun(torchrun_end.err));
  }
}

TEST_F(LauncherPython, ARankThatHasReturnedThroughRunPathWaitsForTheOthers) {
  for (const std::string how : {"return", "exit", "fork", "vanish"}) {
    const ScratchFolder events;
    const Finished end = run({"--nproc-per-node=2", "--run-path", kScripts + "returns.py"},
                             {{"HOW", how}, {"EVENTS", (events.path() / "events").string()}});
    EXPECT_EQ(end.code(), 0) << how << ": " << end.err;
    std::vector<std::string> lines = split_lines(events.read("events"));
    ASSERT_GE(lines.size(), 2u) << how;
    EXPECT_EQ(lines[0], "return 0") << how;
    EXPECT_EQ(lines[1], "return 1") << how;
    std::sort(lines.begin() + 2, lines.end());
    lines.erase(lines.begin(), lines.begin() + 2);
    if (how == "vanish") {
      EXPECT_THAT(lines, ElementsAre("end 0"));
    } else {
      EXPECT_THAT(lines, ElementsAre("end 0", "end 1")) << how;
    }
  }
}

// Under torchrun it waits for as long as its process group does.
TEST_F(LauncherPython, AnExceptionEndsARankWhoseProcessGroupHasWorkOnItsWay) {
  const Finished end = run({"--nproc-per-node=2", "--run-path", kScripts + "raises_with_work.py"});
  EXPECT_EQ(end.code(), 1);
  EXPECT_THAT(end.err, HasSubstr("Root cause: rank 1"));
  EXPECT_THAT(end.err, HasSubstr("error:  ValueError: bad label"));
}

// Nobody's connections go while the others use them.
TEST_F(LauncherPython, AGlooScriptThatDestroysNothingEndsWell) {
  for (int round = 0; round < 3; ++round) {
    const Finished end = run({"--nproc-per-node=2", "--run-path", kScripts + "leaves_group.py"});
    EXPECT_EQ(end.code(), 0) << end.err;
  }
}

TEST_F(LauncherPython, AWorkerThatOverrunsATorchTimerIsEndedAndNamed) {
  const Finished end = run({"--nproc-per-node=2", "--max-restarts=1", "--failure-grace=1", kScripts + "overruns.py"},
                           {{"TORCHELASTIC_ENABLE_FILE_TIMER", "1"}});
  EXPECT_EQ(end.code(), 0) << end.err;
  EXPECT_THAT(sorted_lines(end.out), ElementsAre("done 0", "done 1"));
  EXPECT_THAT(end.err, ::testing::ContainsRegex("rank 0 .pid [0-9]+. overran its timer '.*overrun.*'"));
}

// The same members under torchrun, but for the durations of its own rendezvous.
TEST_F(LauncherPython, EventsOnTheConsoleAreTorchruns) {
  folder_.write("nothing.py", "");
  const auto shapes = [](const std::string& text) {
    std::vector<std::string> found;
    for (const std::string& line : split_lines(text)) {
      if (!line.starts_with("{")) continue;
      const json event = json::parse(line);
      if (!event["metadata"]["duration_ms"].is_null()) continue;
      std::string shape = event["name"].get<std::string>() + " " + event["source"].get<std::string>();
      for (const auto& [name, value] : event["metadata"].items()) shape += " " + name + ":" + value.type_name();
      const json more = json::parse(event["metadata"]["metadata"].get<std::string>());
      for (const auto& [name, value] : more.items()) shape += " " + name;
      found.push_back(shape);
    }
    return found;
  };
  const Finished ours = run({"--event-log-handler=console", "nothing.py"});
  const Finished theirs = ferrun(folder_,
                                 {"--no-python", peer_python(), "-m", "torch.distributed.run",
                                  "--event-log-handler=console", "--master-port=0", "nothing.py"},
                                 {{"PYTHON_EXEC", peer_python()}}, kPatience);
  EXPECT_EQ(theirs.code(), 0) << theirs.err;
  EXPECT_EQ(shapes(ours.err).size(), 3u) << ours.err;
  EXPECT_EQ(shapes(ours.err), shapes(theirs.err));
}

// Scripts keep their rank's files beside the error file.
TEST_F(LauncherPython, TheErrorFileLiesInAFolderOfItsRank) {
  folder_.write("where.py",
                "import os, pathlib, sys\n"
                "beside = pathlib.Path(os.environ['TORCHELASTIC_ERROR_FILE']).parent / sys.argv[1]\n"
                "beside.write_text(os.environ['RANK'])\n"
                "sys.exit(int(os.environ['TORCHELASTIC_RESTART_COUNT']) < 1)\n");
  const Finished kept = run({"--nproc-per-node=2", "--max-restarts=1", "where.py", "mine"});
  EXPECT_EQ(kept.code(), 0) << kept.err;
  EXPECT_EQ(folder_.read_one("attempt_1/0/mine"), "0");
  EXPECT_EQ(folder_.read_one("attempt_1/1/mine"), "1");
}

TEST_F(LauncherPython, AnErrorFileThatNobodyWroteLeavesNoFolder) {
  folder_.write("quiet.py", "");
  EXPECT_EQ(run({"--nproc-per-node=2", "quiet.py"}).code(), 0);
  EXPECT_THAT(folder_.files(), ElementsAre("quiet.py"));
}

TEST_F(LauncherPython, AModuleRunsAsAModule) {
  folder_.write("mod.py", "import sys\nprint(__name__, __spec__.name, sys.argv[1:])\n");
  const Finished end = run({"-m", "mod", "--x"});
  EXPECT_EQ(end.out, "__main__ mod ['--x']\n") << end.err;
}

TEST_F(LauncherPython, WorkersAreUnbuffered) {
  folder_.write("print.py", "import os\nprint('said')\nos._exit(0)\n");
  EXPECT_EQ(run({"-t1", "print.py"}).out, "[default0]:said\n");
}

json environment_under(const std::string& launcher, const ScratchFolder& folder) {
  const std::string out = (folder.path() / "shown").string();
  std::filesystem::remove_all(out);
  std::filesystem::create_directory(out);
  const std::string command =
      "cd '" + folder.path().string() + "' && env -i PATH=\"$PATH\" HOME=\"$HOME\" MINE=kept PYTHON_EXEC='" +
      peer_python() + "' " + launcher +
      " --nproc-per-node=2 --master-addr=127.0.0.1 --master-port=0 --role=tr --max-restarts=2 --rdzv-id=job "
      "--log-dir=logs '" +
      kScripts + "show_environment.py' " + out + " > log 2>&1";
  EXPECT_EQ(std::system(command.c_str()), 0) << folder.read("log");
  return json{{"0", json::parse(folder.read("shown/0.json"))}, {"1", json::parse(folder.read("shown/1.json"))}};
}

TEST_F(LauncherPython, WorkersSeeTorchrunsEnvironment) {
  const json theirs = environment_under(peer_torchrun(), folder_);
  const json ours = environment_under(FERRUN_BIN_DIR "/ferrun", folder_);
  // Ports and paths are different in every run; LC_CTYPE and PYTHONPATH-like traces are the interpreter's own.
  const std::set<std::string> of_the_run = {"MASTER_PORT", "TORCHELASTIC_ERROR_FILE", "LC_CTYPE", "_", "OLDPWD", "PWD",
                                            "SHLVL"};
  for (const char* rank : {"0", "1"}) {
    for (const auto& [name, value] : theirs[rank].items()) {
      ASSERT_TRUE(ours[rank].contains(name)) << name;
      EXPECT_TRUE(of_the_run.contains(name) || ours[rank][name] == value)
          << name << ": " << ours[rank][name] << ", not " << value;
    }
    for (const auto& [name, value] : ours[rank].items()) {
      EXPECT_TRUE(name.starts_with("FERRUN_") || theirs[rank].contains(name)) << name << "=" << value;
    }
    EXPECT_TRUE(ours[rank]["TORCHELASTIC_ERROR_FILE"].get<std::string>().ends_with("attempt_0/" + std::string(rank) +
                                                                                   "/error.json"));
    EXPECT_TRUE(theirs[rank]["TORCHELASTIC_ERROR_FILE"].get<std::string>().ends_with("attempt_0/" + std::string(rank) +
                                                                                     "/error.json"));
  }
}

// torchrun's values as the text that the user typed.
std::string as_text(const json& value) {
  if (value.is_null()) return "";
  if (value.is_boolean()) return value.get<bool>() ? "1" : "0";
  return value.is_string() ? value.get<std::string>() : value.dump();
}

TEST_F(LauncherPython, CommandLinesMeanWhatTorchrunsParserSays) {
  const std::vector<std::vector<std::string>> lines = {
      {"x.py"},
      {"--nproc-per-node", "2", "x.py", "--nproc-per-node", "4"},
      {"--nproc_per_node=2", "x.py", "-r", "3", "--", "y"},
      {"-r", "3", "x.py"},
      {"-r3", "x.py"},
      {"-r=3", "x.py"},
      {"-r0:1,1:2", "-t", "3", "x.py"},
      {"-mr3", "pkg.mod", "a"},
      {"-m", "pkg.mod", "-m"},
      {"--", "x.py"},
      {"--", "x.py", "--", "y"},
      {"--standalone", "--", "-x"},
      {"--redirect=3", "x.py"},
      {"--nproc_p=2", "x.py"},
      {"--max_restarts", "1", "--max-restarts=2", "x.py"},
      {"--max-restarts", "-1", "x.py"},
      {"--rdzv-conf=a=b,c=d", "x.py", "--rdzv-conf=e=f"},
      {"--rdzv_endpoint", "host:1", "--rdzv_id", "7", "x.py"},
      {"--rdzv-id=", "x.py"},
      {"--rdzv-id", "", "x.py"},
      {"--log_dir", "x.py", "y.py"},
      {"--no-python", "./prog", "--no-python"},
      {"--run_path", "x.py", "$$"},
      {"--role=a b", "x.py", "two words", ""},
      {"--monitor-interval", "5", "x.py"},
      {"--node_rank=0", "--master_addr=127.0.0.1", "--master_port=29500", "x.py"},
      {"--local_ranks_filter=0,1", "--local_addr=h", "x.py"},
      {"--nnodes=1:4", "--start-method=fork", "x.py"},
      {"-t3", "-r", "1", "--tee", "0", "x.py"},
      // Usage errors.
      {"--bogus", "x.py"},
      {"-q", "x.py"},
      {"--max-restarts"},
      {"--standalone=1", "x.py"},
      {"--max-restarts", "--standalone", "x.py"},
      {"--master=1", "x.py"},
      {"-r"}};
  const std::string file = folder_.write("lines.json", json(lines).dump()).string();
  const std::string output = (folder_.path() / "parsed.json").string();
  const std::string command = "'" + peer_python() + "' '" + kScripts + "parse.py' " + file + " > " + output;
  ASSERT_EQ(std::system(command.c_str()), 0);
  const json theirs = json::parse(std::ifstream(output));
  for (size_t at = 0; at < lines.size(); ++at) {
    SCOPED_TRACE(json(lines[at]).dump());
    const Result<CommandLine> ours = parse_command_line(lines[at], Environment());
    ASSERT_EQ(ours.ok(), !theirs[at].is_null());
    if (!ours) continue;
    EXPECT_EQ(ours->program, theirs[at]["program"].get<std::vector<std::string>>());
    for (const auto& [name, value] : theirs[at]["values"].items()) {
      const RawValue* given = ours->options.given(name);
      if (given == nullptr) continue;  // at its default, which the other tests compare
      const bool number = value.is_number_float();
      EXPECT_EQ(number ? std::to_string(std::stod(given->text)) : given->text,
                number ? std::to_string(value.get<double>()) : as_text(value))
          << name;
    }
  }
}

}  // namespace
}  // namespace ferrun
