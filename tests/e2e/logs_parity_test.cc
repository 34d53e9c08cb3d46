// The same script under torchrun and under ferrun, with the same redirections: the same files with the same bytes, the
// same lines on the console.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "tests/peer_python.h"
#include "tests/process/process_test_support.h"

namespace ferrun::testing {
namespace {

namespace fs = std::filesystem;

// Every line of the script carries this, so that lines of the launchers are told apart.
constexpr const char* kMark = "said by rank";

struct Outcome {
  std::map<std::string, std::string> files;  // below the job's folder
  std::vector<std::string> out;
  std::vector<std::string> err;

  bool operator==(const Outcome&) const = default;
};

std::ostream& operator<<(std::ostream& stream, const Outcome& outcome) {
  for (const auto& [name, text] : outcome.files) stream << "\nfile " << name << ": " << text;
  for (const std::string& line : outcome.out) stream << "\nout: " << line;
  for (const std::string& line : outcome.err) stream << "\nerr: " << line;
  return stream;
}

std::vector<std::string> marked_lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    if (line.find(kMark) != std::string::npos) lines.push_back(line);
  }
  std::sort(lines.begin(), lines.end());  // the order between ranks is nobody's promise
  return lines;
}

class LogsParity : public ::testing::TestWithParam<std::vector<std::string>> {
 protected:
  void SetUp() override { FERRUN_NEEDS_PEER(); }

  Outcome run(std::vector<std::string> launcher, const std::string& name) {
    const std::string logs = directory_.file(name);
    const std::string script = directory_.file("script.py");
    std::ofstream(script) << "import os, sys\n"
                             "r = os.environ['RANK']\n"
                             // One write each: print() makes several, between which the other rank's fit.
                             "sys.stdout.write('one "
                          << kMark
                          << " ' + r + '\\n')\n"
                             "sys.stderr.write('warning "
                          << kMark
                          << " ' + r + '\\n')\n"
                             "sys.stdout.write('ünïcode "
                          << kMark << " ' + r + '\\n')\n";
    launcher.insert(launcher.end(), {"--nproc-per-node=2", "--log-dir", logs});
    launcher.insert(launcher.end(), GetParam().begin(), GetParam().end());
    launcher.push_back(script);
    Program program(launcher, {.environment = {"PYTHON_EXEC=" + peer_python(), "OMP_NUM_THREADS=1"}});
    EXPECT_TRUE(program.wait().success()) << program.err();
    Outcome outcome{{}, marked_lines(program.out()), marked_lines(program.err())};
    if (!fs::exists(logs)) return outcome;  // nothing was written, and ferrun leaves no empty folders
    for (const auto& entry : fs::recursive_directory_iterator(logs)) {
      if (!entry.is_regular_file()) continue;
      std::string path = fs::relative(entry.path(), logs).string();
      path.erase(0, path.find('/') + 1);
      outcome.files[path] = read_file(entry.path().string());
    }
    return outcome;
  }

 private:
  TemporaryDirectory directory_;
};

TEST_P(LogsParity, SameFilesAndLinesAsTorchrun) {
  const Outcome torchrun = run({peer_python(), "-m", "torch.distributed.run", "--standalone"}, "torchrun");
  const Outcome ferrun = run({FERRUN_BIN_DIR "/ferrun", "--standalone"}, "ferrun");
  EXPECT_EQ(ferrun, torchrun);
  EXPECT_EQ(torchrun.files.empty(), GetParam().empty());
}

INSTANTIATE_TEST_SUITE_P(
    Maps, LogsParity,
    ::testing::Values(std::vector<std::string>{}, std::vector<std::string>{"-r", "3"},
                      std::vector<std::string>{"-t", "3"}, std::vector<std::string>{"--tee=1"},
                      std::vector<std::string>{"-r", "0:1,1:2", "-t", "0:2"},
                      std::vector<std::string>{"-r", "1", "-t", "1:3"},
                      std::vector<std::string>{"-t", "3", "--role", "trainer"},
                      std::vector<std::string>{"-t", "3", "--local-ranks-filter", "1"},
                      std::vector<std::string>{"-t", "1", "--local-ranks-filter=0"},
                      std::vector<std::string>{"-t", "3", "--duplicate-stdout-filters=one",
                                               "--duplicate-stderr-filters=nothing", "--local-ranks-filter=1"},
                      std::vector<std::string>{"-t", "0:3", "-r", "3", "--duplicate-stdout-filters=c,,o,code,zzz"},
                      std::vector<std::string>{"-t", "1:3", "--duplicate-stderr-filters="}));

}  // namespace
}  // namespace ferrun::testing
