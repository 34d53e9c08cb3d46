// One destination, with descriptors that fail as real ones do.
#include "launcher/io/logs/log_target.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <thread>

#include "tests/process/process_test_support.h"

namespace ferrun {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// While it lives, no file of this process grows above the limit: a disk that is full at a chosen byte.
class FullDisk {
 public:
  explicit FullDisk(rlim_t most_bytes) {
    sigset_t too_large;
    sigemptyset(&too_large);
    sigaddset(&too_large, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &too_large, &mask_);
    getrlimit(RLIMIT_FSIZE, &limit_);
    const rlimit full{most_bytes, limit_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &full);
  }
  ~FullDisk() {
    setrlimit(RLIMIT_FSIZE, &limit_);
    const timespec none{};
    sigset_t too_large;
    sigemptyset(&too_large);
    sigaddset(&too_large, SIGXFSZ);
    while (sigtimedwait(&too_large, nullptr, &none) > 0) {
    }
    pthread_sigmask(SIG_SETMASK, &mask_, nullptr);
  }

 private:
  rlimit limit_{};
  sigset_t mask_{};
};

class LogTargetTest : public ::testing::Test {
 protected:
  LogTargetTest() : path_(directory_.file("stdout.log")) {
    fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  }
  ~LogTargetTest() override { ::close(fd_); }

  static void write(LogTarget& target, std::string_view bytes, Duration now) {
    target.write({&bytes, 1}, TimePoint(now));
  }
  std::string content() const { return testing::read_file(path_); }

  testing::TemporaryDirectory directory_;
  std::string path_;
  int fd_;
};

TEST_F(LogTargetTest, SaysWhatAFullDiskLostOnceThereIsRoomAgain) {
  LogTarget target(path_, fd_);
  {
    const FullDisk full(12);
    write(target, "one\ntwo\nthree\nfour\n", 0s);  // "one\ntwo\nthre" fits
    write(target, "five\n", 1s);
  }
  EXPECT_THAT(target.take_reports(),
              ElementsAre(path_ + ": File too large; lines are lost until it can be written again"));
  write(target, "six\n", 2s);
  EXPECT_EQ(content(), "one\ntwo\nthre\nferrun: 3 lines (12 B) lost here: File too large\nsix\n");
  EXPECT_THAT(target.take_reports(), ElementsAre(path_ + ": 3 lines (12 B) lost: File too large"));
  EXPECT_TRUE(target.unsaid().empty());
}

TEST_F(LogTargetTest, TriesAgainOnlyAfterAWhileAndGoesOnWithAWholeLine) {
  LogTarget target(path_, fd_);
  {
    const FullDisk full(0);
    write(target, "lost, beginning ", 1s);
  }
  write(target, "lost, too soon ", 1s + 1ms);
  EXPECT_EQ(content(), "");
  write(target, "lost, the rest\nkept\n", 2s);
  EXPECT_EQ(content(), "ferrun: 1 line (46 B) lost here: File too large\nkept\n");
}

TEST_F(LogTargetTest, ANoticeThatWasCutIsRepeatedOnALineOfItsOwn) {
  LogTarget target(path_, fd_);
  {
    const FullDisk full(4);
    write(target, "one\ntwo\n", 0s);
  }
  {
    const FullDisk full(10);
    write(target, "three\n", 1s);
  }
  EXPECT_EQ(content(), "one\nferrun");
  write(target, "four\n", 2s);
  EXPECT_EQ(content(), "one\nferrun\nferrun: 2 lines (10 B) lost here: File too large\nfour\n");
}

TEST_F(LogTargetTest, SaysALossOfWholeLinesAtOnceAndOthersAtTheEnd) {
  LogTarget target(path_, fd_);
  LogLoss loss;
  loss.add("a\n");
  target.add_loss(loss, "too slow");
  EXPECT_EQ(content(), "ferrun: 1 line (2 B) lost here: too slow\n");
  LogLoss cut;
  cut.add("b\nc");
  target.add_loss(cut, "too slow");
  EXPECT_EQ(content(), "ferrun: 1 line (2 B) lost here: too slow\n");
  target.finish();
  EXPECT_EQ(content(), "ferrun: 1 line (2 B) lost here: too slow\nferrun: 2 lines (3 B) lost here: too slow\n");
}

TEST_F(LogTargetTest, CountsWhatAClosedPipeTakesNoMore) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  ::close(ends[0]);
  const auto before = ::signal(SIGPIPE, SIG_IGN);
  LogTarget target("stdout", ends[1]);
  write(target, "one\n", 0s);
  write(target, "two\n", 10s);
  target.finish();
  ::signal(SIGPIPE, before);
  ::close(ends[1]);
  EXPECT_EQ(target.unsaid().describe(), "2 lines (8 B)");
  EXPECT_STREQ(target.reason(), "Broken pipe");
}

TEST_F(LogTargetTest, WaitsForADescriptorThatOthersMadeNonBlocking) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
  const std::string text(1 << 20, 'x');
  std::thread writer([&] {
    LogTarget target("stdout", ends[1]);
    write(target, text, 0s);
    EXPECT_TRUE(target.unsaid().empty());
    ::close(ends[1]);
  });
  ::fcntl(ends[0], F_SETFL, 0);
  std::string got;
  std::string buffer(4096, '\0');
  for (ssize_t count = 0; (count = ::read(ends[0], buffer.data(), buffer.size())) > 0;) {
    got.append(buffer, 0, static_cast<size_t>(count));
  }
  writer.join();
  ::close(ends[0]);
  EXPECT_EQ(got, text);
}

}  // namespace
}  // namespace ferrun
