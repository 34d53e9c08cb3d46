#include "launcher/cli/parse.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "launcher/cli/flag_table.h"

namespace ferrun {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Environment environment(const std::map<std::string, std::string>& variables) {
  Environment result;
  for (const auto& [name, value] : variables) result.set(name, value);
  return result;
}

Result<CommandLine> parse(const std::vector<std::string>& words,
                          const std::map<std::string, std::string>& variables = {}) {
  return parse_command_line(words, environment(variables));
}

std::string refusal(const std::vector<std::string>& words, const std::map<std::string, std::string>& variables = {}) {
  const Result<CommandLine> line = parse(words, variables);
  if (line) return "accepted";
  EXPECT_EQ(line.error().kind, ErrorKind::kUsage);
  return line.error().message;
}

TEST(Parse, TheLastOccurrenceWins) {
  const auto line = parse({"--max-restarts=1", "--max_restarts", "2", "--max-restart=3", "x"});
  ASSERT_TRUE(line);
  EXPECT_EQ(line->options.value("max-restarts").text, "3");
}

TEST(Parse, TheCommandLineWinsOverTheVariableAndThatOverTheDefault) {
  const std::map<std::string, std::string> variables = {{"PET_MAX_RESTARTS", "5"}, {"PET_ROLE", "trainer"}};
  const auto line = parse({"--max-restarts=1", "x"}, variables);
  ASSERT_TRUE(line);
  EXPECT_EQ(line->options.value("max-restarts").text, "1");
  EXPECT_EQ(line->options.value("max-restarts").origin, "--max-restarts");
  EXPECT_EQ(line->options.value("role").text, "trainer");
  EXPECT_EQ(line->options.value("role").origin, "PET_ROLE");
  EXPECT_EQ(line->options.value("nproc-per-node").text, "1");
}

TEST(Parse, EveryOptionThatHasAVariableReadsIt) {
  for (const Flag& flag : flag_table()) {
    if (!flag.reads_pet || !flag.refusal.empty()) continue;
    const bool is_switch = flag.kind == FlagKind::kSwitch;
    const auto line = parse({"x"}, {{pet_variable(flag), is_switch ? "1" : "some value"}});
    ASSERT_TRUE(line) << flag.name;
    EXPECT_EQ(line->options.value(flag.name).text, is_switch ? "1" : "some value") << flag.name;
  }
}

TEST(Parse, ASwitchVariableIsANumberOrAWordOrEmpty) {
  for (const char* on : {"1", "2", "-1", "true", "True", "yes", "on", ""}) {
    EXPECT_TRUE(parse({"x"}, {{"PET_STANDALONE", on}})->options.on("standalone")) << on;
  }
  for (const char* off : {"0", "00", "false", "no", "off"}) {
    EXPECT_FALSE(parse({"x"}, {{"PET_STANDALONE", off}})->options.on("standalone")) << off;
  }
  EXPECT_EQ(refusal({"x"}, {{"PET_STANDALONE", "maybe"}}), "PET_STANDALONE=maybe: expected 1 (on) or 0 (off)");
  EXPECT_THAT(refusal({"x"}, {{"PET_STANDALONE", "-"}}), HasSubstr("expected 1"));
}

TEST(Parse, ASwitchOnTheCommandLineIsOnWhateverTheVariableSays) {
  EXPECT_TRUE(parse({"--standalone", "x"}, {{"PET_STANDALONE", "0"}})->options.on("standalone"));
}

TEST(Parse, ValuesThatLookLikeSomethingElseArriveWhole) {
  EXPECT_EQ(parse({"--master-addr=[::1]", "x"})->options.value("master-addr").text, "[::1]");
  EXPECT_EQ(parse({"--rdzv-id=a,b", "x"})->options.value("rdzv-id").text, "a,b");
  EXPECT_EQ(parse({"--rdzv-id=--x", "x"})->options.value("rdzv-id").text, "--x");
  EXPECT_EQ(parse({"--rdzv-id=", "x"})->options.value("rdzv-id").text, "");
  EXPECT_EQ(parse({"--role=%two words%", "x"})->options.value("role").text, "%two words%");
  EXPECT_EQ(parse({"--max-restarts", "-1", "x"})->options.value("max-restarts").text, "-1");
}

TEST(Parse, RefusesWhatTorchrunHasAndFerrunHasNot) {
  EXPECT_THAT(refusal({"--logs-specs=mine", "x"}),
              HasSubstr("--logs-specs=mine: it names a Python class, which ferrun cannot load; --log-dir"));
  EXPECT_TRUE(parse({"--logs-specs=default", "x"}));
}

TEST(Parse, KeepsTheProgramAndItsArguments) {
  EXPECT_THAT(parse({"-m", "pkg.train", "--lr", "1"})->program, ElementsAre("pkg.train", "--lr", "1"));
}

TEST(Verb, IsAWordOnlyAsTheVeryFirstArgument) {
  const auto verb = [](const std::vector<std::string>& words) { return verb_of(words); };
  EXPECT_EQ(verb({"status"}), Verb::kStatus);
  EXPECT_EQ(verb({"doctor", "--json"}), Verb::kDoctor);

  EXPECT_EQ(verb({"coordinator"}), Verb::kCoordinator);
  EXPECT_EQ(verb({"launch", "--use-env", "x"}), Verb::kLaunch);
  EXPECT_EQ(verb({"--", "status"}), Verb::kRun);
  EXPECT_EQ(verb({"./status"}), Verb::kRun);
  EXPECT_EQ(verb({"--nproc-per-node=2", "status"}), Verb::kRun);
  EXPECT_EQ(verb({}), Verb::kRun);
}

TEST(Verb, TakesItsOwnOptionsAndNoProgram) {
  const auto parse_status = [](const std::vector<std::string>& words) {
    return parse_command_line(words, {}, Verb::kStatus);
  };
  ASSERT_TRUE(parse_status({"--job=run7", "--json"}));
  EXPECT_EQ(parse_status({"--job=run7"})->options.given("job")->text, "run7");
  EXPECT_TRUE(parse_status({"--json"})->options.on("json"));
  EXPECT_EQ(parse_status({"--nnodes=2"}).error().message, "unknown option --nnodes");
  EXPECT_EQ(parse_status({"x"}).error().message,
            "ferrun status takes no 'x'; for a program of that name write ferrun -- status");
  EXPECT_EQ(refusal({"--job=run7", "x"}), "unknown option --job") << "it is the verb's";
}

TEST(Verb, ReadsTheVariablesOfItsOptionsAlone) {
  const auto line =
      parse_command_line({}, environment({{"PET_RDZV_ENDPOINT", "node0"}, {"PET_NNODES", "2:4"}}), Verb::kDoctor);
  ASSERT_TRUE(line);
  EXPECT_EQ(line->options.value("rdzv-endpoint").text, "node0");
  EXPECT_EQ(line->options.given("nnodes"), nullptr);
}

}  // namespace
}  // namespace ferrun
