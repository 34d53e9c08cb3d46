// How the file with the job's secret is read.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "launcher/io/probe/host_facts.h"
#include "tests/temporary_directory.h"

namespace ferrun::testing {
namespace {

using ::testing::HasSubstr;

Result<FileQueries::Secret> secret_of(const std::string& path) { return read_host_facts().files.secret(path); }

TEST(SecretFile, OfASlowPipeIsReadToItsEnd) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("pipe");
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  std::thread writer([&path] {
    const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
    for (const std::string part : {"the first part", " and the second"}) {
      EXPECT_EQ(write(fd, part.data(), part.size()), static_cast<ssize_t>(part.size()));
      int unread = 1;
      while (ioctl(fd, FIONREAD, &unread) == 0 && unread > 0) std::this_thread::yield();
    }
    close(fd);
  });
  const auto secret = secret_of(path);
  writer.join();
  ASSERT_TRUE(secret) << secret.error().message;
  EXPECT_EQ(secret->text, "the first part and the second");
  EXPECT_FALSE(secret->others_may_read);
}

TEST(SecretFile, IsNotCutAtABuffersEnd) {
  const TemporaryDirectory directory;
  std::ofstream(directory.file("long")) << std::string(50'000, 'x');
  EXPECT_EQ(secret_of(directory.file("long"))->text.size(), 50'000u);
  std::ofstream(directory.file("endless")) << std::string(70'000, 'x');
  EXPECT_THAT(secret_of(directory.file("endless")).error().message, HasSubstr("more than 65536 bytes"));
}

TEST(SecretFile, TellsWhetherOthersMayReadIt) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("secret");
  std::ofstream(path) << "x";
  for (const mode_t mode : {0600, 0640, 0604}) {
    ASSERT_EQ(chmod(path.c_str(), mode), 0);
    EXPECT_EQ(secret_of(path)->others_may_read, mode != 0600) << std::oct << mode;
  }
}

}  // namespace
}  // namespace ferrun::testing
