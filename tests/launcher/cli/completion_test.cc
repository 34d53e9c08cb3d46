#include "launcher/cli/completion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <fstream>

#include "launcher/cli/flag_table.h"
#include "tests/temporary_directory.h"

namespace ferrun {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Completion, KnowsEveryOptionThatIsOfferedInEveryShell) {
  for (const char* shell : {"bash", "zsh", "fish", "tcsh"}) {
    const Result<std::string> script = completion_script(shell);
    ASSERT_TRUE(script);
    for (const Flag& flag : flag_table()) {
      if (flag.refusal.empty()) {
        EXPECT_THAT(*script, HasSubstr(std::string(flag.name))) << shell;
      } else {
        EXPECT_THAT(*script, Not(HasSubstr(std::string(flag.name)))) << shell;
      }
    }
  }
  EXPECT_EQ(completion_script("csh").error().message, "--print-completion=csh: expected bash, zsh, fish or tcsh");
}

TEST(Completion, ChoicesHoldTheDefault) {
  for (const Flag& flag : flag_table()) {
    const bool is_number = flag.fallback == "1";
    if (flag.choices.empty() || flag.fallback.empty() || is_number) continue;
    EXPECT_THAT(" " + std::string(flag.choices) + " ", HasSubstr(" " + std::string(flag.fallback) + " ")) << flag.name;
  }
}

// What bash offers for the last of `words`.
std::string offers(const std::string& words) {
  const testing::TemporaryDirectory folder;
  const std::string path = folder.file("completion.bash");
  std::ofstream(path) << *completion_script("bash");
  const std::string command = "cd " + folder.path().string() + " && bash -c '. ./completion.bash; COMP_WORDS=(" +
                              words +
                              "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _ferrun; echo \"${COMPREPLY[*]}\"' 2>&1";
  std::FILE* const pipe = ::popen(command.c_str(), "r");
  std::string text;
  std::array<char, 4096> buffer;
  for (size_t got = 0; (got = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) text.append(buffer.data(), got);
  EXPECT_EQ(::pclose(pipe), 0) << text;
  return text;
}

TEST(Completion, BashOffersNamesAndValues) {
  EXPECT_EQ(offers("ferrun --max-r"), "--max-restarts\n");
  EXPECT_EQ(offers("ferrun --start-method fork"), "fork forkserver\n");
  EXPECT_EQ(offers("ferrun --start-method = sp"), "spawn\n");
  EXPECT_EQ(offers("ferrun --start-method ="), "spawn fork forkserver\n");
  EXPECT_EQ(offers("ferrun --max-restarts \"\""), "\n");
  EXPECT_EQ(offers("ferrun --event-log compl"), "completion.bash\n");
  EXPECT_EQ(offers("ferrun ./compl"), "./completion.bash\n");
}

}  // namespace
}  // namespace ferrun
