// Every row of rows.json through ferrun, against what torchrun answered to it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "tests/differential/compare.h"
#include "tests/differential/suite.h"
#include "tests/peer_python.h"

namespace ferrun::differential {
namespace {

using nlohmann::json;
using ::testing::IsEmpty;

const Table& table() {
  static const Table kTable = read_table(kRows);
  return kTable;
}

const json& answers() {
  static const json kAll = read_json(kAnswers);
  return kAll;
}

class Differential : public ::testing::TestWithParam<Row> {};

TEST_P(Differential, DiffersFromTorchrunOnlyWhereItIsMeantTo) {
  const Row& row = GetParam();
  if (row.python) FERRUN_NEEDS_PEER();
  ASSERT_TRUE(answers().at("rows").contains(row.name)) << "no answer of torchrun: .ci/run differential tells how";
  const json& answer = answers()["rows"][row.name];
  ASSERT_EQ(answer.at("row"), row.as_data) << "torchrun was asked something else: .ci/run differential tells how";
  const Played played = play(row, *make_ferrun(kFerrun), kProbe, peer_python());
  const std::vector<Divergence> found = compare(row, table().differences, answer.at("seen").get<Seen>(), played.seen);
  for (const Divergence& at : found) {
    EXPECT_NE(at.difference, "") << at.aspect << "\n  torchrun: " << at.theirs << "\n  ferrun:   " << at.ours;
  }
  EXPECT_THAT(idle_pins(row, found), IsEmpty()) << "declared to differ, and does not";
  if (HasFailure()) std::cerr << row.line << "\n" << played.out << played.err;
}

INSTANTIATE_TEST_SUITE_P(Row, Differential, ::testing::ValuesIn(table().rows),
                         [](const auto& row) { return row.param.name; });

TEST(DifferentialTable, HasARowForEveryAnswerAndADifferenceForEveryPin) {
  std::set<std::string> differences;
  for (const Difference& difference : table().differences) differences.insert(difference.id);
  std::set<std::string> names;
  for (const Row& row : table().rows) {
    names.insert(row.name);
    for (const auto& [aspect, pin] : row.pins) EXPECT_TRUE(differences.contains(pin.difference)) << row.name << aspect;
  }
  for (const auto& [name, answer] : answers().at("rows").items()) EXPECT_TRUE(names.contains(name)) << name;
}

TEST(DifferentialTable, IsThePageOfTheManual) {
  std::ostringstream page;
  page << std::ifstream(kPage).rdbuf();
  EXPECT_EQ(page.str(), differences_page(table(), answers())) << "write it anew: differential_tool page " << kPage;
}

}  // namespace
}  // namespace ferrun::differential
