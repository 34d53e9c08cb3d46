// The Python peer of the data parity suites: real torch, torchvision and Pillow compute what ours is compared with.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/peer_python.h"
#include "tests/temporary_directory.h"

namespace ferrun::parity {

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
    FERRUN_NEEDS_PEER();
    const std::string command = "OMP_NUM_THREADS=1 '" + peer_python() + "' -W ignore '" +
                                FERRUN_SOURCE_DIR "/tests/parity/" + script + "' '" + folder_.path().string() + "' " +
                                arguments;
    ASSERT_EQ(std::system(command.c_str()), 0) << command;
    std::ifstream file(folder_.path() / "manifest.json");
    manifest_ = nlohmann::json::parse(file);
  }
  const nlohmann::json& manifest() const { return manifest_; }
  std::filesystem::path result(const std::string& name) const { return folder_.path() / name; }

 private:
  const testing::TemporaryDirectory folder_;
  nlohmann::json manifest_;
};

}  // namespace ferrun::parity
