#include "worker/checkpoint/checkpoint_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <sstream>

#include "tests/temporary_directory.h"

namespace ferrun::checkpoint {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class CheckpointFolderTest : public ::testing::Test {
 protected:
  std::string folder() const { return directory.path().string(); }
  void write(const std::string& name, const std::string& text = "") const {
    std::ofstream(directory.file(name)) << text;
  }
  bool exists(const std::string& name) const { return std::filesystem::exists(directory.file(name)); }
  // The file, and then its entry.
  void add(int64_t step, std::optional<double> metric = std::nullopt) {
    write(checkpoint_name(step));
    const Status added =
        add_to_folder(folder(), {checkpoint_name(step), step, metric}, {.last = 2, .best = 1}, entries);
    ASSERT_TRUE(added.ok()) << added.error().message;
  }
  static std::vector<int64_t> steps(const std::vector<FolderEntry>& entries) {
    std::vector<int64_t> steps;
    for (const FolderEntry& entry : entries) steps.push_back(entry.step);
    return steps;
  }

  testing::TemporaryDirectory directory;
  std::vector<FolderEntry> entries;
};

TEST_F(CheckpointFolderTest, WhatWasSavedIsReadInItsOrder) {
  EXPECT_THAT(read_folder(folder() + "/none"), IsEmpty());
  EXPECT_EQ(latest_checkpoint(folder()), std::nullopt);
  add(30, 0.25);
  add(10, 0.5);
  add(20);
  EXPECT_EQ(read_folder(folder()), entries);
  EXPECT_THAT(steps(entries), ElementsAre(30, 10, 20));
  add(40, std::nan(""));
  EXPECT_THAT(steps(read_folder(folder())), ElementsAre(30, 20, 40)) << "the best, and the last two";
  EXPECT_FALSE(exists("step-00000010.pt"));
  EXPECT_EQ(latest_checkpoint(folder()), folder() + "/step-00000040.pt");
  EXPECT_EQ(best_checkpoint(folder()), folder() + "/step-00000030.pt");
  std::ostringstream index;
  index << std::ifstream(directory.file("latest.json")).rdbuf();
  EXPECT_EQ(
      index.str(),
      "{\"best\":\"step-00000030.pt\",\"checkpoints\":[{\"file\":\"step-00000030.pt\",\"metric\":0.25,\"step\":30},"
      "{\"file\":\"step-00000020.pt\",\"step\":20},{\"file\":\"step-00000040.pt\",\"step\":40}],"
      "\"latest\":\"step-00000040.pt\"}\n");
}

TEST_F(CheckpointFolderTest, AKillBetweenFileAndIndexLosesNothing) {
  add(10);
  add(20);
  write("step-00000030.pt");  // complete, for it has its name
  write("step-00000005.pt");  // one that was to be removed
  EXPECT_THAT(steps(read_folder(folder())), ElementsAre(5, 10, 20, 30));
  EXPECT_EQ(latest_checkpoint(folder()), folder() + "/step-00000030.pt");
  std::filesystem::remove(directory.file("step-00000020.pt"));
  EXPECT_THAT(steps(read_folder(folder())), ElementsAre(5, 10, 30)) << "what is not there does not count";
  entries = read_folder(folder());
  add(40);
  EXPECT_THAT(steps(read_folder(folder())), ElementsAre(30, 40));
}

TEST_F(CheckpointFolderTest, ADamagedIndexLeavesTheFiles) {
  add(10, 0.5);
  for (const char* text :
       {"", "[]", "{", "{\"checkpoints\": [3, {}, {\"file\": 7}]}",
        "{\"latest\": 3, \"best\": 3, \"checkpoints\": {\"file\": \"x\"}}",
        "{\"best\": \"../x\", \"checkpoints\": [{\"file\": \"../step-00000010.pt\", \"metric\": 1}]}"}) {
    write("latest.json", text);
    EXPECT_THAT(steps(read_folder(folder())), ElementsAre(10)) << text;
    EXPECT_EQ(latest_checkpoint(folder()), folder() + "/step-00000010.pt") << text;
    EXPECT_EQ(best_checkpoint(folder()), std::nullopt) << text;
  }
}

TEST_F(CheckpointFolderTest, FilesOfOthersAreLeftAlone) {
  for (const char* name : {"step-1.pt", "step-.pt", "step-00000001.pt.bak", "step--0000001.pt", "step-0000000a.pt"}) {
    write(name);
  }
  add(10);
  add(20);
  add(30);
  EXPECT_THAT(steps(read_folder(folder())), ElementsAre(20, 30));
  EXPECT_TRUE(exists("step-1.pt"));
}

TEST_F(CheckpointFolderTest, WhereTheIndexCannotBeWrittenNothingIsRemoved) {
  add(10);
  add(20);
  std::filesystem::remove(directory.file("latest.json"));
  std::filesystem::create_directory(directory.file("latest.json"));
  write("step-00000030.pt");
  EXPECT_FALSE(add_to_folder(folder(), {"step-00000030.pt", 30, {}}, {.last = 1}, entries).ok());
  EXPECT_TRUE(exists("step-00000010.pt"));
}

TEST(Retention, KeepsTheLastAndTheBest) {
  const std::vector<FolderEntry> entries{{"a", 1, 3.0}, {"b", 2, 1.0}, {"c", 3, 9.0}, {"d", 4, 1.0}, {"e", 5, {}}};
  const auto names = [&](const Retention& retention) {
    std::string text;
    for (const FolderEntry& entry : retained(entries, retention)) text += entry.file;
    return text;
  };
  EXPECT_EQ(names({.last = 0}), "abcde");
  EXPECT_EQ(names({.last = 1, .best = 0}), "e");
  EXPECT_EQ(names({.last = 1, .best = 1}), "de") << "of equally good ones the newest";
  EXPECT_EQ(names({.last = 1, .best = 3}), "abde");
  EXPECT_EQ(names({.last = 1, .best = 1, .lower_is_better = false}), "ce");
  EXPECT_EQ(names({.last = 9}), "abcde");
}

}  // namespace
}  // namespace ferrun::checkpoint
