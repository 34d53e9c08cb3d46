// The router when a console or a disk stands still or fails: nobody else notices, and it is said what was lost.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/post.hpp>

#include "common/io/clock.h"
#include "tests/launcher/logs/log_rig.h"

namespace ferrun {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using testing::LogRig;
using testing::write_all;

// A terminal whose user has pressed Ctrl-S: nobody reads it.
class StoppedTerminal {
 public:
  StoppedTerminal() {
    termios raw{};
    cfmakeraw(&raw);
    EXPECT_EQ(::openpty(&master_, &slave_, nullptr, &raw, nullptr), 0);
  }
  ~StoppedTerminal() {
    ::close(slave_);
    ::close(master_);
  }
  StoppedTerminal(const StoppedTerminal&) = delete;
  StoppedTerminal& operator=(const StoppedTerminal&) = delete;

  int slave() const { return slave_; }

 private:
  int master_ = -1;
  int slave_ = -1;
};

std::string numbered_lines(int from, int to) {
  std::string text;
  for (int i = from; i < to; ++i) text += std::to_string(i) + " " + std::string(90, 'x') + "\n";
  return text;
}

struct Lost {
  uint64_t lines = 0;
  int notices = 0;
};

// Adds up the notices "ferrun: 12 lines (3.4 kB) lost here: …".
Lost lost_in(const std::string& text) {
  static const std::string kBegin = "ferrun: ";
  Lost lost;
  for (const std::string& line : testing::lines_of(text)) {
    if (line.rfind(kBegin, 0) != 0 || line.find(" lost here: ") == std::string::npos) continue;
    lost.lines += std::stoull(line.substr(kBegin.size()));
    ++lost.notices;
  }
  return lost;
}

// Small queues, so that the test need not write much, and a short patience.
void small(LogRouter::Options& options) {
  options.console_queue_bytes = 256 << 10;
  options.patience.terminal = options.patience.reader = 20ms;
}

TEST(LogStall, AStoppedTerminalDelaysNeitherFilesNorTheEnd) {
  const StoppedTerminal terminal;
  LogRig rig([&](LogRouter::Options& options) {
    small(options);
    options.console_out = options.console_err = terminal.slave();
  });
  const std::string journal = rig.directory.file("ferrun.log");
  rig.router->keep_announcements(journal, /*make_folder=*/true);
  const int fd = rig.tee(0);
  const std::string text = numbered_lines(0, 50'000);
  std::thread writer([&] {
    write_all(fd, text);
    ::close(fd);
  });
  EXPECT_TRUE(rig.drain());
  writer.join();
  rig.router->announce("ferrun: worker 0 failed");
  const TimePoint begin = monotonic_now();
  rig.router->close(100ms);
  EXPECT_LT(monotonic_now() - begin, 20s);  // not waited for the terminal, which would be for ever
  EXPECT_TRUE(rig.file(0) == text);
  EXPECT_THAT(testing::read_file(journal), HasSubstr("ferrun: worker 0 failed\n"));
  EXPECT_THAT(testing::read_file(journal), HasSubstr("lost: the reader of the console is stopped or too slow\n"));
}

// What the console shows of `written` numbered lines and the line "after", where the log file cannot help.
void expect_gaps_that_are_told(const std::string& console, size_t written) {
  const Lost lost = lost_in(console);
  EXPECT_GT(lost.lines, 0U);
  const std::vector<std::string> lines = testing::lines_of(console);
  EXPECT_EQ(lines.size() - static_cast<size_t>(lost.notices) + lost.lines, written + 1);
  int last = -1;
  for (const std::string& line : lines) {
    if (line.rfind("[0]:", 0) != 0 || line == "[0]:after") continue;
    ASSERT_EQ(line.size(), 4 + std::to_string(std::stoi(line.substr(4))).size() + 91) << line;
    ASSERT_GT(std::stoi(line.substr(4)), last);
    last = std::stoi(line.substr(4));
  }
}

TEST(LogStall, AConsoleThatGoesOnSaysAtThePlaceWhatItMissed) {
  LogRig rig(small);
  const int fd = rig.tee(0, Stream::kStdout, /*with_file=*/false);
  bool is_written = false;
  std::thread writer([&] {
    write_all(fd, numbered_lines(0, 50'000));
    boost::asio::post(rig.io, [&] { is_written = true; });
  });
  EXPECT_TRUE(rig.run_until([&] { return is_written; }));
  writer.join();
  rig.out.start();
  EXPECT_TRUE(rig.run_until([&] { return rig.out.has_shown("lost here"); }));
  write_all(fd, "after\n");
  ::close(fd);
  rig.end_well();
  const std::string console = rig.out.finish();
  expect_gaps_that_are_told(console, 50'000);
  EXPECT_THAT(console, ::testing::EndsWith("[0]:after\n"));
}

TEST(LogStall, AReaderThatComesLateLosesNothingThatIsInTheFile) {
  LogRig rig(small);
  const int fd = rig.tee(0);
  const std::string text = numbered_lines(0, 50'000);
  std::thread writer([&] { write_all(fd, text); });
  EXPECT_TRUE(rig.run_until([&] { return rig.file(0).size() == text.size(); }));  // nobody waits for the reader
  writer.join();
  rig.router->announce("ferrun: between");
  rig.out.start();
  write_all(fd, "after");
  ::close(fd);
  rig.end_well();
  std::string expected;
  for (const std::string& line : testing::lines_of(text)) expected += "[0]:" + line + "\n";
  EXPECT_TRUE(rig.out.finish() == expected + "[0]:after\n");
}

TEST(LogStall, ALateReaderOfManyStreamsHasEveryLineInTheOrderOfItsStream) {
  constexpr int kStreams = 6;
  constexpr int kLines = 8'000;
  LogRig rig(small);
  std::vector<std::thread> writers;
  std::vector<int> ends;
  const std::string text = numbered_lines(0, kLines);
  for (int rank = 0; rank < kStreams; ++rank) ends.push_back(rig.tee(rank));
  for (const int end : ends) {
    writers.emplace_back([end, &text] {
      for (size_t at = 0; at < text.size(); at += 5'000) write_all(end, std::string_view(text).substr(at, 5'000));
      ::close(end);
    });
  }
  EXPECT_TRUE(rig.drain());
  for (std::thread& writer : writers) writer.join();
  rig.out.start();
  rig.router->close(testing::kHangLimit);
  std::vector<int> next(kStreams);
  for (const std::string& line : testing::lines_of(rig.out.finish())) {
    int& number = next.at(static_cast<size_t>(line.at(1) - '0'));
    ASSERT_EQ(line.substr(4), std::to_string(number) + " " + std::string(90, 'x'));
    ++number;
  }
  EXPECT_THAT(next, ::testing::Each(kLines));
}

TEST(LogStall, ALateReaderHearsWhatAFileThatWasCutCannotGive) {
  LogRig rig(small);
  const int fd = rig.tee(0);
  const std::string text = numbered_lines(0, 50'000);
  std::thread writer([&] { write_all(fd, text); });
  EXPECT_TRUE(rig.run_until([&] { return rig.file(0).size() == text.size(); }));
  writer.join();
  ASSERT_EQ(::truncate(rig.file_path(0).c_str(), 0), 0);
  rig.out.start();
  EXPECT_TRUE(rig.run_until([&] { return rig.out.has_shown("lost here"); }));
  write_all(fd, "after\n");
  ::close(fd);
  rig.end_well();
  // "after" may come before the router has noticed that the console is no longer behind: it is then among the lost.
  expect_gaps_that_are_told(rig.out.finish(), 50'000);
}

TEST(LogStall, AReaderThatIsSlowAtTheEndIsWaitedForAsLongAsItReads) {
  LogRig rig;
  const int fd = rig.tee(0, Stream::kStdout, /*with_file=*/false);
  const std::string text = numbered_lines(0, 3'000);
  write_all(fd, text.substr(0, 100'000));
  std::thread writer([&] {
    write_all(fd, std::string_view(text).substr(100'000));
    ::close(fd);
  });
  EXPECT_TRUE(rig.drain());
  writer.join();
  rig.out.start(/*bytes_at_once=*/512);
  rig.router->close(testing::kHangLimit);
  EXPECT_EQ(testing::lines_of(rig.out.finish()).size(), 3'000U);
}

TEST(LogStall, AHurryEndsTheWaitForAReaderThatStands) {
  LogRig rig;
  const int fd = rig.tee(0, Stream::kStdout, /*with_file=*/false);
  std::thread writer([&] {
    write_all(fd, numbered_lines(0, 3'000));
    ::close(fd);
  });
  EXPECT_TRUE(rig.drain());
  writer.join();
  int asked = 0;
  rig.router->close(std::chrono::hours(1), [&] { return ++asked > 2; });
  EXPECT_GT(asked, 2);
}

TEST(LogStall, ASlowReaderOfTheConsoleLosesNothingWithinThePatience) {
  LogRig rig([](LogRouter::Options& options) {
    options.console_queue_bytes = 64 << 10;
    options.patience.reader = testing::kHangLimit;
  });
  const int fd = rig.tee(0);
  const std::string text = numbered_lines(0, 30'000);
  std::thread writer([&] {
    write_all(fd, text);
    ::close(fd);
  });
  // The queue is full before anybody reads, and the worker waits.
  EXPECT_FALSE(rig.drain(1ms, /*attempt=*/1) && rig.file(0).size() == text.size());
  rig.out.start();
  rig.end_well();
  writer.join();
  const std::string console = rig.out.finish();
  EXPECT_EQ(lost_in(console).notices, 0);
  EXPECT_EQ(testing::lines_of(console).size(), 30'000U);
  EXPECT_TRUE(rig.file(0) == text);
}

TEST(LogStall, AClosedPipeStopsNobodyAndIsMentionedOnTheOtherStream) {
  LogRig rig;
  rig.out.close_reader();
  rig.err.start();
  const int out = rig.tee(0, Stream::kStdout);
  const int err = rig.tee(0, Stream::kStderr);
  const std::string text = numbered_lines(0, 20'000);
  std::thread writer([&] {
    write_all(out, text);
    write_all(err, "still here\n");
    ::close(out);
    ::close(err);
  });
  rig.end_well();
  writer.join();
  EXPECT_TRUE(rig.file(0) == text);
  const std::string said = rig.err.finish();
  EXPECT_THAT(said, HasSubstr("[0]:still here\n"));
  EXPECT_THAT(said, HasSubstr("ferrun: stdout: 20000 lines (2.0 MB) lost: Broken pipe\n"));
}

TEST(LogStall, AStoppedStdoutDoesNotHoldUpStderr) {
  LogRig rig(small);
  rig.err.start();
  const int out = rig.tee(0, Stream::kStdout, /*with_file=*/false);
  std::thread writer([&] {
    write_all(out, numbered_lines(0, 20'000));
    ::close(out);
  });
  EXPECT_TRUE(rig.drain());
  writer.join();
  rig.router->announce("ferrun: the report");
  rig.router->close(100ms);
  EXPECT_THAT(rig.err.finish(), HasSubstr("ferrun: the report\n"));
}

TEST(LogStall, AnnouncementsHaveRoomOnAConsoleThatIsFull) {
  LogRig rig(small);
  const int fd = rig.tee(0, Stream::kStderr);
  const std::string text = numbered_lines(0, 20'000);
  std::thread writer([&] { write_all(fd, text); });
  EXPECT_TRUE(rig.run_until([&] { return rig.file(0, Stream::kStderr).size() == text.size(); }));
  writer.join();
  ::close(fd);
  rig.router->announce("ferrun: the report");
  rig.err.start();
  rig.end_well();
  EXPECT_THAT(testing::lines_of(rig.err.finish()).back(), "ferrun: the report");
}

TEST(LogStall, AFullDiskIsSaidOnTheConsoleAndDelaysNobody) {
  if (::access("/dev/full", W_OK) != 0) GTEST_SKIP() << "this machine has no /dev/full";
  LogRig rig;
  rig.out.start();
  rig.err.start();
  StreamPlan plan{.file = "/dev/full", .tee = true, .prefix = "[0]:"};
  const int fd = rig.open(0, Stream::kStdout, plan);
  const int healthy = rig.tee(1);
  const std::string text = numbered_lines(0, 20'000);
  std::thread writer([&] {
    write_all(fd, text);
    ::close(fd);
    write_all(healthy, text);
    ::close(healthy);
  });
  rig.end_well();
  writer.join();
  EXPECT_TRUE(rig.file(1) == text);
  EXPECT_EQ(testing::lines_of(rig.out.finish()).size(), 40'000U);
  const std::string said = rig.err.finish();
  EXPECT_THAT(said,
              HasSubstr("ferrun: /dev/full: No space left on device; lines are lost until it can be written again\n"));
  EXPECT_THAT(said, HasSubstr("ferrun: /dev/full: 20000 lines (1.9 MB) lost: No space left on device\n"));
}

TEST(LogStall, ADeadDiskDelaysTheWorkerOnlyForThePatienceAndNotTheEnd) {
  LogRig rig([](LogRouter::Options& options) {
    options.file_queue_bytes = 256 << 10;
    options.patience.file = 20ms;
  });
  rig.out.start();
  rig.err.start();
  // A FIFO that nobody reads behaves as a dead disk: opening succeeds, writes never return.
  const std::string path = rig.directory.file("fifo");
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  const int holder = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  StreamPlan plan{.file = path, .tee = true, .prefix = "[0]:"};
  const int fd = rig.open(0, Stream::kStdout, plan);
  std::thread writer([&] {
    write_all(fd, numbered_lines(0, 30'000));
    ::close(fd);
  });
  EXPECT_TRUE(rig.drain());
  writer.join();
  rig.router->close(100ms);
  ::close(holder);
  EXPECT_EQ(testing::lines_of(rig.out.finish()).size(), 30'000U);
  EXPECT_THAT(rig.err.finish(), HasSubstr("ferrun: " + path + ": "));
}

TEST(LogStall, ADeadDiskIsWaitedForByAStreamThatGoesNowhereElseButNotAtTheEnd) {
  LogRig rig([](LogRouter::Options& options) {
    options.file_queue_bytes = 256 << 10;
    options.patience.file = 1ms;
  });
  rig.err.start();
  const std::string path = rig.directory.file("fifo");
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  const int holder = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  // A teed stream fills the queue of the disk, and loses lines there.
  const int teed = rig.open(1, Stream::kStdout, {.file = path, .tee = true, .prefix = "[1]:"});
  const int fd = rig.open(0, Stream::kStdout, {.file = rig.file_path(0), .tee = false, .prefix = {}});
  rig.out.start();
  std::thread flood([&] {
    write_all(teed, numbered_lines(0, 20'000));
    ::close(teed);
  });
  EXPECT_TRUE(rig.run_until([&] { return rig.out.has_shown("[1]:19999 "); }));
  std::atomic<bool> is_written = false;
  std::thread writer([&] {
    write_all(fd, numbered_lines(0, 20'000));
    is_written = true;
  });
  const auto unread = [fd] {
    int bytes = 0;
    ::ioctl(fd, FIONREAD, &bytes);
    return bytes;
  };
  EXPECT_TRUE(rig.run_until([&] { return is_written || unread() >= (60 << 10); }));
  EXPECT_FALSE(is_written);
  // The disk answers again: nothing of the waiting stream is lost.
  std::thread disk([holder] {
    std::string buffer(64 << 10, '\0');
    std::string last;
    while (last.find("end of the test") == std::string::npos) {
      const ssize_t got = ::read(holder, buffer.data(), buffer.size());
      if (got <= 0) break;
      last.erase(0, last.size() - std::min<size_t>(last.size(), 20)).append(buffer, 0, static_cast<size_t>(got));
    }
  });
  EXPECT_TRUE(rig.run_until([&] { return is_written.load(); }));
  writer.join();
  ::close(fd);
  EXPECT_TRUE(rig.drain());
  flood.join();
  rig.router->close(testing::kHangLimit);
  write_all(holder, "end of the test");
  disk.join();
  ::close(holder);
  EXPECT_TRUE(rig.file(0) == numbered_lines(0, 20'000));
}

TEST(LogStall, ADirectoryDeletedWhileRunningDisturbsNobody) {
  LogRig rig;
  rig.out.start();
  const int fd = rig.tee(0);
  std::filesystem::remove_all(rig.directory.path() / "attempt_0");
  write_all(fd, "into the void\n");
  ::close(fd);
  rig.end_well();
  EXPECT_EQ(rig.out.finish(), "[0]:into the void\n");
}

}  // namespace
}  // namespace ferrun
