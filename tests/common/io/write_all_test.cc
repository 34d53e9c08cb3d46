#include "common/io/write_all.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "common/io/unique_fd.h"

namespace ferrun {
namespace {

TEST(WriteAll, GoesOnUntilEverythingIsWritten) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  const std::string bytes(1 << 20, 'x');  // more than a pipe holds
  bool written = false;
  std::thread thread([&] {
    written = write_all(writer.get(), bytes);
    writer.reset();
  });
  size_t read_bytes = 0;
  std::string piece(4096, '\0');
  for (ssize_t count = 0; (count = read(reader.get(), piece.data(), piece.size())) > 0;) {
    read_bytes += static_cast<size_t>(count);
  }
  thread.join();
  EXPECT_TRUE(written);
  EXPECT_EQ(read_bytes, bytes.size());
}

TEST(WriteAll, TellsOfARefusal) {
  const UniqueFd full(open("/dev/full", O_WRONLY | O_CLOEXEC));
  EXPECT_FALSE(write_all(full.get(), "x"));
  EXPECT_EQ(errno, ENOSPC);
  EXPECT_TRUE(write_all(full.get(), ""));
}

}  // namespace
}  // namespace ferrun
