// What a rank's program says at its end, on the error stream and to the launcher.
#include "worker/ddp/program.h"

#include <ATen/ops/ones.h>
#include <fcntl.h>
#include <ferrun/client.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "tests/temporary_directory.h"
#include "tests/worker/ddp/rank_harness.h"

namespace ferrun::ddp {
namespace {

using ::testing::HasSubstr;
using testing::RankHarness;

// A rank whose store nobody serves: tcpmux.
const GroupAddress kNobody{.rank = 1, .world_size = 2, .master_addr = "127.0.0.1", .master_port = 1};

class RankProgram : public ::testing::Test {
 protected:
  using Body = std::function<void(const std::shared_ptr<ProcessGroup>& group)>;

  // The rank's environment is the launcher's; its error stream and its error file are said(rank) and reported(rank).
  RankHarness::Body program(const Body& body, GroupOptions options = {}) const {
    return [this, body, options](const GroupAddress& address) {
      const std::string rank = std::to_string(address.rank);
      setenv("RANK", rank.c_str(), 1);
      setenv("WORLD_SIZE", std::to_string(address.world_size).c_str(), 1);
      setenv("MASTER_ADDR", address.master_addr.c_str(), 1);
      setenv("MASTER_PORT", std::to_string(address.master_port).c_str(), 1);
      setenv("TORCHELASTIC_USE_AGENT_STORE", "True", 1);
      setenv("TORCHELASTIC_ERROR_FILE", folder_.file("error" + rank).c_str(), 1);
      dup2(open(folder_.file("said" + rank).c_str(), O_CREAT | O_WRONLY, 0600), STDERR_FILENO);
      return "status " + std::to_string(run(body, options));
    };
  }
  std::string said(int rank) const { return content("said", rank); }
  std::string reported(int rank) const { return content("error", rank); }

 private:
  std::string content(const std::string& name, int rank) const {
    std::ifstream file(folder_.file(name + std::to_string(rank)));
    return {std::istreambuf_iterator<char>(file), {}};
  }
  testing::TemporaryDirectory folder_;
};

TEST_F(RankProgram, ReturnsZeroWhenEveryRankHasEnded) {
  RankHarness ranks;
  const auto outcomes = ranks.run(2, program([](const auto& group) { group->barrier(); }));
  EXPECT_THAT(outcomes, ::testing::Each("status 0")) << said(0) << said(1);
}

TEST_F(RankProgram, NamesTheRankThatNeverJoins) {
  RankHarness ranks;
  GroupOptions options;
  options.timeout = std::chrono::seconds(2);
  ranks.start(0, 2, program([](const auto&) {}, options));
  EXPECT_EQ(ranks.outcome(0), "");  // it has left by _exit
  for (const std::string& text : {said(0), reported(0)}) {
    EXPECT_THAT(text, HasSubstr("rank 1 of 2 did not join within 2 s"));
  }
}

TEST_F(RankProgram, TellsItsOwnFailureAndALostPeersApart) {
  RankHarness ranks;
  const auto outcomes = ranks.run(2, program([](const auto& group) {
                                    if (group->rank() == 1) throw std::runtime_error("no such file");
                                    group->barrier();
                                  }));
  EXPECT_THAT(outcomes, ::testing::Each(""));  // both have left by _exit
  EXPECT_THAT(said(1), HasSubstr("rank 1: no such file\n"));
  EXPECT_THAT(reported(1), HasSubstr("no such file"));
  EXPECT_THAT(said(0), HasSubstr("lost the connection to another rank, which ended first"));
}

TEST_F(RankProgram, SaysInOneLineThatNobodyServesTheStore) {
  RankHarness ranks;
  GroupOptions options;
  options.timeout = std::chrono::milliseconds(300);
  ranks.start(0, 1, [&, this](const GroupAddress&) { return program([](const auto&) {}, options)(kNobody); });
  EXPECT_EQ(ranks.outcome(0), "");
  EXPECT_EQ(said(1),
            "cannot reach the job's store at 127.0.0.1:1 (MASTER_ADDR:MASTER_PORT): nobody listens there "
            "(Connection refused)\n");
}

TEST_F(RankProgram, DoesNotWaitForTheStoreWhenItIsAskedToStop) {
  RankHarness ranks;
  GroupOptions options;
  options.timeout = std::chrono::minutes(10);
  ranks.start(0, 1, [&, this](const GroupAddress&) {
    client::note_stop_signals();
    raise(SIGTERM);
    return program([](const auto&) {}, options)(kNobody);
  });
  EXPECT_EQ(ranks.outcome(0), "");
  EXPECT_THAT(said(1), HasSubstr("and the process was asked to stop (Terminated)\n"));
}

TEST_F(RankProgram, TellsOfAKilledPeerInOneLine) {
  RankHarness ranks;
  ranks.run(2, program([](const auto& group) {
              group->barrier();  // both have joined
              if (group->rank() == 1) raise(SIGKILL);
              group->barrier();
            }));
  EXPECT_THAT(said(0), ::testing::MatchesRegex("rank 0: lost the connection to another rank, which ended first: no "
                                               "answer from rank 1 [^\n]*\n"));
}

TEST_F(RankProgram, NamesTheRankThatHasNoMoreToDo) {
  RankHarness ranks;
  GroupOptions options;
  options.timeout = std::chrono::seconds(8);
  ranks.run(2, program(
                   [](const auto& group) {
                     if (group->rank() == 1) return;
                     at::Tensor sum = at::ones({5});
                     group->all_reduce_sum(sum);
                   },
                   options));
  EXPECT_THAT(said(0), HasSubstr("rank 1 called shut_down, having no more to do"));
}

TEST_F(RankProgram, NamesItsRankOnce) {
  RankHarness ranks;
  ranks.run(1, program([](const auto&) { throw std::runtime_error("rank 0: no such file"); }));
  EXPECT_EQ(said(0), "rank 0: no such file\n");
}

TEST_F(RankProgram, NamesAVariableThatIsWrong) {
  RankHarness ranks;
  ranks.start(0, 1, [this](const GroupAddress&) {
    return program([](const auto&) {})({.rank = 7, .world_size = 2, .master_addr = "127.0.0.1", .master_port = 1});
  });
  EXPECT_EQ(ranks.outcome(0), "");
  EXPECT_THAT(said(7), HasSubstr("RANK"));
}

}  // namespace
}  // namespace ferrun::ddp
