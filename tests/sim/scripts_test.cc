// The stories in scripts/ go as they are written down. A rewritten one (ferrun_sim --script FILE --rewrite) is
// committed only by who understands why it has changed.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/sim/script.h"

namespace ferrun::sim {
namespace {

std::vector<std::filesystem::path> scripts() {
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::directory_iterator(FERRUN_SOURCE_DIR "/tests/sim/scripts")) {
    if (entry.path().extension() == ".txt") found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

class Scripts : public ::testing::TestWithParam<std::filesystem::path> {};

TEST_P(Scripts, GoAsWritten) {
  std::ifstream file(GetParam());
  std::stringstream text;
  text << file.rdbuf();
  const Result<ScriptResult> result = run_script(text.str());
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ(result->difference, "") << "in " << GetParam();
}

INSTANTIATE_TEST_SUITE_P(All, Scripts, ::testing::ValuesIn(scripts()),
                         [](const auto& test) { return test.param.stem().string(); });

TEST(Script, SaysWhichLineItDoesNotUnderstand) {
  const auto message = [](const char* text) {
    const Result<ScriptResult> result = run_script(text);
    return result.ok() ? std::string("understood") : result.error().message;
  };
  EXPECT_EQ(message("start node0\n"), "line 1: the first command is job");
  EXPECT_EQ(message("# a comment\njob nodes=2\nexplode node0\n"), "line 3: explode is no command");
  EXPECT_EQ(message("job nodes=2 hats=3\n"), "line 1: job knows no hats=3");
  EXPECT_EQ(message("job nodes=2\nstart node7\n"), "line 2: start does not know node7");
  EXPECT_EQ(message("job nodes=2\nrun far\n"), "line 2: far is no time");
}

TEST(Script, ShowsWhatIsExpectedAndWhatReallyFollows) {
  const Result<ScriptResult> result = run_script("job nodes=1\nstart all\n----\nnothing\n");
  ASSERT_TRUE(result.ok());
  EXPECT_NE(result->difference.find("expected:\nnothing\nand got:\n    0.000 node0       ferrun starts\n"),
            std::string::npos)
      << result->difference;
  const Result<ScriptResult> again = run_script(result->text);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->difference, "") << "the rewritten one goes as written";
}

}  // namespace
}  // namespace ferrun::sim
