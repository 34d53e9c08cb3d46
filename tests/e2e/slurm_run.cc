#include "tests/e2e/slurm_run.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace ferrun::testing {

std::unique_ptr<TemporaryDirectory> Slurm::folder;
std::string Slurm::why_not;

void Slurm::SetUpTestSuite() {
  folder = std::make_unique<TemporaryDirectory>();
  // munge takes a socket alone where everybody could reach it.
  std::filesystem::permissions(folder->path(), std::filesystem::perms(0755));
  Program start({FERRUN_SLURM_CLUSTER, "start", folder->file("cluster")});
  const ExitStatus status = start.wait();
  why_not = status.code() == 77 ? start.err() : "";
  ASSERT_TRUE(status.success() || !why_not.empty()) << start.err();
}

void Slurm::TearDownTestSuite() {
  Program({FERRUN_SLURM_CLUSTER, "stop", folder->file("cluster")}).wait();
  folder.reset();
}

void Slurm::SetUp() {
  if (!why_not.empty()) GTEST_SKIP() << why_not;
}

std::unique_ptr<Program> Slurm::at_head(std::vector<std::string> words) const {
  words.insert(words.begin(), {FERRUN_SLURM_CLUSTER, "run", folder->file("cluster"), "timeout", "400"});
  ProgramOptions options;
  options.environment = {marker.variable(), "DIR=" + directory.path().string(), "OMP_NUM_THREADS=1",
                         "FERRUN_MUNGE_SOCKET=" + folder->file("cluster/munge/socket")};
  return std::make_unique<Program>(words, options);
}

std::unique_ptr<Program> Slurm::step(std::vector<std::string> options, const std::string& script,
                                     const std::vector<std::string>& flags) const {
  options.insert(options.begin(), "srun");
  options.emplace_back(FERRUN_BIN_DIR "/ferrun");
  options.insert(options.end(), flags.begin(), flags.end());
  options.insert(options.end(), {"--no-python", "sh", "-c", script});
  return at_head(std::move(options));
}

std::string Slurm::batch(std::vector<std::string> options, const std::string& script) const {
  std::ofstream(file("batch.sh")) << "#!/bin/sh\n" << script;
  options.insert(options.begin(), {"sbatch", "-W", "-o", file("batch.out")});
  options.push_back(file("batch.sh"));
  const auto run = at_head(std::move(options));
  run->wait();
  return run->err() + read_file(file("batch.out"));
}

std::string Slurm::submit(const std::string& name, std::vector<std::string> options, const std::string& script) const {
  std::ofstream(file(name + ".sh")) << "#!/bin/sh\n" << script;
  options.insert(options.begin(), {"sbatch", "--parsable", "--open-mode=append", "-o", file(name + ".out")});
  options.push_back(file(name + ".sh"));
  const auto run = at_head(std::move(options));
  EXPECT_TRUE(run->wait().success()) << run->err();
  const std::vector<std::string> lines = lines_of(run->out());
  return lines.empty() ? "" : lines.front();
}

bool Slurm::eventually_over(const std::string& job) const {
  return eventually([&] {
    const auto asked = at_head({"squeue", "-h", "-j", job});
    asked->wait();
    return asked->out().empty();
  });
}

size_t Slurm::files(const std::string& prefix) const {
  const auto entries = std::filesystem::directory_iterator(directory.path());
  return static_cast<size_t>(std::count_if(begin(entries), end(entries), [&prefix](const auto& entry) {
    return entry.path().filename().string().starts_with(prefix);
  }));
}

std::vector<std::string> Slurm::lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

}  // namespace ferrun::testing
