#include "launcher/config/python_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/launcher/config/host_fixture.h"

namespace ferrun {
namespace {

using ::testing::HasSubstr;

class PythonChoiceTest : public ::testing::Test {
 protected:
  std::string python() {
    const Result<PythonChoice> choice = choose_python(host_.facts());
    if (!choice) return choice.error().message;
    why_ = choice->why;
    return choice->path;
  }
  void venv(const std::string& folder) { host_.file(folder + "/pyvenv.cfg").program(folder + "/bin/python"); }
  void conda(const std::string& folder) { host_.directory(folder + "/conda-meta").program(folder + "/bin/python"); }

  FakeHost host_;
  std::string why_;
};

TEST_F(PythonChoiceTest, IsTheFirstOneInPathWhereNothingElseIsSaid) {
  EXPECT_EQ(python(), "/usr/bin/python3");
  EXPECT_THAT(why_, HasSubstr("PATH"));
}

TEST_F(PythonChoiceTest, IsThatOfTheActivatedEnvironment) {
  conda("/conda");
  host_.variable("CONDA_PREFIX", "/conda");
  EXPECT_EQ(python(), "/conda/bin/python");
  venv("/venv");
  host_.variable("VIRTUAL_ENV", "/venv");
  EXPECT_EQ(python(), "/venv/bin/python");
  EXPECT_EQ(why_, "VIRTUAL_ENV names its environment");
}

TEST_F(PythonChoiceTest, PassesOverAVariableWhoseEnvironmentIsGone) {
  host_.variable("VIRTUAL_ENV", "/gone").variable("CONDA_PREFIX", "/gone as well");
  EXPECT_EQ(python(), "/usr/bin/python3");
}

// As after an upgrade of the distribution's Python: what runs instead has none of the environment's packages.
TEST_F(PythonChoiceTest, SaysThatAnEnvironmentHasLostItsPython) {
  const auto warning = [this] { return choose_python(host_.facts())->warning; };
  EXPECT_EQ(warning(), "");
  host_.variable("VIRTUAL_ENV", "/gone");
  EXPECT_EQ(warning(), "VIRTUAL_ENV=/gone has no Python that can be run: using /usr/bin/python3");
  host_.file("/venv/pyvenv.cfg").called_as("/venv/bin/ferrun");
  EXPECT_EQ(warning(),
            "the environment that ferrun was called from, /venv, has no Python that can be run: using "
            "/usr/bin/python3");
  host_.variable("PYTHON_EXEC", "/usr/bin/python3");
  EXPECT_EQ(warning(), "");
}

TEST_F(PythonChoiceTest, IsThatOfTheEnvironmentThatFerrunWasCalledFromBeforeAStaleVariable) {
  venv("/old");
  venv("/image/venv");
  host_.variable("VIRTUAL_ENV", "/old").called_as("/image/venv/bin/torchrun");
  EXPECT_EQ(python(), "/image/venv/bin/python");
  EXPECT_EQ(why_, "ferrun was called from its environment");
}

TEST_F(PythonChoiceTest, FindsTheEnvironmentOfACondaFolder) {
  conda("/opt/conda");
  host_.called_as("/opt/conda/bin/ferrun");
  EXPECT_EQ(python(), "/opt/conda/bin/python");
}

TEST_F(PythonChoiceTest, FindsTheEnvironmentByANameInPath) {
  venv("/opt");
  host_.program("/opt/bin/torchrun").called_as("torchrun");
  EXPECT_EQ(python(), "/opt/bin/python");
}

TEST_F(PythonChoiceTest, FindsTheEnvironmentByARelativePath) {
  venv("/home/user/venv");
  host_.called_as("venv/bin/ferrun");
  EXPECT_EQ(python(), "/home/user/venv/bin/python");
}

TEST_F(PythonChoiceTest, TakesTheFolderOfTheLinkBeforeThatOfItsTarget) {
  venv("/venv");
  venv("/store/tools");
  host_.called_as("/venv/bin/torchrun").link("/venv/bin/torchrun", "/store/tools/bin/ferrun");
  EXPECT_EQ(python(), "/venv/bin/python");
}

TEST_F(PythonChoiceTest, FollowsLinksFromAFolderThatIsNoEnvironment) {
  venv("/venv");
  host_.called_as("/usr/local/bin/torchrun").link("/usr/local/bin/torchrun", "../lib/torchrun");
  host_.link("/usr/local/bin/../lib/torchrun", "/venv/bin/torchrun");
  EXPECT_EQ(python(), "/venv/bin/python");
}

TEST_F(PythonChoiceTest, ALoopOfLinksEnds) {
  host_.called_as("/a/b").link("/a/b", "/a/b");
  EXPECT_EQ(python(), "/usr/bin/python3");
}

TEST_F(PythonChoiceTest, FallsBackToWhereTheBinaryLies) {
  venv("/opt/ferrun");
  host_.called_as("renamed");
  EXPECT_EQ(python(), "/opt/ferrun/bin/python");
}

TEST_F(PythonChoiceTest, PythonExecIsAboveAll) {
  venv("/venv");
  host_.called_as("/venv/bin/ferrun")
      .program("/opt/bin/pypy")
      .program("/conda/python")
      .file("/plain")
      .directory("/bin");
  const auto named = [this](const std::string& name) {
    host_.variable("PYTHON_EXEC", name);
    return python();
  };
  EXPECT_EQ(named("pypy"), "/opt/bin/pypy");
  EXPECT_EQ(named("/conda/python"), "/conda/python");
  EXPECT_EQ(why_, "PYTHON_EXEC names it");
  EXPECT_EQ(named("/nowhere/python"), "PYTHON_EXEC: /nowhere/python: no such program");
  EXPECT_EQ(named("nopython"), "PYTHON_EXEC=nopython: no such program in PATH");
  host_.unreachable("/closed/python");
  EXPECT_THAT(named("/closed/python"), HasSubstr("/closed/python cannot be reached"));
  EXPECT_EQ(named("/bin"), "PYTHON_EXEC: /bin is a directory, not a program");
  EXPECT_EQ(named("/plain"), "PYTHON_EXEC: /plain is not executable; allow it with: chmod +x /plain");
}

}  // namespace
}  // namespace ferrun
