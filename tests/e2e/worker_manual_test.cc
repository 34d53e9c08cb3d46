// man/worker.1 and the worker's --help have to name the same options, command by command.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>

#include "worker/train/command_line.h"

namespace ferrun::train {
namespace {

std::set<std::string> options_in(const std::string& text) {
  static const std::regex option("--[a-z][a-z-]*");
  return {std::sregex_token_iterator(text.begin(), text.end(), option), std::sregex_token_iterator()};
}

std::string content(const std::string& path) {
  std::ifstream file(FERRUN_SOURCE_DIR "/" + path);
  EXPECT_TRUE(file.is_open()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

// The page without roff's escapes and font requests.
std::string page() {
  const std::string text = content("man/worker.1");
  return std::regex_replace(std::regex_replace(text, std::regex(R"(\\-)"), "-"), std::regex(R"(\\f.)"), "");
}

// From one heading to another.
std::string part(const std::string& text, const std::string& from, const std::string& to) {
  const size_t begin = text.find(from);
  const size_t end = text.find(to, begin);
  EXPECT_NE(begin, std::string::npos) << from;
  EXPECT_NE(end, std::string::npos) << to;
  return text.substr(begin, end - begin);
}

std::set<std::string> options_of(const std::vector<std::string>& command) {
  std::vector<std::string> arguments = command;
  arguments.push_back("--help");
  const Result<Command> parsed = parse_command_line(arguments);
  EXPECT_TRUE(parsed.ok());
  std::set<std::string> options = options_in(std::get<Answer>(*parsed).text);
  options.erase("--help");
  return options;
}

void expect_all_in(const std::set<std::string>& options, const std::string& text, const std::string& where) {
  const std::set<std::string> named = options_in(text);
  for (const std::string& option : options) EXPECT_TRUE(named.contains(option)) << where << " lacks " << option;
}

TEST(WorkerManual, DescribesEveryOptionOfTraining) {
  expect_all_in(options_of({}), part(page(), ".SH OPTIONS", ".SS worker predict"), "OPTIONS");
}

TEST(WorkerManual, DescribesEveryOptionOfTheOtherCommands) {
  const std::string text = page();
  expect_all_in(options_of({"predict"}), part(text, ".SS worker predict", ".SS worker eval"), "worker predict");
  // eval refers to the groups above for what it shares with training.
  expect_all_in(options_of({"eval"}), part(text, ".SS Data", ".SS worker make-data"), "worker eval");
  expect_all_in(options_of({"export"}), part(text, ".SS worker export", ".SS worker make-data"), "worker export");
  expect_all_in(options_of({"make-data"}), part(text, ".SS worker make-data", ".SS worker report"), "worker make-data");
  expect_all_in(options_of({"report"}), part(text, ".SS worker report", ".SH RESTARTS"), "worker report");
}

TEST(WorkerManual, DescribesNoOptionThatIsNotThere) {
  std::set<std::string> known{"--help"};
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{}, {"predict"}, {"eval"}, {"export"}, {"make-data"}, {"report"}}) {
    known.merge(options_of(command));
  }
  for (const std::string& option : options_in(part(page(), ".SH OPTIONS", ".SH SEE ALSO"))) {
    EXPECT_TRUE(known.contains(option)) << "man/worker.1 describes " << option << ", which worker does not know";
  }
}

// docs/from-pytorch.md names headers and tests: each is there.
TEST(FromPyTorch, NamesHeadersAndTestsThatExist) {
  const std::string text = content("docs/from-pytorch.md");
  std::set<std::string> files;
  const std::regex path("`((worker|examples|tests)/[a-z0-9_/]+[.](h|cc))`"), parity("`([a-z]+(_[a-z]+)*_test)`");
  for (std::sregex_iterator at(text.begin(), text.end(), path), end; at != end; ++at) files.insert((*at)[1]);
  EXPECT_GT(files.size(), 20u);
  for (std::sregex_iterator at(text.begin(), text.end(), parity), end; at != end; ++at) {
    files.insert("tests/parity/" + (*at)[1].str() + ".cc");
  }
  EXPECT_GT(files.size(), 30u);
  for (const std::string& file : files) {
    EXPECT_TRUE(std::filesystem::exists(FERRUN_SOURCE_DIR "/" + file)) << file << " is not there";
  }
}

}  // namespace
}  // namespace ferrun::train
