// The programs and libraries as `cmake --install` leaves them: they have to work from there, without the build tree.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/shell_command.h"
#include "tests/temporary_directory.h"

namespace ferrun {
namespace {

using testing::shell;
using Outcome = testing::ShellOutcome;

std::string quoted(const std::string& path) { return "'" + path + "'"; }

std::vector<std::string> sorted_lines(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  std::ranges::sort(lines);
  return lines;
}

class InstalledPrefix : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_.emplace();
    const std::string first = directory_->file("first");
    const Outcome install = shell("cmake --install " + quoted(FERRUN_BUILD_DIR) + " --prefix " + quoted(first));
    ASSERT_EQ(install.code, 0) << install.output;
    std::filesystem::rename(first, prefix());  // nothing of it may know where it was first
  }
  static void TearDownTestSuite() { directory_.reset(); }

  static std::string prefix() { return directory_->file("prefix"); }
  static std::string build_folder(const std::string& name) { return directory_->file(name); }
  static std::string ferrun() { return quoted(prefix() + "/bin/ferrun"); }

  // Configures and builds a project against the installation; returns the path of its program.
  static std::string build(const std::string& sources, const std::string& program) {
    const std::string build = directory_->file(program);
    const Outcome made = shell("cmake -G Ninja -S " + quoted(sources) + " -B " + quoted(build) +
                               " -DCMAKE_PREFIX_PATH=" + quoted(prefix()) + " && cmake --build " + quoted(build));
    EXPECT_EQ(made.code, 0) << made.output;
    return build + "/" + program;
  }

 private:
  static inline std::optional<testing::TemporaryDirectory> directory_;
};

TEST_F(InstalledPrefix, FerrunStartsWorkers) {
  const Outcome run = shell(ferrun() + " --nproc-per-node=2 sh -c 'echo rank $RANK'");
  EXPECT_EQ(run.code, 0);
  EXPECT_EQ(sorted_lines(run.output), (std::vector<std::string>{"rank 0", "rank 1"}));
}

TEST_F(InstalledPrefix, HoldsManualPagesAndDocuments) {
  for (const char* file : {"/share/man/man1/ferrun.1", "/share/doc/ferrun/README.md", "/share/doc/ferrun/LICENSE",
                           "/share/ferrun/examples/hello_ranks/main.cc", "/share/bash-completion/completions/ferrun",
                           "/share/zsh/site-functions/_ferrun", "/share/fish/vendor_completions.d/ferrun.fish"}) {
    EXPECT_TRUE(std::filesystem::exists(prefix() + file)) << file;
  }
}

TEST_F(InstalledPrefix, ExampleBuildsFromTheInstallation) {
  const std::string program = build(prefix() + "/share/ferrun/examples/hello_ranks", "hello_ranks");
  for (const std::string method : {"spawn", "forkserver"}) {
    const Outcome run = shell(ferrun() + " --nproc-per-node=2 --start-method=" + method + " " + quoted(program));
    EXPECT_EQ(run.code, 0) << method;
    const std::vector<std::string> lines = sorted_lines(run.output);
    ASSERT_EQ(lines.size(), 2u) << run.output;
    EXPECT_EQ(lines[0].rfind("hello from rank 0 of 2", 0), 0u) << run.output;
    EXPECT_EQ(lines[1].rfind("hello from rank 1 of 2", 0), 0u) << run.output;
  }
}

#ifdef FERRUN_HAS_TORCH
TEST_F(InstalledPrefix, WorkerFindsLibTorchAndIsFoundBesideFerrun) {
  const Outcome run = shell("cd / && env -u LD_LIBRARY_PATH " + ferrun() + " worker --version");
  EXPECT_EQ(run.code, 0) << run.output;
  EXPECT_EQ(run.output.rfind("worker " FERRUN_VERSION "\nCUDA plug-in: ", 0), 0u) << run.output;
}

// Each in a file of its own that includes nothing else, and nothing that is not installed.
TEST_F(InstalledPrefix, EachPublicHeaderCompilesAlone) {
  const std::string build = build_folder("each_header");
  const Outcome made =
      shell("cmake -G Ninja -S " FERRUN_SOURCE_DIR "/tests/e2e/install/each_header -B " + quoted(build) +
            " -DCMAKE_PREFIX_PATH=" + quoted(prefix()) + " && cmake --build " + quoted(build));
  ASSERT_EQ(made.code, 0) << made.output;
  const Outcome dependencies = shell("ninja -C " + quoted(build) + " -t deps");
  EXPECT_NE(dependencies.output.find("include/ferrun/ddp.h"), std::string::npos);
  EXPECT_NE(dependencies.output.find("include/ferrun/client_c.h"), std::string::npos);
  for (const char* folder : {FERRUN_SOURCE_DIR "/worker", FERRUN_SOURCE_DIR "/common", FERRUN_SOURCE_DIR "/launcher",
                             FERRUN_BUILD_DIR "/", "/nlohmann/"}) {
    EXPECT_EQ(dependencies.output.find(folder), std::string::npos) << folder;
  }
}

// The program with which docs/ddp.md begins.
TEST_F(InstalledPrefix, FindPackageBuildsATrainingProgram) {
  const std::string program = build(FERRUN_SOURCE_DIR "/tests/e2e/install/ddp_program", "train");
  const Outcome run = shell(ferrun() + " --nproc-per-node=2 " + quoted(program));
  EXPECT_EQ(run.code, 0) << run.output;
  const std::vector<std::string> lines = sorted_lines(run.output);
  ASSERT_EQ(lines.size(), 2u) << run.output;
  EXPECT_EQ(lines[0].rfind("rank 0 of 2: weights ", 0), 0u) << run.output;
  EXPECT_EQ(lines[1].rfind("rank 1 of 2: weights ", 0), 0u) << run.output;
  EXPECT_EQ(lines[0].substr(lines[0].rfind(' ')), lines[1].substr(lines[1].rfind(' ')));
}

std::vector<std::string> words(const std::string& text) {
  std::istringstream stream(text);
  return {std::istream_iterator<std::string>(stream), {}};
}

// What find_package says of a project whose CMake is given these arguments.
std::string said_to(const std::string& arguments, const std::string& build) {
  const Outcome made = shell("cmake -G Ninja -S " FERRUN_SOURCE_DIR "/tests/e2e/install/ddp_program -B " +
                             quoted(build) + " " + arguments);
  EXPECT_NE(made.code, 0) << made.output;
  std::string line;  // CMake breaks its lines as it likes
  for (const std::string& word : words(made.output)) line += word + " ";
  return line;
}

TEST_F(InstalledPrefix, FindPackageSaysThatABuildFolderIsNoInstallation) {
  EXPECT_NE(said_to("-DCMAKE_PREFIX_PATH=" + quoted(FERRUN_BUILD_DIR), build_folder("of_build"))
                .find("is a folder in which ferrun is built: install it"),
            std::string::npos);
}

// A folder that passes for a LibTorch of a version that ferrun was not built with.
std::string another_torch(const std::string& folder) {
  for (const char* part : {"/lib", "/include/ATen", "/include/torch/headeronly", "/share/cmake/Torch"}) {
    std::filesystem::create_directories(folder + part);
  }
  std::ofstream(folder + "/lib/libtorch_cpu.so");
  std::ofstream(folder + "/include/ATen/ATen.h");
  std::ofstream(folder + "/include/torch/headeronly/version.h")
      << "#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR 99\n#define TORCH_VERSION_PATCH 0\n";
  return folder;
}

TEST_F(InstalledPrefix, FindPackageRefusesAnotherMinorVersionOfLibTorch) {
  const std::string torch = another_torch(build_folder("torch"));
  const std::string said = said_to("-DCMAKE_PREFIX_PATH=" + quoted(prefix()) + " -DFERRUN_TORCH_DIR=" + quoted(torch),
                                   build_folder("of_torch"));
  EXPECT_NE(said.find("was built with LibTorch 2."), std::string::npos) << said;
  EXPECT_NE(said.find("is 2.99.0: build ferrun with that one"), std::string::npos) << said;
}

// torch.utils.cmake_prefix_path, and what find_package(Torch) leaves.
TEST_F(InstalledPrefix, FindPackageTakesTheLibTorchThatPyTorchsOwnWaysName) {
  const std::string torch = another_torch(build_folder("torch_by_other_names"));
  const std::string by_prefix = said_to("-DCMAKE_PREFIX_PATH=" + quoted(prefix() + ";" + torch + "/share/cmake"),
                                        build_folder("of_cmake_prefix_path"));
  EXPECT_NE(by_prefix.find("torch_by_other_names is 2.99.0"), std::string::npos) << by_prefix;
  const std::string by_folder =
      said_to("-DCMAKE_PREFIX_PATH=" + quoted(prefix()) + " -DTorch_DIR=" + quoted(torch + "/share/cmake/Torch"),
              build_folder("of_torch_dir"));
  EXPECT_NE(by_folder.find("torch_by_other_names is 2.99.0"), std::string::npos) << by_folder;
}

TEST_F(InstalledPrefix, FindPackageTakesARelativePathAsTheShellDoes) {
  const std::string torch = another_torch(build_folder("torch_beside"));
  const std::filesystem::path beside = std::filesystem::relative(torch);
  const std::string said =
      said_to("-DCMAKE_PREFIX_PATH=" + quoted(prefix()) + " -DFERRUN_TORCH_DIR=" + quoted(beside.string()),
              build_folder("of_relative_path"));
  EXPECT_NE(said.find("torch_beside is 2.99.0"), std::string::npos) << said;
}

TEST_F(InstalledPrefix, FindPackageTellsAUserWhoNamesNoLibTorchWhatToName) {
  const std::string said =
      said_to("-DCMAKE_PREFIX_PATH=" + quoted(prefix()) + " -DFERRUN_TORCH_DIR=/nowhere", build_folder("of_nowhere"));
  EXPECT_NE(said.find("No LibTorch in /nowhere. Name a LibTorch: -DFERRUN_TORCH_DIR=DIR"), std::string::npos) << said;
  EXPECT_EQ(said.find("scripts/setup"), std::string::npos) << said;
}

// What CMake makes of a project with these files, given as name and content.
Outcome configured(const std::string& folder, const std::vector<std::pair<std::string, std::string>>& files,
                   const std::string& arguments) {
  for (const auto& [name, content] : files) {
    const std::filesystem::path path = std::filesystem::path(folder) / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << content;
  }
  return shell("cmake -G Ninja -S " + quoted(folder) + " -B " + quoted(folder + "/build") + " " + arguments);
}

TEST_F(InstalledPrefix, DirectoriesOfOneProjectFindThePackageEach) {
  const std::string finds =
      "find_package(ferrun REQUIRED COMPONENTS ddp)\nget_target_property(links ferrun::ddp LOCATION)\n";
  const Outcome made = configured(build_folder("directories"),
                                  {{"CMakeLists.txt",
                                    "cmake_minimum_required(VERSION 3.18)\nproject(p CXX)\n"
                                    "add_subdirectory(a)\nadd_subdirectory(b)\n"},
                                   {"a/CMakeLists.txt", finds},
                                   {"b/CMakeLists.txt", finds}},
                                  "-DCMAKE_PREFIX_PATH=" + quoted(prefix()));
  EXPECT_EQ(made.code, 0) << made.output;
}

TEST_F(InstalledPrefix, TheClientAloneIsFoundWithoutLibTorch) {
  const Outcome made =
      configured(build_folder("client_alone"),
                 {{"CMakeLists.txt",
                   "cmake_minimum_required(VERSION 3.18)\nproject(p CXX)\n"
                   "find_package(ferrun REQUIRED COMPONENTS client)\n"
                   "add_executable(p main.cc)\ntarget_link_libraries(p ferrun::client)\n"},
                  {"main.cc",
                   "#include <ferrun/client.h>\n"
                   "int main() { return ferrun::client::context_from_environment().rank; }\n"}},
                 "-DCMAKE_CXX_STANDARD=20 -DFERRUN_TORCH_DIR=/nowhere -DCMAKE_PREFIX_PATH=" + quoted(prefix()));
  ASSERT_EQ(made.code, 0) << made.output;
  const Outcome run = shell("cd " + quoted(build_folder("client_alone/build")) + " && ninja && RANK=0 ./p");
  EXPECT_EQ(run.code, 0) << run.output;
}

TEST_F(InstalledPrefix, AProjectCanDoWithoutThePackage) {
  const Outcome made = configured(build_folder("optional"),
                                  {{"CMakeLists.txt",
                                    "cmake_minimum_required(VERSION 3.18)\nproject(p CXX)\n"
                                    "find_package(ferrun QUIET)\nmessage(STATUS \"found: ${ferrun_FOUND}\")\n"}},
                                  "-DFERRUN_TORCH_DIR=/nowhere -DCMAKE_PREFIX_PATH=" + quoted(prefix()));
  EXPECT_EQ(made.code, 0) << made.output;
  EXPECT_NE(made.output.find("found: 0"), std::string::npos) << made.output;
}
#endif

}  // namespace
}  // namespace ferrun
