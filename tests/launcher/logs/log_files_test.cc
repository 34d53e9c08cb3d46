#include "launcher/io/logs/log_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "tests/process/process_test_support.h"

namespace ferrun {
namespace {

using ::testing::HasSubstr;

TEST(LogFiles, NamesThePathAndTheFlagWhenAFileIsInTheWay) {
  const testing::TemporaryDirectory directory;
  const std::string file = directory.file("logs");
  std::ofstream(file) << "a file";
  const Result<UniqueFd> fd = open_log_file(file + "/0/stdout.log");
  ASSERT_FALSE(fd);
  EXPECT_EQ(fd.error().kind, ErrorKind::kUser);
  EXPECT_EQ(fd.error().message,
            "cannot make the log directory " + file + "/0: Not a directory; choose another place with --log-dir");
}

TEST(LogFiles, NamesTheLimitWhenThereAreTooFewDescriptors) {
  const testing::TemporaryDirectory directory;
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  const int used = ::dup(0);
  ::close(used);
  const rlimit none{static_cast<rlim_t>(used), before.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &none);
  const Result<UniqueFd> fd = open_log_file(directory.file("stdout.log"));
  ::setrlimit(RLIMIT_NOFILE, &before);
  ASSERT_FALSE(fd);
  EXPECT_EQ(fd.error().kind, ErrorKind::kPlatform);
  EXPECT_THAT(fd.error().message,
              HasSubstr("Too many open files (limit " + std::to_string(used) + "): raise it with `ulimit -n`"));
}

TEST(LogFiles, MakesTheDirectoryWithTheModeAskedForButNotItsParents) {
  const testing::TemporaryDirectory directory;
  const std::filesystem::path file = directory.path() / "logs" / "job_1" / "ferrun.log";
  for (int time = 0; time < 2; ++time) {
    const Result<UniqueFd> fd = open_log_file(file, 0700);
    ASSERT_TRUE(fd) << fd.error().message;
  }
  struct stat status {};
  ASSERT_EQ(::stat(file.parent_path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700U);
  ASSERT_EQ(::stat(file.parent_path().parent_path().c_str(), &status), 0);
  EXPECT_NE(status.st_mode & 0777, 0700U);
}

}  // namespace
}  // namespace ferrun
