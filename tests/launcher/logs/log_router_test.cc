// The router with real pipes and files when nothing goes wrong: every line arrives, whole, once, in its place.
#include "launcher/io/logs/log_router.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <random>
#include <thread>

#include "common/io/clock.h"
#include "launcher/io/logs/log_files.h"
#include "tests/launcher/logs/log_rig.h"

namespace ferrun {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::lines_of;
using testing::LogRig;
using testing::read_file;
using ::testing::UnorderedElementsAre;
using testing::write_all;

// As a shell does for `> /dev/stdout`.
int reopened(int fd) {
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  return ::open(path.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC);
}

TEST(LogRouter, KeepsTheLinesThatAFilterWantsInAFileOfTheirOwn) {
  LogRig rig;
  const std::string path = rig.directory.file("filtered_stdout.log");
  Result<UniqueFd> file = open_log_file(path);
  ASSERT_TRUE(file);
  rig.router->filter(0, Stream::kStdout, {path, {"loss", "end,"}}, std::move(*file));
  const int first = rig.tee(0);
  const int second = rig.tee(1);
  const int err = rig.tee(0, Stream::kStderr);
  StreamPlan redirected;
  redirected.file = rig.file_path(2);
  const int third = rig.open(2, Stream::kStdout, redirected);
  write_all(first, "epoch 1\nlo");
  write_all(first, "ss 0.5\n");
  write_all(second, "no\nthe end, unfinished");
  write_all(err, "loss\n");
  write_all(third, "loss\n");
  for (const int fd : {first, second, err, third}) ::close(fd);
  rig.out.start();
  rig.err.start();
  rig.end_well();
  EXPECT_THAT(lines_of(read_file(path)), UnorderedElementsAre("[0]:loss 0.5", "[1]:the end, unfinished"));
  EXPECT_EQ(rig.file(0), "epoch 1\nloss 0.5\n");
}

// A console that stands still is caught up from the log file; the filter is not late.
TEST(LogRouter, FiltersLinesThatTheConsoleGetsLater) {
  LogRig rig([](LogRouter::Options& options) { options.console_queue_bytes = 16 << 10; });
  const std::string path = rig.directory.file("filtered_stdout.log");
  Result<UniqueFd> file = open_log_file(path);
  ASSERT_TRUE(file);
  rig.router->filter(0, Stream::kStdout, {path, {"7"}}, std::move(*file));
  const int fd = rig.tee(0);
  std::string text;
  std::string wanted;
  for (int i = 0; i < 20'000; ++i) {
    const std::string line = "line " + std::to_string(i) + "\n";
    text += line;
    if (line.find('7') != std::string::npos) wanted += "[0]:" + line;
  }
  std::thread worker([&] {
    write_all(fd, text);
    ::close(fd);
  });
  EXPECT_TRUE(rig.run_until([&] { return rig.file(0).size() == text.size(); }));
  worker.join();
  rig.out.start();
  rig.err.start();
  rig.end_well();
  EXPECT_EQ(read_file(path), wanted);
}

TEST(LogRouter, KeepsWhatWasLoggedWhenAWorkerOpensItsStdoutAnew) {
  LogRig rig;
  StreamPlan plan;
  plan.file = rig.file_path(0);
  const int fd = rig.open(0, Stream::kStdout, plan);
  EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
  write_all(fd, "one\n");
  const int anew = reopened(fd);
  ASSERT_GE(anew, 0);
  write_all(anew, "two\n");
  ::close(anew);
  write_all(fd, "three");
  ::close(fd);
  rig.end_well();
  EXPECT_EQ(rig.file(0), "one\ntwo\nthree");
  EXPECT_THAT(rig.router->tail(0, 0, Stream::kStdout), ElementsAre("one", "two", "three"));
}

TEST(LogRouter, HandsOutADeviceAsItIs) {
  LogRig rig;
  StreamPlan plan;
  plan.file = "/dev/null";
  const int fd = rig.open(0, Stream::kStdout, plan);
  struct stat given {
  }, device{};
  ASSERT_EQ(::fstat(fd, &given), 0);
  ASSERT_EQ(::stat("/dev/null", &device), 0);
  EXPECT_EQ(given.st_rdev, device.st_rdev);
  ::close(fd);
  EXPECT_TRUE(rig.drain());
}

TEST(LogRouter, LeavesAnInheritedStreamAlone) {
  LogRig rig;
  EXPECT_EQ(rig.open(0, Stream::kStdout, StreamPlan{}), -1);
  EXPECT_THAT(rig.router->tail(0, 0, Stream::kStdout), IsEmpty());
  rig.end_well();
}

TEST(LogRouter, TeesWholeLinesBehindThePrefixAndTheFileExactly) {
  LogRig rig;
  rig.out.start();
  const int fd = rig.tee(3);
  const std::string text = "par\0t\xff one\nwindows\r\n\r 10%\r 20%\nlast, without its end"s;
  write_all(fd, text);
  ::close(fd);
  rig.end_well();
  EXPECT_EQ(rig.file(3), text);
  EXPECT_EQ(rig.out.finish(), "[3]:par\0t\xff one\n[3]:windows\n[3]: 10%\n[3]: 20%\n[3]:last, without its end\n"s);
}

TEST(LogRouter, HoldsAPartialLineUntilItIsComplete) {
  LogRig rig;
  rig.out.start();
  const int slow = rig.tee(0);
  const int quick = rig.tee(1);
  write_all(slow, "begin");
  write_all(quick, "whole\n");
  EXPECT_TRUE(rig.run_until([&] { return rig.file(0) == "begin" && rig.file(1) == "whole\n"; }));
  write_all(slow, "ning\n");
  ::close(slow);
  ::close(quick);
  rig.end_well();
  EXPECT_EQ(rig.out.finish(), "[1]:whole\n[0]:beginning\n");
}

TEST(LogRouter, WorksWithoutAFile) {
  LogRig rig;
  rig.err.start();
  const int fd = rig.tee(0, Stream::kStderr, /*with_file=*/false);
  write_all(fd, "warning\n");
  ::close(fd);
  rig.end_well();
  EXPECT_EQ(rig.err.finish(), "[0]:warning\n");
  EXPECT_FALSE(std::filesystem::exists(rig.file_path(0, Stream::kStderr)));
}

TEST(LogRouter, KeepsTheOrderOfBothStreamsAndAnnouncementsOnOneConsole) {
  testing::Console both;
  both.start();
  LogRig rig([&](LogRouter::Options& options) {
    options.console_out = both.writing_end();
    options.console_err = both.writing_end();
  });
  const int out = rig.tee(0, Stream::kStdout);
  const int err = rig.tee(0, Stream::kStderr);
  std::string expected;
  for (int i = 0; i < 200; ++i) {
    const std::string line = std::to_string(i) + "\n";
    const Stream stream = i % 2 == 0 ? Stream::kStdout : Stream::kStderr;
    const uintmax_t before = std::filesystem::file_size(rig.file_path(0, stream));
    write_all(stream == Stream::kStdout ? out : err, line);
    // In the file, hence in the console's queue.
    ASSERT_TRUE(rig.run_until([&] { return std::filesystem::file_size(rig.file_path(0, stream)) > before; }));
    expected += "[0]:" + line;
  }
  ::close(out);
  ::close(err);
  rig.router->announce("ferrun: the end");
  rig.end_well();
  EXPECT_EQ(both.finish(), expected + "ferrun: the end\n");
}

TEST(LogRouter, KeepsAnnouncementsInAFileOfTheirOwn) {
  LogRig rig;
  rig.err.start();
  const std::string path = rig.directory.file("logs/ferrun.log");
  rig.router->keep_announcements(path, /*make_folder=*/true);
  EXPECT_FALSE(std::filesystem::exists(path));
  rig.router->announce("first");
  rig.router->announce("second");
  rig.end_well();
  EXPECT_EQ(testing::read_file(path), "first\nsecond\n");
  EXPECT_EQ(rig.err.finish(), "first\nsecond\n");
}

TEST(LogRouter, SplitsALineThatIsTooLongForTheConsole) {
  LogRig rig([](LogRouter::Options& options) { options.longest_line = 1000; });
  rig.out.start();
  const int fd = rig.tee(0);
  write_all(fd, std::string(2500, 'x') + "\n");
  ::close(fd);
  rig.end_well();
  const std::string full = "[0]:" + std::string(1000, 'x') + "\n";
  EXPECT_EQ(rig.out.finish(), full + full + "[0]:" + std::string(500, 'x') + "\n");
  EXPECT_EQ(rig.file(0), std::string(2500, 'x') + "\n");
}

TEST(LogRouter, KeepsTheTailOfATeedStreamForTheReport) {
  LogRig rig;
  rig.out.start();
  const int fd = rig.tee(0);
  std::string text;
  for (int i = 0; i < 5000; ++i) text += "line " + std::to_string(i) + "\n";
  std::thread writer([&] {
    write_all(fd, text + "the cause");
    ::close(fd);
  });
  EXPECT_TRUE(rig.drain());
  writer.join();
  const std::vector<std::string> tail = rig.router->tail(0, 0, Stream::kStdout);
  ASSERT_EQ(tail.size(), 30U);
  EXPECT_EQ(tail.back(), "the cause");
  EXPECT_EQ(tail.front(), "line 4971");
}

TEST(LogRouter, ForgetsOldAttemptsButNotTheirFiles) {
  LogRig rig;
  rig.out.start();
  for (int attempt = 0; attempt < 4; ++attempt) {
    const int fd = rig.tee(0, Stream::kStdout, true, attempt);
    write_all(fd, "attempt " + std::to_string(attempt) + "\n");
    ::close(fd);
    EXPECT_TRUE(rig.drain(testing::kHangLimit, attempt));
  }
  EXPECT_THAT(rig.router->tail(0, 0, Stream::kStdout), IsEmpty());
  EXPECT_THAT(rig.router->tail(2, 0, Stream::kStdout), ElementsAre("attempt 2"));
  EXPECT_THAT(rig.router->tail(3, 0, Stream::kStdout), ElementsAre("attempt 3"));
  rig.router->close(testing::kHangLimit);
  for (int attempt = 0; attempt < 4; ++attempt) {
    EXPECT_EQ(testing::read_file(rig.file_path(0, Stream::kStdout, attempt)),
              "attempt " + std::to_string(attempt) + "\n");
  }
}

TEST(LogRouter, DrainsAtOnceWhenThereIsNothingToDrain) {
  LogRig rig;
  EXPECT_TRUE(rig.drain(testing::kHangLimit, 7));
}

TEST(LogRouter, StopsDrainingAtTheDeadlineWhenAGrandchildKeepsThePipe) {
  LogRig rig;
  rig.out.start();
  const int fd = rig.tee(0);
  write_all(fd, "written before the end\npartial");
  const TimePoint begin = monotonic_now();
  bool drained = false;
  rig.router->drain(0, begin + 50ms, [&] { drained = true; });
  EXPECT_TRUE(rig.run_until([&] { return drained; }));
  EXPECT_GE(monotonic_now() - begin, 50ms);
  rig.router->close(testing::kHangLimit);
  ::close(fd);
  EXPECT_EQ(rig.file(0), "written before the end\npartial");
  EXPECT_EQ(rig.out.finish(), "[0]:written before the end\n[0]:partial\n");
}

TEST(LogRouter, StopsDrainingAtTheDeadlineWhenAGrandchildFloods) {
  LogRig rig;
  rig.out.start();
  const int fd = rig.tee(0, Stream::kStdout, /*with_file=*/false);
  // Its own SIGPIPE ends a real grandchild when the router has closed the pipe; this one sees the error.
  std::thread flood([fd] {
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
    const std::string line(99, 'x');
    while (::write(fd, (line + "\n").data(), 100) == 100) {
    }
  });
  EXPECT_FALSE(rig.drain(100ms));
  flood.join();
  ::close(fd);
  rig.router->close(testing::kHangLimit);
  EXPECT_THAT(rig.out.finish(), EndsWith("x\n"));
}

// Lines "writer number payload", written in random pieces.
std::string flood_text(int writer, int lines, std::mt19937& random) {
  std::string text;
  for (int i = 0; i < lines; ++i) {
    text += std::to_string(writer) + " " + std::to_string(i) + " " +
            std::string(random() % 300, static_cast<char>('a' + writer)) + "\n";
  }
  return text;
}

void write_in_pieces(int fd, std::string_view text, unsigned seed) {
  std::mt19937 random(seed);
  while (!text.empty()) {
    const std::string_view piece = text.substr(0, 1 + random() % (random() % 10 == 0 ? 200'000 : 400));
    write_all(fd, piece);
    text.remove_prefix(piece.size());
  }
  ::close(fd);
}

TEST(LogRouter, LosesSplitsAndMixesUpNoLineOfEightWriters) {
  constexpr int kWriters = 8;
  for (unsigned seed = 0; seed < 3; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    LogRig rig;
    rig.out.start();
    rig.err.start();
    std::mt19937 random(seed);
    std::vector<std::string> texts;
    std::vector<std::thread> writers;
    for (int i = 0; i < kWriters; ++i) texts.push_back(flood_text(i, 5000, random));
    for (int i = 0; i < kWriters; ++i) {
      const int fd = rig.tee(i, i % 2 == 0 ? Stream::kStdout : Stream::kStderr);
      writers.emplace_back(write_in_pieces, fd, std::string_view(texts[i]), seed * 100 + i);
    }
    rig.end_well();
    for (std::thread& writer : writers) writer.join();
    std::map<std::string, std::string> seen;
    for (const std::string& console : {rig.out.finish(), rig.err.finish()}) {
      for (const std::string& line : testing::lines_of(console)) {
        const size_t end = line.find(':') + 1;
        seen[line.substr(0, end)] += line.substr(end) + "\n";
      }
    }
    ASSERT_EQ(seen.size(), static_cast<size_t>(kWriters));
    for (int i = 0; i < kWriters; ++i) {
      EXPECT_TRUE(seen["[" + std::to_string(i) + "]:"] == texts[i]) << "writer " << i << " on the console";
      EXPECT_TRUE(rig.file(i, i % 2 == 0 ? Stream::kStdout : Stream::kStderr) == texts[i])
          << "writer " << i << " in its file";
    }
  }
}

// --- Lines that have not ended. ---

TEST(LogRouter, ShowsAPromptBeforeItsLineHasEnded) {
  LogRig rig;
  rig.out.start();
  const int fd = rig.tee(0);
  write_all(fd, "first\nname? ");
  ASSERT_TRUE(rig.run_until([&] { return rig.out.has_shown("[0]:first\n[0]:name? "); }));
  write_all(fd, "again? ");
  ASSERT_TRUE(rig.run_until([&] { return rig.out.has_shown("[0]:name? again? "); }));
  write_all(fd, "yes\nlast\n");
  ::close(fd);
  rig.end_well();
  EXPECT_EQ(rig.out.finish(), "[0]:first\n[0]:name? again? yes\n[0]:last\n");
  EXPECT_EQ(rig.file(0), "first\nname? again? yes\nlast\n");
}

TEST(LogRouter, NeverMixesALineWithTheUnfinishedOneOfAnother) {
  LogRig rig;
  rig.out.start();
  const int first = rig.tee(0);
  const int second = rig.tee(1);
  write_all(first, "name? ");
  ASSERT_TRUE(rig.run_until([&] { return rig.out.has_shown("[0]:name? "); }));
  write_all(second, "done\nbusy");
  ASSERT_TRUE(rig.run_until([&] { return rig.out.has_shown("[1]:busy"); }));
  write_all(first, "yes\n");
  ASSERT_TRUE(rig.run_until([&] { return rig.out.has_shown("yes\n"); }));
  write_all(second, "\n");
  ::close(first);
  ::close(second);
  rig.end_well();
  EXPECT_EQ(rig.out.finish(), "[0]:name? \n[1]:done\n[1]:busy\n[0]:yes\n");
}

TEST(LogRouter, EndsAnUnfinishedLineBeforeItSpeaksItself) {
  LogRig rig;
  rig.err.start();
  const int fd = rig.tee(0, Stream::kStderr);
  write_all(fd, "(Pdb) ");
  ASSERT_TRUE(rig.run_until([&] { return rig.err.has_shown("[0]:(Pdb) "); }));
  rig.router->announce("ferrun: something");
  ::close(fd);
  rig.end_well();
  EXPECT_EQ(rig.err.finish(), "[0]:(Pdb) \nferrun: something\n");
}

TEST(LogRouter, ShowsAPromptOnATerminal) {
  int terminal = -1;
  int shown = -1;
  ASSERT_EQ(::openpty(&terminal, &shown, nullptr, nullptr, nullptr), 0);
  LogRig rig([shown](LogRouter::Options& options) { options.console_out = shown; });
  const int fd = rig.tee(0);
  write_all(fd, "name? ");
  ::fcntl(terminal, F_SETFL, O_NONBLOCK);
  std::string text;
  ASSERT_TRUE(rig.run_until([&] {
    char bytes[256];
    const ssize_t count = ::read(terminal, bytes, sizeof bytes);
    if (count > 0) text.append(bytes, static_cast<size_t>(count));
    return text == "[0]:name? ";
  })) << text;
  ::close(fd);
  rig.end_well();
  ::close(shown);
  ::close(terminal);
}

// --- Rotation. ---

TEST(LogRouter, ExchangesFilesAtTheirSizeBetweenLines) {
  LogRig rig([](LogRouter::Options& options) { options.rotation = {4096, 2}; });
  rig.out.start();
  const int fd = rig.tee(0);
  std::string text;
  for (int i = 0; text.size() < 20'000; ++i) text += "line " + std::to_string(i) + "\n";
  std::thread worker([&] {
    write_all(fd, text);
    ::close(fd);
  });
  rig.end_well();
  worker.join();
  const std::string path = rig.file_path(0);
  const std::string kept = read_file(path + ".2") + read_file(path + ".1") + read_file(path);
  EXPECT_THAT(text, EndsWith(kept)) << "the newest, without a gap";
  EXPECT_THAT(kept, ::testing::StartsWith("line ")) << "a file begins with a line";
  for (const char* number : {"", ".1", ".2"}) EXPECT_LE(read_file(path + number).size(), 4096u);
  EXPECT_GT(read_file(path + ".1").size(), 4000u);
  EXPECT_NE(::access((path + ".3").c_str(), F_OK), 0);
  EXPECT_EQ(lines_of(rig.out.finish()).size(), lines_of(text).size()) << "the console has all";
}

}  // namespace
}  // namespace ferrun
