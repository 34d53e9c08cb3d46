#include "worker/report/event_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "tests/temporary_directory.h"
#include "worker/report/output_file.h"
#include "worker/report/tensorboard_log.h"

namespace ferrun::report {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::span<const uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

std::string text_of(const std::vector<uint8_t>& bytes) { return {bytes.begin(), bytes.end()}; }

// What all event files of a folder say, in the order of their names.
std::vector<int64_t> steps_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.push_back(entry.path());
  std::ranges::sort(names);
  std::vector<int64_t> steps;
  for (const std::string& name : names) {
    for (const int64_t step : scalar_steps(*read_file(name))) steps.push_back(step);
  }
  return steps;
}

std::vector<EpochMetrics> epochs_to(int64_t last) {
  std::vector<EpochMetrics> epochs;
  for (int64_t i = 1; i <= last; ++i) epochs.push_back({i, 1e-3, 1, 0.5, 1, 0.5, 0.25});
  return epochs;
}

// RFC 3720, B.4: 32 bytes of zeros have 0x8a9136aa; the mask is TFRecord's.
TEST(EventFile, HasTheChecksumsOfTfRecord) {
  const std::vector<uint8_t> zeros(32, 0);
  const uint32_t sum = 0x8a9136aa;
  EXPECT_EQ(masked_crc32c(zeros), ((sum >> 15) | (sum << 17)) + 0xa282ead8u);
}

TEST(EventFile, FramesMessages) {
  const std::vector<uint8_t> record = framed(bytes_of("abc"));
  ASSERT_EQ(record.size(), 8u + 4 + 3 + 4);
  EXPECT_THAT(std::vector(record.begin(), record.begin() + 8), ElementsAre(3, 0, 0, 0, 0, 0, 0, 0));
  EXPECT_EQ(text_of(record).substr(12, 3), "abc");
}

// By hand from the encoding's description: wall_time = 1 (fixed64), step = 300 (varint of two bytes), summary.
TEST(EventFile, EncodesScalarsAsProtobufDoes) {
  EXPECT_THAT(scalars_event(1.0, 300, {{"lr", 0.5}}),
              ElementsAre(0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x10, 0xac, 0x02, 0x2a, 0x0b, 0x0a, 0x09, 0x0a, 0x02, 'l',
                          'r', 0x15, 0, 0, 0, 0x3f));
}

TEST(EventFile, ThatIsCutOrDamagedIsReadUpToThere) {
  std::string file = text_of(framed(version_event(1.0)));
  for (const int64_t step : {1, 2}) file += text_of(framed(scalars_event(1.0, step, {{"a", 1.0}})));
  EXPECT_THAT(scalar_steps(file), ElementsAre(1, 2));
  EXPECT_THAT(scalar_steps(file.substr(0, file.size() - 1)), ElementsAre(1));
  std::string damaged = file;
  damaged[damaged.size() - 6] ^= 1;
  EXPECT_THAT(scalar_steps(damaged), ElementsAre(1));
  EXPECT_THAT(scalar_steps(""), IsEmpty());
  EXPECT_THAT(scalar_steps(std::string(100, '\xff')), IsEmpty());
  for (size_t length = 0; length < file.size(); ++length) scalar_steps(file.substr(0, length));
}

TEST(EventFile, OnAFullDiskEndsWithAWholeRecord) {
  const testing::TemporaryDirectory folder;
  auto writer = EventWriter::create(folder.file("events"), 1.0);
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE(writer->add(scalars_event(1.0, 1, {{"a", 1.0}})).ok());
  const auto whole = std::filesystem::file_size(folder.file("events"));
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit tight{whole + 10, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &tight);
  const Status refused = writer->add(scalars_event(1.0, 2, {{"a", 1.0}}));
  setrlimit(RLIMIT_FSIZE, &before);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message, HasSubstr("cannot write " + folder.file("events") + ": File too large"));
  EXPECT_EQ(std::filesystem::file_size(folder.file("events")), whole);
}

TEST(TensorBoardLog, ShowsEachEpochOnceHoweverOftenTheRunWasKilled) {
  const testing::TemporaryDirectory folder;
  const std::string logs = folder.file("tensorboard");
  const auto no_warning = [](const std::string& line) { ADD_FAILURE() << line; };
  {
    TensorBoardLog log(logs, no_warning);
    log.start({});
    for (const EpochMetrics& epoch : epochs_to(3)) log.add_epoch(epoch);
  }
  EXPECT_THAT(steps_in(logs), ElementsAre(1, 2, 3));
  {
    TensorBoardLog log(logs, no_warning);
    log.start(epochs_to(3));
    log.add_epoch(epochs_to(4).back());
  }
  EXPECT_THAT(steps_in(logs), ElementsAre(1, 2, 3, 4)) << "nothing is written twice";
  std::filesystem::remove_all(logs);
  {
    TensorBoardLog log(logs, no_warning);
    log.start(epochs_to(2));
  }
  EXPECT_THAT(steps_in(logs), ElementsAre(1, 2)) << "what no file has is written again";
}

TEST(TensorBoardLog, OfAnotherSecondOrClockSortsBehindTheFilesThatAreThere) {
  const testing::TemporaryDirectory folder;
  ASSERT_TRUE(write_file(folder.file("events.out.tfevents.9999999998.host.1"), std::string_view()).ok());
  TensorBoardLog log(folder.path(), [](const std::string& line) { ADD_FAILURE() << line; });
  log.start({});
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) names.push_back(entry.path().filename());
  std::ranges::sort(names);
  ASSERT_EQ(names.size(), 2u);
  EXPECT_THAT(names[1], HasSubstr("events.out.tfevents.9999999999."));
}

TEST(TensorBoardLog, WarnsOnceAndLeavesTheRunAlone) {
  const testing::TemporaryDirectory folder;
  ASSERT_TRUE(write_file(folder.file("taken"), std::string_view("x")).ok());
  std::vector<std::string> lines;
  TensorBoardLog log(folder.file("taken/tensorboard"), [&](const std::string& line) { lines.push_back(line); });
  log.start({});
  log.add_epoch(epochs_to(1).back());
  log.add_picture("curves", 1, Error{ErrorKind::kPlatform, "no fonts"});
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_THAT(lines[0], HasSubstr("training goes on: cannot make the folder " + folder.file("taken/tensorboard")));
}

TEST(TensorBoardLog, LeavesOutValuesThatAreNone) {
  const testing::TemporaryDirectory folder;
  TensorBoardLog log(folder.file("logs"), [](const std::string& line) { ADD_FAILURE() << line; });
  log.start({});
  log.add_epoch({1, NAN, NAN, NAN, NAN, NAN});
  log.add_epoch({2, 1, 1, INFINITY, 1, 1});
  EXPECT_THAT(steps_in(folder.file("logs")), ElementsAre(2));
}

}  // namespace
}  // namespace ferrun::report
