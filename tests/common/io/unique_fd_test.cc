#include "common/io/unique_fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>

namespace ferrun {
namespace {

int open_null() { return open("/dev/null", O_RDONLY | O_CLOEXEC); }
bool is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }

TEST(UniqueFd, ClosesWithItsOwner) {
  const int fd = open_null();
  ASSERT_GE(fd, 0);
  { const UniqueFd owner(fd); }
  EXPECT_FALSE(is_open(fd));
}

TEST(UniqueFd, IsOwnedOnceAfterAMove) {
  const int fd = open_null();
  UniqueFd first(fd);
  UniqueFd second(std::move(first));
  EXPECT_FALSE(first);  // NOLINT: what a move leaves is promised
  UniqueFd third(open_null());
  const int replaced = third.get();
  third = std::move(second);
  EXPECT_EQ(third.get(), fd);
  EXPECT_FALSE(is_open(replaced));
  EXPECT_TRUE(is_open(fd));
}

TEST(UniqueFd, GivesAwayWhatStaysOpen) {
  UniqueFd owner(open_null());
  const int fd = owner.release();
  EXPECT_FALSE(owner);
  EXPECT_TRUE(is_open(fd));
  close(fd);
}

TEST(UniqueFd, IsNothingWhereTheCallFailed) { EXPECT_FALSE(UniqueFd(-1)); }

}  // namespace
}  // namespace ferrun
