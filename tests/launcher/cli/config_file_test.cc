#include "launcher/cli/config_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace ferrun {
namespace {

using ::testing::ElementsAre;

// With a file of this text at job.json.
Result<CommandLine> parse_file(const std::string& text,
                               const std::vector<std::string>& words = {"--config=job.json", "x"},
                               const std::map<std::string, std::string>& variables = {}) {
  Environment environment;
  for (const auto& [name, value] : variables) environment.set(name, value);
  return parse_with_config_file(words, environment, Verb::kRun, [&text](const std::string& path) {
    if (path == "job.json") return Result<std::string>(text);
    return Result<std::string>(Error{ErrorKind::kUser, "No such file or directory"});
  });
}

std::string file_refusal(const std::string& text, const std::vector<std::string>& words = {"--config=job.json", "x"}) {
  const Result<CommandLine> line = parse_file(text, words);
  if (line) return "accepted";
  EXPECT_EQ(line.error().kind, ErrorKind::kUsage);
  return line.error().message;
}

TEST(ConfigFile, StandsBelowTheCommandLineAndAboveTheVariables) {
  const auto line =
      parse_file(R"({"nproc-per-node": 4, "max_restarts": "3", "role": "trainer", "shutdown-timeout": 5})",
                 {"--role=reader", "--config", "job.json", "train.py", "--config=mine"},
                 {{"PET_MAX_RESTARTS", "7"}, {"PET_TEE", "3"}});
  ASSERT_TRUE(line) << line.error().message;
  const auto text = [&line](const char* name) { return line->options.value(name).text; };
  EXPECT_EQ(text("nproc-per-node"), "4");
  EXPECT_EQ(text("max-restarts"), "3");
  EXPECT_EQ(text("role"), "reader");
  EXPECT_EQ(text("tee"), "3");
  EXPECT_EQ(line->options.value("max-restarts").origin, "job.json: max_restarts");
  EXPECT_THAT(line->program, ElementsAre("train.py", "--config=mine"));
}

TEST(ConfigFile, ASwitchIsTrueOrFalse) {
  const auto line =
      parse_file(R"({"standalone": true, "module": false})", {"--config=job.json", "x"}, {{"PET_MODULE", "1"}});
  EXPECT_TRUE(line->options.on("standalone"));
  EXPECT_FALSE(line->options.on("module"));
  EXPECT_EQ(file_refusal(R"({"standalone": 1})"), "job.json: standalone: expected true or false");
}

TEST(ConfigFile, RefusesWhatItCannotTake) {
  EXPECT_EQ(file_refusal("{"), "job.json: it is no JSON");
  EXPECT_EQ(file_refusal("[1]"), R"(job.json: expected one object, as {"nproc-per-node": 2})");
  EXPECT_EQ(file_refusal(R"({"max-restart": 1})"),
            "job.json: 'max-restart' is no option for a file; did you mean max-restarts?");
  EXPECT_EQ(file_refusal(R"({"help": true})"), "job.json: 'help' is no option for a file");
  EXPECT_EQ(file_refusal(R"({"config": "other.json"})"), "job.json: 'config' is no option for a file");
  EXPECT_EQ(file_refusal(R"({"role": ["a"]})"), "job.json: role: expected a string or a number");
  EXPECT_EQ(file_refusal(R"({"logs-specs": "mine"})").find("job.json: logs-specs=mine: "), 0u);
  EXPECT_EQ(file_refusal("{}", {"--config=none.json", "x"}), "--config=none.json: No such file or directory");
}

TEST(ConfigFile, WithoutOneNothingIsRead) { EXPECT_TRUE(parse_file("{", {"x", "--config=job.json"})); }

}  // namespace
}  // namespace ferrun
