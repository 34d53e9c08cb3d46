#include "rendezvous/job/job_status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace ferrun {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using namespace std::chrono_literals;

NodeStatus running_node(int node_rank) {
  NodeStatus node;
  node.agent = {0x1234567890abcdefU + static_cast<uint64_t>(node_rank)};
  node.host = "node" + std::to_string(node_rank);
  node.address = "10.0.0." + std::to_string(node_rank + 1);
  node.role = "default";
  node.workers = 8;
  node.node_rank = node_rank;
  node.first_rank = 8 * node_rank;
  node.state = NodeState::kRunning;
  node.silence = 340ms;
  return node;
}

JobStatus some_status() {
  JobStatus status;
  status.told_by = "the coordinator on node0";
  status.launch_id = "launch";
  status.incarnation = 2;
  status.round = {2, 7};
  status.phase = "running";
  status.reason = "node3 joined";
  status.min_nodes = 2;
  status.max_nodes = 4;
  status.world = 16;
  status.restarts = 1;
  status.max_restarts = 3;
  status.last_change = "node3 joined";
  status.last_change_age = 125s;
  status.clock_us = 1'700'000'000'000'000;
  status.missing = {"node2 (10.0.0.3), silent for 6 s"};
  status.nodes = {running_node(0), running_node(1)};
  NodeStatus spare = running_node(2);
  spare.node_rank.reset();
  spare.first_rank = 0;
  spare.state = NodeState::kSpare;
  status.nodes.push_back(spare);
  return status;
}

size_t lines_in(const std::string& text) { return static_cast<size_t>(std::ranges::count(text, '\n')); }

TEST(JobStatus, ComesBackFromItsJson) {
  EXPECT_EQ(job_status_from_json(to_json(some_status())).value(), some_status());
  EXPECT_EQ(job_status_from_json(to_json(JobStatus())).value(), JobStatus());
  for (int state = 0; state <= static_cast<int>(NodeState::kLost); ++state) {
    JobStatus status = some_status();
    status.nodes[0].state = static_cast<NodeState>(state);
    EXPECT_EQ(job_status_from_json(to_json(status)).value(), status) << to_string(status.nodes[0].state);
  }
}

TEST(JobStatus, IsOneLineOfJsonWhateverTheTextsHold) {
  JobStatus status = some_status();
  status.reason = "bytes \xff\xfe and a\nline";
  status.nodes[0].host = "\x80";
  const std::string json = to_json(status);
  EXPECT_EQ(json.find('\n'), std::string::npos);
  const Result<JobStatus> back = job_status_from_json(json);
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->reason, "bytes \xEF\xBF\xBD\xEF\xBF\xBD and a\nline");
  EXPECT_EQ(back->nodes[0].host, "\xEF\xBF\xBD");
}

TEST(JobStatus, TakesALaterVersionsFieldsAndLacksAnEarlierOnes) {
  const Result<JobStatus> status = job_status_from_json(R"({"phase":"running","colour":[1,2]})");
  ASSERT_TRUE(status.ok());
  EXPECT_EQ(status->phase, "running");
  EXPECT_EQ(status->max_nodes, 1);
}

TEST(JobStatus, RefusesWhatIsNoStatusInOneLine) {
  for (const char* json :
       {"", "{", "[]", "7", R"({"phase":7})", R"({"world":"2"})", R"({"world":99999999999})", R"({"incarnation":-1})",
        R"({"world":18446744073709551615})", R"({"last_change_age_ms":-1})", R"({"last_change_age_ms":1e300})",
        R"({"missing":{}})", R"({"missing":[1]})", R"({"nodes":[7]})", R"({"nodes":[{"state":"dancing"}]})",
        R"({"nodes":[{"agent":"no number"}]})", R"({"nodes":[{"agent":"11112222333344445"}]})", R"({"round":3})"}) {
    const Result<JobStatus> status = job_status_from_json(json);
    ASSERT_FALSE(status.ok()) << json;
    EXPECT_THAT(status.error().message, HasSubstr("no status of a job"));
    EXPECT_EQ(status.error().message.find('\n'), std::string::npos);
  }
}

TEST(JobStatus, ReadsAsATableForAPerson) {
  EXPECT_EQ(to_text(some_status()),
            "round 2.7, running: node3 joined\n"
            "3 nodes of 2 to 4, 16 workers; 1 of 3 restarts spent\n"
            "last change 2 min 5 s ago: node3 joined\n"
            "missing: node2 (10.0.0.3), silent for 6 s\n"
            "NODE  RANKS  STATE    HEARD       HOST   ADDRESS\n"
            "0     0-7    running  340 ms ago  node0  10.0.0.1\n"
            "1     8-15   running  340 ms ago  node1  10.0.0.2\n"
            "-     -      spare    340 ms ago  node2  10.0.0.3\n"
            "told by the coordinator on node0\n");
}

TEST(JobStatus, ReadsWellBeforeTheFirstRound) {
  JobStatus status;
  status.phase = "seeking";
  status.reason = "node0:29400 refused the connection 12 times in 40 s";
  EXPECT_EQ(to_text(status),
            "no round yet, seeking: node0:29400 refused the connection 12 times in 40 s\n"
            "0 nodes of 1; 0 of 0 restarts spent\n");
}

TEST(JobStatus, ListsAtMostFiftyNodesAndThoseFirstThatDoNotRun) {
  JobStatus status = some_status();
  status.missing.assign(1000, "somebody");
  status.nodes.clear();
  for (int rank = 0; rank < 10'000; ++rank) status.nodes.push_back(running_node(rank));
  status.nodes[9'000].state = NodeState::kSilent;
  const std::string text = to_text(status);
  EXPECT_LT(lines_in(text), 100u);
  EXPECT_THAT(text, HasSubstr("and 9950 more nodes\n"));
  EXPECT_THAT(text, HasSubstr("missing: 980 more\n"));
  EXPECT_THAT(text, HasSubstr("node9000"));
  EXPECT_THAT(text, HasSubstr("9999 nodes of"));
}

TEST(JobStatus, GivesATerminalNoControlSequences) {
  JobStatus status = some_status();
  status.reason = status.phase = status.last_change = status.told_by = "\x1B[31mred\nline";
  status.missing = {"\x1B[2J"};
  status.nodes[0].host = status.nodes[0].address = "\x1B]0;title\a\n";
  const std::string text = to_text(status);
  EXPECT_THAT(text, Not(HasSubstr("\x1B")));
  EXPECT_EQ(lines_in(text), lines_in(to_text(some_status())));
}

}  // namespace
}  // namespace ferrun
