#include "launcher/cli/argument_split.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <initializer_list>

#include "launcher/cli/nearest_name.h"

namespace ferrun {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Result<SplitArguments> split(std::initializer_list<std::string> words) {
  const std::vector<std::string> arguments(words);
  return split_arguments(arguments);
}

std::string split_refusal(std::initializer_list<std::string> words) {
  const Result<SplitArguments> result = split(words);
  if (result) return "accepted";
  EXPECT_EQ(result.error().kind, ErrorKind::kUsage);
  return result.error().message;
}

TEST(ArgumentSplit, EverythingBehindTheProgramIsTheProgramsOwn) {
  const auto result = split({"--nproc-per-node=2", "train.py", "--nproc-per-node=4", "--", "-r", "3", "$$"});
  ASSERT_TRUE(result);
  EXPECT_THAT(result->own, ElementsAre("--nproc-per-node=2"));
  EXPECT_THAT(result->program, ElementsAre("train.py", "--nproc-per-node=4", "--", "-r", "3", "$$"));
}

TEST(ArgumentSplit, TheValueOfAnOptionIsNotTheProgram) {
  const auto result = split({"--log-dir", "train.py", "--standalone", "run.py"});
  ASSERT_TRUE(result);
  EXPECT_THAT(result->own, ElementsAre("--log-dir=train.py", "--standalone"));
  EXPECT_THAT(result->program, ElementsAre("run.py"));
}

TEST(ArgumentSplit, DropsDoubleDashesBeforeTheProgramAsTorchrunAndItsPythonDo) {
  EXPECT_THAT(split({"--", "doctor"})->program, ElementsAre("doctor"));
  EXPECT_THAT(split({"--", "--odd-name"})->program, ElementsAre("--odd-name"));
  EXPECT_THAT(split({"--", "--", "x", "--"})->program, ElementsAre("x", "--"));
  EXPECT_THAT(split({"--", "--", "--", "x"})->program, ElementsAre("--", "x"));
}

TEST(ArgumentSplit, ReadsEverySpellingOfAValue) {
  EXPECT_THAT(split({"-r", "3", "x"})->own, ElementsAre("--redirects=3"));
  EXPECT_THAT(split({"-r3", "x"})->own, ElementsAre("--redirects=3"));
  EXPECT_THAT(split({"-r=3", "x"})->own, ElementsAre("--redirects=3"));
  EXPECT_THAT(split({"-r0:1,1:2", "x"})->own, ElementsAre("--redirects=0:1,1:2"));
  EXPECT_THAT(split({"--redirects", "3", "x"})->own, ElementsAre("--redirects=3"));
  EXPECT_THAT(split({"--nproc_per_node", "3", "x"})->own, ElementsAre("--nproc-per-node=3"));
  EXPECT_THAT(split({"--rdzv_conf=a=b,c=d", "x"})->own, ElementsAre("--rdzv-conf=a=b,c=d"));
}

TEST(ArgumentSplit, ReadsBundledShortOptions) {
  EXPECT_THAT(split({"-mt3", "pkg"})->own, ElementsAre("--module", "--tee=3"));
  EXPECT_THAT(split({"-mr", "1", "pkg"})->own, ElementsAre("--module", "--redirects=1"));
  EXPECT_THAT(split_refusal({"-mq", "pkg"}), HasSubstr("-q in -mq"));
}

TEST(ArgumentSplit, AnEmptyValueStaysAValue) {
  const auto result = split({"--rdzv-id=", "x"});
  ASSERT_TRUE(result);
  EXPECT_THAT(result->own, ElementsAre("--rdzv-id", ""));
  EXPECT_THAT(split({"--rdzv-id", "", "x"})->program, ElementsAre("x"));
}

TEST(ArgumentSplit, ExpandsUniquePrefixes) {
  EXPECT_THAT(split({"--nproc=2", "x"})->own, ElementsAre("--nproc-per-node=2"));
  EXPECT_THAT(split({"--nproc_p=2", "x"})->own, ElementsAre("--nproc-per-node=2"));
  EXPECT_THAT(split({"--redirect=3", "x"})->own, ElementsAre("--redirects=3"));
  EXPECT_THAT(split({"--standa", "x"})->own, ElementsAre("--standalone"));
  // The whole name of one option may be the beginning of another's.
  EXPECT_THAT(split({"--role", "a", "x"})->own, ElementsAre("--role=a"));
}

TEST(ArgumentSplit, NamesTheCandidatesOfAnAmbiguousPrefix) {
  EXPECT_EQ(split_refusal({"--master=1", "x"}),
            "--master is short for more than one option: --master-addr, --master-port");
}

TEST(ArgumentSplit, RefusesWhatItDoesNotKnow) {
  EXPECT_EQ(split_refusal({"--bogus", "x"}), "unknown option --bogus");
  EXPECT_EQ(split_refusal({"--bogus=3", "x.py"}), "unknown option --bogus");
  EXPECT_EQ(split_refusal({"-x", "y"}), "unknown option -x");
  EXPECT_EQ(split_refusal({"-5"}), "unknown option -5");
}

TEST(ArgumentSplit, NamesTheNearestOption) {
  EXPECT_EQ(split_refusal({"--maxrestarts=3", "x"}), "unknown option --maxrestarts; did you mean --max-restarts?");
  EXPECT_EQ(split_refusal({"--nproc_per_nodes=2", "x"}),
            "unknown option --nproc_per_nodes; did you mean --nproc-per-node?");
  EXPECT_EQ(split_refusal({"--standalnoe", "x"}), "unknown option --standalnoe; did you mean --standalone?");
  EXPECT_EQ(split_refusal({"--learning-rate=1", "x"}), "unknown option --learning-rate");
}

TEST(NearestName, CountsEdits) {
  const std::array<std::string_view, 3> names = {"tee", "role", "redirects"};
  EXPECT_EQ(nearest_name("tea", names), "tee");
  EXPECT_EQ(nearest_name("rloe", names), "role");
  EXPECT_EQ(nearest_name("redirected", names), "redirects");
  EXPECT_EQ(nearest_name("x", names), "");
  EXPECT_EQ(nearest_name("", names), "");
  EXPECT_EQ(nearest_name("tee", {}), "");
}

TEST(ArgumentSplit, RefusesMissingAndSurplusValues) {
  EXPECT_THAT(split_refusal({"--max-restarts"}), HasSubstr("--max-restarts needs a value"));
  EXPECT_THAT(split_refusal({"--max-restarts", "--standalone", "x"}), HasSubstr("--max-restarts needs a value"));
  EXPECT_THAT(split_refusal({"-r"}), HasSubstr("-r needs a value"));
  EXPECT_THAT(split_refusal({"--standalone=yes", "x"}), HasSubstr("--standalone takes no value"));
}

TEST(ArgumentSplit, ANegativeNumberIsAValue) {
  EXPECT_THAT(split({"--max-restarts", "-1", "x"})->own, ElementsAre("--max-restarts=-1"));
  EXPECT_THAT(split({"--monitor-interval", "-.5", "x"})->own, ElementsAre("--monitor-interval=-.5"));
}

TEST(ArgumentSplit, NothingGivesNothing) {
  const auto result = split({});
  ASSERT_TRUE(result);
  EXPECT_THAT(result->own, IsEmpty());
  EXPECT_THAT(result->program, IsEmpty());
  EXPECT_THAT(split({"-"})->program, ElementsAre("-"));
}

}  // namespace
}  // namespace ferrun
