// The layers as a test: what a folder may include and call. Reads the sources themselves.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <regex>
#include <string>
#include <vector>

namespace ferrun {
namespace {

namespace fs = std::filesystem;

const fs::path kRoot = FERRUN_SOURCE_DIR;

struct Line {
  fs::path file;  // relative to the project
  int number = 0;
  std::string text;  // without its comment
};

std::ostream& operator<<(std::ostream& out, const Line& line) {
  return out << line.file.string() << ":" << line.number << ": " << line.text;
}

bool is_source(const fs::path& path) { return path.extension() == ".cc" || path.extension() == ".h"; }

bool in_io_folder(const fs::path& path) {
  return std::ranges::any_of(path, [](const fs::path& part) { return part == "io"; });
}

// The lines of every source below `folder` that `wanted` keeps.
std::vector<Line> lines_below(const std::string& folder, const std::function<bool(const fs::path&)>& wanted) {
  std::vector<Line> lines;
  for (const auto& entry : fs::recursive_directory_iterator(kRoot / folder)) {
    const fs::path file = fs::relative(entry.path(), kRoot);
    if (!is_source(file) || !wanted(file)) continue;
    std::ifstream in(entry.path());
    int number = 0;
    for (std::string text; std::getline(in, text);) lines.push_back({file, ++number, text.substr(0, text.find("//"))});
  }
  return lines;
}

std::vector<Line> pure_lines() {
  std::vector<Line> lines;
  for (const char* folder : {"common", "rendezvous", "launcher"}) {
    const auto pure = [](const fs::path& file) { return !in_io_folder(file) && file != "launcher/main.cc"; };
    const std::vector<Line> more = lines_below(folder, pure);
    lines.insert(lines.end(), more.begin(), more.end());
  }
  return lines;
}

std::vector<Line> matching(const std::vector<Line>& lines, const std::string& pattern) {
  const std::regex expression(pattern);
  std::vector<Line> found;
  std::ranges::copy_if(lines, std::back_inserter(found),
                       [&expression](const Line& line) { return std::regex_search(line.text, expression); });
  return found;
}

TEST(Layers, PureCodeIncludesNoAdapter) {
  const std::vector<Line> lines = pure_lines();
  ASSERT_GT(lines.size(), 3000u) << "the sources are not where this test looks";
  EXPECT_THAT(
      matching(lines,
               R"(#include <(boost/|spdlog/|thread>|mutex>|condition_variable>|atomic>|unistd\.h|fcntl\.h|poll\.h))"),
      ::testing::IsEmpty());
  EXPECT_THAT(matching(lines, R"(#include <(fstream|iostream|future|dirent\.h|signal\.h|sched\.h|netdb\.h)>?)"),
              ::testing::IsEmpty());
  EXPECT_THAT(matching(lines, R"(#include <sys/(?!types\.h))"), ::testing::IsEmpty());
  EXPECT_THAT(matching(lines, R"(#include "[^"]*/io/)"), ::testing::IsEmpty());
}

// clang 14 does not compile the views of libstdc++ 12.
TEST(Compilers, WhatTheLauncherIsMadeOfHasNoViews) {
  for (const char* folder : {"common", "rendezvous", "launcher"}) {
    const std::vector<Line> lines = lines_below(folder, [](const fs::path&) { return true; });
    ASSERT_GT(lines.size(), 300u) << folder << " is not where this test looks";
    EXPECT_THAT(matching(lines, R"(#include <ranges>|\bviews::)"), ::testing::IsEmpty());
  }
}

// A path is a value; what asks the disk about it is not.
TEST(Layers, PureCodeAsksNoDisk) {
  const std::string operations =
      "exists|status|symlink_status|is_[a-z_]+|file_size|space|equivalent|last_write_time|create_[a-z_]+|remove|"
      "remove_all|rename|copy|copy_[a-z_]+|resize_file|permissions|read_symlink|hard_link_count|canonical|"
      "weakly_canonical|absolute|relative|proximate|current_path|temp_directory_path";
  const std::vector<Line> lines = pure_lines();
  EXPECT_THAT(matching(lines, R"((filesystem|\bfs)::()" + operations + R"()\()"), ::testing::IsEmpty());
  EXPECT_THAT(matching(lines, R"(directory_iterator|\b(fopen|freopen|tmpfile)\()"), ::testing::IsEmpty());
}

TEST(Layers, PureCodeTouchesNoProcessAndNoStream) {
  const std::vector<Line> lines = pure_lines();
  EXPECT_THAT(
      matching(
          lines,
          R"((^|std::|[^.>:\w]|[^\w]::)(raise|kill|killpg|fork|waitpid|waitid|sigaction|abort|exit|_exit|system|popen)\()"),
      ::testing::IsEmpty());
  EXPECT_THAT(matching(lines, R"(std::signal\(|\b(printf|fprintf|puts|fputs|fwrite)\(|std::c(out|err|log|in)\b)"),
              ::testing::IsEmpty());
}

TEST(Layers, PureCodeAsksNeitherClockNorEnvironment) {
  const std::vector<Line> lines = pure_lines();
  EXPECT_THAT(matching(lines, R"(::now\(|\bgetenv\(|\bsetenv\(|\benviron\b|\brand\(|random_device|\btime\()"),
              ::testing::IsEmpty());
}

TEST(Layers, ValuesGoDownThePage) {
  const auto everything = [](const fs::path&) { return true; };
  EXPECT_THAT(matching(lines_below("common", everything), R"(#include "(rendezvous|launcher|worker)/)"),
              ::testing::IsEmpty());
  EXPECT_THAT(matching(lines_below("rendezvous", everything), R"(#include "(launcher|worker)/)"), ::testing::IsEmpty());
  EXPECT_THAT(matching(lines_below("launcher", everything), R"(#include "worker/)"), ::testing::IsEmpty());
  EXPECT_THAT(matching(lines_below("worker", everything), R"(#include "(launcher|rendezvous)/)"), ::testing::IsEmpty());
}

TEST(Layers, TheLauncherKnowsNoTorch) {
  const auto everything = [](const fs::path&) { return true; };
  for (const char* folder : {"common", "rendezvous", "launcher"}) {
    EXPECT_THAT(matching(lines_below(folder, everything), R"(#include <(torch|ATen|c10)/)"), ::testing::IsEmpty());
  }
  std::ifstream in(kRoot / "launcher/CMakeLists.txt");
  for (std::string line; std::getline(in, line);) EXPECT_EQ(line.find("torch"), std::string::npos) << line;
}

TEST(Layers, WhatARunShowsNeedsNoTorch) {
  const auto everything = [](const fs::path&) { return true; };
  for (const char* folder : {"worker/data", "worker/report"}) {
    EXPECT_THAT(
        matching(lines_below(folder, everything), R"(#include (<(torch|ATen|c10)/|"worker/(train|ddp|model)/))"),
        ::testing::IsEmpty());
  }
}

TEST(Layers, TheClientLibraryNeedsNeitherTorchNorBoost) {
  const auto everything = [](const fs::path&) { return true; };
  EXPECT_THAT(matching(lines_below("worker/client", everything), R"(#include <(torch|ATen|c10|boost)/)"),
              ::testing::IsEmpty());
}

TEST(Style, FilesAndLinesStayReadable) {
  const auto everything = [](const fs::path&) { return true; };
  for (const char* folder : {"common", "rendezvous", "launcher", "worker"}) {
    for (const Line& line : lines_below(folder, everything)) {
      EXPECT_LT(line.number, 500) << line.file << " is too long";
      EXPECT_EQ(line.text.find('\t'), std::string::npos) << line;
    }
  }
}

}  // namespace
}  // namespace ferrun
