// The Python peer of the data parity suites: real torch, torchvision and Pillow compute what ours is compared with.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace ferrun::parity {

// The peer's interpreter: FERRUN_PEER_PYTHON, else the one that scripts/setup installs; empty when there is none.
inline std::string peer_python() {
  if (const char* named = std::getenv("FERRUN_PEER_PYTHON"); named != nullptr && *named != '\0') return named;
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value ? value : "");
  };
  std::string cache = variable("FERRUN_CACHE");
  if (cache.empty() && !variable("XDG_CACHE_HOME").empty()) cache = variable("XDG_CACHE_HOME") + "/ferrun";
  if (cache.empty()) cache = variable("HOME") + "/.cache/ferrun";
  const std::string python = cache + "/peer-2.11.0/bin/python";
  return ::access(python.c_str(), X_OK) == 0 ? python : "";
}

// A folder that is deleted at the end of its test.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "ferrun-parity-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("cannot make a folder like " + pattern);
    path_ = pattern;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline std::vector<uint8_t> read_bytes(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.is_open()) << path;
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// Runs tests/parity/SCRIPT with `arguments` and a fresh folder, where the script leaves its results and a
// manifest.json. Skips the test when there is no peer, or fails it where FERRUN_REQUIRE_PEER=1 says that there must be
// one.
class PeerTest : public ::testing::Test {
 protected:
  void run_peer(const std::string& script, const std::string& arguments = "") {
    const std::string python = peer_python();
    if (python.empty()) {
      const char* required = std::getenv("FERRUN_REQUIRE_PEER");
      if (required != nullptr && std::string(required) == "1")
        FAIL() << "the Python peer is required and absent: scripts/setup --peer";
      GTEST_SKIP() << "no Python peer (set FERRUN_PEER_PYTHON, or install it with scripts/setup)";
    }
    const std::string command = "OMP_NUM_THREADS=1 '" + python + "' -W ignore '" + FERRUN_SOURCE_DIR "/tests/parity/" +
                                script + "' '" + folder_.path().string() + "' " + arguments;
    ASSERT_EQ(std::system(command.c_str()), 0) << command;
    std::ifstream file(folder_.path() / "manifest.json");
    manifest_ = nlohmann::json::parse(file);
  }
  const nlohmann::json& manifest() const { return manifest_; }
  std::filesystem::path result(const std::string& name) const { return folder_.path() / name; }

 private:
  TemporaryFolder folder_;
  nlohmann::json manifest_;
};

}  // namespace ferrun::parity
