// The coordinator's smaller parts: who is kept out, terms, saved state, words.
#include <gtest/gtest.h>

#include <random>

#include "rendezvous/coordinator/coordinator_state_codec.h"
#include "rendezvous/coordinator/flap_policy.h"
#include "rendezvous/job/job_terms.h"
#include "rendezvous/job/wording.h"

namespace ferrun {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint kStart{1000s};
constexpr FlapLimits kLimits{600s, 3, 10s, 600s};

TEST(FlapPolicy, BarsANodeThatIsLostThreeTimesWithinTheWindow) {
  FlapPolicy policy(kLimits);
  EXPECT_FALSE(policy.lost("a", kStart));
  EXPECT_FALSE(policy.lost("a", kStart + 10s));
  EXPECT_FALSE(policy.lost("b", kStart + 10s));
  EXPECT_EQ(policy.lost("a", kStart + 20s), 10s);
  EXPECT_EQ(policy.barred("a", kStart + 22s), 8s);
  EXPECT_FALSE(policy.barred("b", kStart + 22s));
  EXPECT_FALSE(policy.barred("a", kStart + 30s));
}

TEST(FlapPolicy, ForgetsLossesOlderThanTheWindow) {
  FlapPolicy policy(kLimits);
  policy.lost("a", kStart);
  policy.lost("a", kStart + 10s);
  EXPECT_FALSE(policy.lost("a", kStart + 600s));
  EXPECT_EQ(policy.lost("a", kStart + 601s), 10s);
}

TEST(FlapPolicy, DoublesTheBarUntilTheNodeHasBeenSteadyForAWindow) {
  FlapPolicy policy(kLimits);
  for (int loss = 0; loss < 3; ++loss) policy.lost("a", kStart);
  EXPECT_EQ(policy.lost("a", kStart + 30s), 20s);
  EXPECT_EQ(policy.lost("a", kStart + 60s), 40s);
  EXPECT_EQ(policy.bar("a", kStart + 100s), 80s);
  EXPECT_EQ(policy.bar("a", kStart + 1000s), 10s);
}

TEST(FlapPolicy, BarsForAWindowAtMost) {
  FlapPolicy policy(kLimits);
  for (int times = 0; times < 50; ++times) policy.bar("a", kStart);
  EXPECT_EQ(policy.bar("a", kStart), 600s);
}

TEST(JobTerms, NamesBothValuesWhereTwoAgentsDiffer) {
  JobTerms terms({{"--nnodes", "4"}, {"--max-restarts", ""}}, "the coordinator");
  EXPECT_FALSE(terms.disagreement({{"--nnodes", "4"}, {"--max-restarts", "3"}}));
  const std::vector<JobTerms::Remark> none = terms.adopt({{"--nnodes", "4"}, {"--max-restarts", "3"}}, "node0");
  EXPECT_TRUE(none.empty());
  EXPECT_EQ(terms.disagreement({{"--nnodes", "4"}, {"--max-restarts", "0"}}),
            "--max-restarts is 3 on node0 and 0 here");
  EXPECT_EQ(terms.disagreement({{"--nnodes", "2"}, {"--max-restarts", "3"}}),
            "--nnodes is 4 on the coordinator and 2 here");
  EXPECT_EQ(terms.disagreement({{"--max-restarts", "3"}}), "--nnodes is 4 on the coordinator and not set here");
}

TEST(JobTerms, LetsNodesDifferInWhatDoesNotBreakTheJobAndTellsOfItOnce) {
  JobTerms terms({{"--nnodes", "2"}, {"--min-uptime", "30"}}, "the coordinator");
  terms.adopt({{"--nnodes", "2"}, {"the program", "train.py"}, {"its rest", "--scratch /a"}}, "node0");
  const std::vector<Term> others = {
      {"--nnodes", "2"}, {"--min-uptime", "5"}, {"the program", "old.py"}, {"its rest", "--scratch /b"}};
  EXPECT_FALSE(terms.disagreement(others));
  const std::vector<JobTerms::Remark> remarks = terms.adopt(others, "node1");
  ASSERT_EQ(remarks.size(), 3u);
  EXPECT_EQ(remarks[0].line, "--min-uptime is 30 on the coordinator, which decides, and 5 on node1");
  EXPECT_TRUE(remarks[0].warns);
  EXPECT_EQ(remarks[1].line, "the program is train.py on node0 and old.py on node1");
  EXPECT_TRUE(remarks[1].warns);
  EXPECT_EQ(remarks[2].line, "its rest is --scratch /a on node0 and --scratch /b on node1");
  EXPECT_FALSE(remarks[2].warns);
  EXPECT_TRUE(terms.adopt(others, "node1").empty()) << "it is back";
}

TEST(JobTerms, ComparesWhatIsRequiredOfTwoLaunches) {
  const std::vector<Term> two = {{"--nnodes", "2"}, {"--max-restarts", "1"}, {"the program", "a"}};
  EXPECT_EQ(required_terms(two).size(), 2u);
  EXPECT_EQ(required_difference(two, "there", {{"--nnodes", "2"}, {"--max-restarts", "3"}}, "here"),
            "--max-restarts is 1 there and 3 here");
  EXPECT_FALSE(required_difference(two, "there", {{"--nnodes", "2"}, {"the program", "b"}}, "here"));
}

TEST(JobTerms, KeepsABoundedNumber) {
  JobTerms terms({}, "the coordinator");
  for (int at = 0; at < 1000; ++at) terms.adopt({{"--made-up-" + std::to_string(at), "1"}}, "node0");
  EXPECT_EQ(terms.list().size(), 64u);
}

CoordinatorState some_state() {
  CoordinatorState state;
  state.incarnation = 3;
  state.newest = {3, 17};
  state.members = {{AgentId{0xfedcba9876543210u}, "node0", 0}, {AgentId{7}, "node \"1\"\n", 1}};
  state.restarts = 2;
  state.launch_id = "20250101-abc";
  state.terms = {{"--nnodes", "2:4"}};
  state.job_id = "run 7";
  return state;
}

TEST(CoordinatorStateCodec, GivesBackWhatItWrote) {
  CoordinatorState state = some_state();
  ASSERT_TRUE(decode_state(encode_state(state)).ok());
  EXPECT_EQ(*decode_state(encode_state(state)), state);
  state.members[1].remains = Remains::kNone;
  EXPECT_EQ(*decode_state(encode_state(state)), state);
  state.closed = JobEnd{JobEnd::Kind::kStopped, 143, {"line 1", "line 2"}};
  EXPECT_EQ(*decode_state(encode_state(state)), state);
  EXPECT_EQ(*decode_state(encode_state({})), CoordinatorState{});
}

TEST(CoordinatorStateCodec, RefusesEveryOneOfItsTextsThatWasCutOrChanged) {
  const std::string text = encode_state(some_state());
  for (size_t length = 0; length < text.size(); ++length) {
    EXPECT_FALSE(decode_state(text.substr(0, length)).ok()) << "cut to " << length;
  }
  for (size_t at = 0; at < text.size(); ++at) {
    for (const char other : {'\0', ' ', '0', '{', '\xff'}) {
      std::string changed = text;
      changed[at] = other;
      if (changed == text) continue;
      const Result<CoordinatorState> state = decode_state(changed);
      EXPECT_FALSE(state.ok()) << "changed at " << at;
      if (!state.ok()) {
        EXPECT_EQ(state.error().message.find('\n'), std::string::npos);
      }
    }
  }
}

TEST(CoordinatorStateCodec, SaysWhatIsWrong) {
  EXPECT_EQ(decode_state("").error().message,
            "the coordinator's saved state is damaged: it does not begin with \"ferrun-coordinator-state\"");
  EXPECT_EQ(decode_state("ferrun-coordinator-state 1 0123\n{}\n").error().message,
            "the coordinator's saved state is damaged: another version of ferrun wrote it");
}

TEST(Wording, ListsAFewNamesAndCountsTheOthers) {
  EXPECT_EQ(listed({}, 0), "");
  EXPECT_EQ(listed({}, 4), "4");
  EXPECT_EQ(listed({"a"}, 1), "a");
  EXPECT_EQ(listed({"a", "b"}, 2), "a and b");
  EXPECT_EQ(listed({"a", "b", "c"}, 3), "a, b and c");
  EXPECT_EQ(listed({"a", "b", "c", "d"}, 4), "a, b, c and 1 more");
  EXPECT_EQ(listed({"a"}, 1000), "a and 999 more");
}

TEST(Wording, TakesNoControlCharactersAndNoHalfCharactersFromPeers) {
  EXPECT_EQ(plain_text("a\x1b[31mred\n"), "ared");
  EXPECT_EQ(plain_text("\xc3\xa4\xc3\xa4", 3), "\xc3\xa4");
}

}  // namespace
}  // namespace ferrun
