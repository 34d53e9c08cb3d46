#include "common/io/small_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "tests/temporary_directory.h"

namespace ferrun {
namespace {

using testing::TemporaryDirectory;
using State = SmallFile::State;

class ReadSmallFile : public ::testing::Test {
 protected:
  std::string write(const std::string& bytes) {
    std::ofstream(folder_.path() / "file", std::ios::binary) << bytes;
    return folder_.path() / "file";
  }

  TemporaryDirectory folder_;
};

TEST_F(ReadSmallFile, ReadsUpToItsLimit) {
  const std::string bytes(10'000, 'x');
  EXPECT_EQ(read_small_file(write(bytes), bytes.size()).bytes, bytes);
  EXPECT_EQ(read_small_file(write("")).state, State::kRead);
}

TEST_F(ReadSmallFile, ReadsTheBeginningOfALargerOne) {
  const SmallFile file = read_small_file(write(std::string(10'001, 'x')), 10'000);
  EXPECT_EQ(file.state, State::kTooLarge);
  EXPECT_EQ(file.bytes, std::string(10'000, 'x'));
  EXPECT_EQ(file.problem, "it has more than 10000 bytes");
}

TEST_F(ReadSmallFile, ReadsFilesOfProcWhoseSizeIsNotKnown) {
  EXPECT_GT(read_small_file("/proc/self/status").bytes.size(), 100u);
  EXPECT_EQ(read_small_file("/proc/self/status", 10).state, State::kTooLarge);
}

TEST_F(ReadSmallFile, WaitsForNoFifo) {
  const std::string fifo = folder_.path() / "fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  const SmallFile file = read_small_file(fifo);
  EXPECT_EQ(file.state, State::kNotAFile);
  EXPECT_EQ(file.problem, "it is a FIFO");
}

TEST_F(ReadSmallFile, SaysWhatIsThereInstead) {
  EXPECT_EQ(read_small_file(folder_.path()).problem, "it is a folder");
  EXPECT_EQ(read_small_file("/dev/null").problem, "it is a device");
  EXPECT_EQ(read_small_file(folder_.path() / "absent").state, State::kAbsent);
  EXPECT_EQ(read_small_file(write("") + "/below").state, State::kAbsent);
}

TEST_F(ReadSmallFile, OrNamesTheFileAndWhyItCannotBeRead) {
  EXPECT_EQ(*read_whole_file(write("bytes")), "bytes");
  const std::string absent = folder_.path() / "absent";
  EXPECT_EQ(read_whole_file(absent).error().message, absent + ": cannot be read: No such file or directory");
  EXPECT_EQ(read_whole_file("/dev/null").error().message, "/dev/null: cannot be read: it is a device");
  EXPECT_EQ(read_whole_file(write("12345"), 4).error().message,
            write("12345") + ": cannot be read: it has more than 4 bytes");
}

}  // namespace
}  // namespace ferrun
