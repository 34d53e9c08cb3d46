#include "worker/train/graph_decision.h"

#include <gtest/gtest.h>

namespace ferrun::train {
namespace {

using enum GraphChoice;

struct Row {
  std::string name;
  GraphTerms terms;
  bool by_itself = false;  // taken with auto
  std::string why_not;     // why it is not, with on
};

const std::vector<Row>& rows() {
  static const std::vector<Row> rows = {
      {"one_rank", {.on_gpu = true, .batch_size = 128, .read_every = 20}, true, ""},
      {"several_ranks", {.on_gpu = true, .ranks = 4, .batch_size = 128, .read_every = 20}, false, ""},
      {"accumulated",
       {.on_gpu = true, .batch_size = 128, .accumulate = 2, .read_every = 20},
       false,
       "--accumulate makes a step of several passes"},
      {"each_step_read",
       {.on_gpu = true, .batch_size = 128, .read_every = 1},
       false,
       "--read-every 1 reads each step's loss before the next one"},
      {"one_rank_that_skips", {.on_gpu = true, .batch_size = 128, .read_every = 20, .skips_pictures = true}, true, ""},
      {"several_that_skip",
       {.on_gpu = true, .ranks = 2, .batch_size = 128, .read_every = 20, .skips_pictures = true},
       false,
       "--bad-images skip may leave one of several ranks a batch of another size"},
      {"fewer_pictures_than_ranks",
       {.on_gpu = true, .ranks = 4, .batch_size = 3, .read_every = 20},
       false,
       "--batch-size is too small to give every rank a share"},
      {"too_few_to_train_on",
       {.on_gpu = true, .ranks = 4, .batch_size = 7, .least_share = 2, .read_every = 20},
       false,
       "--batch-size is too small to give every rank a share"},
  };
  return rows;
}

class Graph : public ::testing::TestWithParam<Row> {};

TEST_P(Graph, IsTakenWhereEveryStepIsTheSame) {
  const Row& row = GetParam();
  const GraphDecision on = decide_graph(kOn, row.terms), by_itself = decide_graph(kAuto, row.terms);
  EXPECT_EQ(on.use, row.why_not.empty());
  EXPECT_EQ(on.note, row.why_not.empty() ? "" : "no step is recorded as a CUDA graph: " + row.why_not);
  EXPECT_EQ(by_itself.use, row.by_itself);
  EXPECT_EQ(by_itself.note, "") << "nobody has asked for it";
  EXPECT_FALSE(decide_graph(kOff, row.terms).use);
  GraphTerms on_cpu = row.terms;
  on_cpu.on_gpu = false;
  for (const GraphChoice choice : {kAuto, kOn, kOff}) {
    EXPECT_FALSE(decide_graph(choice, on_cpu).use);
    EXPECT_EQ(decide_graph(choice, on_cpu).note, "");
  }
}

INSTANTIATE_TEST_SUITE_P(OfRuns, Graph, ::testing::ValuesIn(rows()), [](const auto& row) { return row.param.name; });

}  // namespace
}  // namespace ferrun::train
