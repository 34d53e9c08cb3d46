#include "launcher/cli/help.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "launcher/cli/flag_table.h"

namespace ferrun {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string read_file(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

constexpr std::array kVerbs = {Verb::kRun, Verb::kLaunch, Verb::kCoordinator, Verb::kStatus, Verb::kDoctor};

TEST(Help, IsAtMostAHundredColumnsWide) {
  for (const Verb verb : kVerbs) {
    std::istringstream text(help_text(verb));
    for (std::string line; std::getline(text, line);) {
      EXPECT_LE(line.size(), 100u) << line;
      EXPECT_TRUE(line.empty() || line.back() != ' ') << "'" << line << "'";
    }
  }
}

TEST(Help, OfAVerbShowsItsOptions) {
  EXPECT_THAT(help_text(Verb::kStatus), HasSubstr("usage: ferrun status [options]\n"));
  EXPECT_THAT(help_text(Verb::kStatus), HasSubstr("--job ID"));
  EXPECT_THAT(help_text(Verb::kStatus), Not(HasSubstr("--nnodes")));
  EXPECT_THAT(help_text(Verb::kCoordinator), HasSubstr("--state-file FILE"));
}

TEST(Help, ShowsEveryOptionThatIsOfferedAndNoOther) {
  const std::string text = help_text();
  for (const Flag& flag : flag_table()) {
    const std::string name = " --" + std::string(flag.name) + (flag.kind == FlagKind::kValue ? " " : "");
    if (flag.refusal.empty()) {
      EXPECT_THAT(text, HasSubstr(name));
      EXPECT_FALSE(flag.help.empty()) << flag.name;
    } else {
      EXPECT_THAT(text, Not(HasSubstr(name)));
    }
  }
}

TEST(FlagTable, HasNoNameTwice) {
  std::set<std::string> seen;
  for (const Flag& flag : flag_table()) {
    EXPECT_TRUE(seen.insert(std::string(flag.name)).second) << flag.name;
    if (flag.short_name != 0) {
      EXPECT_TRUE(seen.insert(std::string(1, flag.short_name)).second) << flag.short_name;
    }
    EXPECT_EQ(flag.kind == FlagKind::kSwitch, flag.value_name.empty()) << flag.name;
  }
}

TEST(FlagTable, NamesVariablesAsTorchrunDoes) {
  EXPECT_EQ(pet_variable(*find_flag("nproc-per-node")), "PET_NPROC_PER_NODE");
  EXPECT_EQ(pet_variable(*find_flag("module")), "PET_MODULE");
  EXPECT_EQ(find_flag("nproc_per-node"), find_flag("nproc-per-node"));
  EXPECT_EQ(find_flag("nproc"), nullptr);
}

TEST(PrintFlags, HasOneLineOfSixFieldsForEveryFlag) {
  std::istringstream text(flag_lines());
  size_t lines = 0;
  for (std::string line; std::getline(text, line); ++lines) {
    EXPECT_EQ(std::count(line.begin(), line.end(), '\t'), 5) << line;
  }
  EXPECT_EQ(lines, flag_table().size());
  EXPECT_THAT(flag_lines(), HasSubstr("redirects\tr\tvalue\tPET_REDIRECTS\t0\toffered\n"));
  EXPECT_THAT(flag_lines(), HasSubstr("dry-run\t-\tswitch\t-\t-\toffered\n"));
}

// In the page, a dash is written "\-".
std::string manual_page() {
  return std::regex_replace(read_file(FERRUN_SOURCE_DIR "/man/ferrun.1"), std::regex(R"(\\-)"), "-");
}

TEST(ManualPage, NamesEveryOption) {
  const std::string page = manual_page();
  ASSERT_FALSE(page.empty());
  for (const Verb verb : kVerbs) {
    for (const Flag* flag : flags_of(verb)) {
      const std::regex named("--" + std::string(flag->name) + "(?![a-z-])");
      EXPECT_TRUE(std::regex_search(page, named)) << "man/ferrun.1 does not name --" << flag->name;
    }
  }
}

bool is_known(const std::string& name) {
  return std::ranges::any_of(kVerbs, [&name](Verb verb) {
    return std::ranges::any_of(flags_of(verb), [&name](const Flag* flag) { return flag->name == name; });
  });
}

TEST(ManualPage, DocumentsNoOptionThatIsNotThere) {
  std::istringstream page(manual_page());
  const std::regex option("--([a-z][a-z-]*)");
  size_t entries = 0;
  std::string before;
  for (std::string line; std::getline(page, line); before = line) {
    std::smatch match;
    if (before != ".TP" || !std::regex_search(line, match, option)) continue;  // ".TP" begins an entry
    EXPECT_TRUE(is_known(match[1].str())) << "man/ferrun.1 documents " << match[0] << ", which ferrun does not know";
    ++entries;
  }
  EXPECT_GT(entries, 20u);
}

}  // namespace
}  // namespace ferrun
