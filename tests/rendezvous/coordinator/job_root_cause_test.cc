#include "rendezvous/coordinator/job_root_cause.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

namespace ferrun {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::ElementsAre;

constexpr TimePoint kBegan{1000s};
constexpr TimePoint kNow{1100s};

FailureSighting seen(const std::string& host, FailureKind kind, Duration age, Duration round_trip = 1ms, int rank = 0) {
  LocalFailure failure;
  failure.kind = kind;
  failure.age = age;
  failure.rank = rank;
  failure.report = {"rank " + std::to_string(rank) + " failed"};
  return sight(host, rank, failure, kNow, round_trip, kBegan);
}

TEST(JobRootCause, IsTheEarliestFailureWhereTheOrderIsCertain) {
  const JobRootCause root =
      find_root_cause({seen("a", FailureKind::kOutOfMemory, 10ms), seen("b", FailureKind::kNotStarted, 100ms)});
  EXPECT_EQ(root.cause, 1u);
  EXPECT_TRUE(root.ties.empty());
  EXPECT_THAT(root.later, ElementsAre(0));
}

TEST(JobRootCause, IsTheOneThatExplainsItselfWhereTheOrderIsUncertain) {
  const std::vector<FailureKind> best_first = {FailureKind::kOutOfMemory, FailureKind::kSignal, FailureKind::kLostNode,
                                               FailureKind::kExit, FailureKind::kNotStarted};
  for (size_t at = 0; at + 1 < best_first.size(); ++at) {
    const JobRootCause root =
        find_root_cause({seen("a", best_first[at + 1], 5ms, 10ms, 0), seen("b", best_first[at], 0ms, 10ms, 1)});
    EXPECT_EQ(root.cause, 1u);
    EXPECT_THAT(root.ties, ElementsAre(0));
  }
}

TEST(JobRootCause, IsTheLowerRankOfTwoAlike) {
  const JobRootCause root =
      find_root_cause({seen("a", FailureKind::kExit, 0ms, 10ms, 5), seen("b", FailureKind::kExit, 1ms, 10ms, 2)});
  EXPECT_EQ(root.cause, 1u);
}

TEST(JobRootCause, BelievesNoAgeThatIsNegativeOrLongerThanTheRound) {
  const FailureSighting future = seen("a", FailureKind::kExit, -5s);
  EXPECT_EQ(future.latest, kNow);
  const FailureSighting past = seen("a", FailureKind::kExit, std::chrono::hours(100000));
  EXPECT_EQ(past.earliest, kBegan);
  EXPECT_EQ(past.latest, kBegan);
}

TEST(JobRootCause, ReportsWhatElseFailedFirstAndTheCauseLast) {
  std::vector<FailureSighting> sightings = {seen("a", FailureKind::kExit, 0ms, 10ms, 1),
                                            seen("b", FailureKind::kSignal, 5ms, 10ms, 2),
                                            seen("c", FailureKind::kLostPeer, 0ms, 1ms, 3)};
  sightings[1].failure.report = {"rank 2 was killed", "its last line"};
  EXPECT_THAT(describe(sightings, find_root_cause(sightings)),
              ElementsAre("Failed as well:", "  c: rank 3 failed, 0.1 s later",
                          "  a: rank 1 failed, at the same time as far as can be told",
                          "Root cause: b: rank 2 was killed", "its last line"));
}

TEST(JobRootCause, IsNeverWhoOnlyLostAConnectionWhereAnotherFailed) {
  const std::vector<FailureSighting> sightings = {seen("a", FailureKind::kLostPeer, 90ms, 1ms, 1),
                                                  seen("b", FailureKind::kExit, 5ms, 1ms, 2)};
  const JobRootCause root = find_root_cause(sightings);
  EXPECT_EQ(root.cause, 1u);
  EXPECT_THAT(root.later, ElementsAre(0));
  EXPECT_THAT(
      describe(sightings, root),
      ElementsAre("Failed as well:", "  a: rank 1 failed, before it, but only lost its connection to another rank",
                  "Root cause: b: rank 2 failed"));
  EXPECT_EQ(find_root_cause({sightings[0], seen("c", FailureKind::kLostPeer, 5ms, 1ms, 3)}).cause, 0u)
      << "where nobody tells more";
}

TEST(JobRootCause, KeepsTheReportShort) {
  std::vector<FailureSighting> sightings;
  for (int rank = 0; rank < 1000; ++rank) sightings.push_back(seen("n", FailureKind::kExit, 0ms, 1ms, rank));
  sightings[0].failure.report.resize(100, std::string(1000, 'x'));
  const std::vector<std::string> lines = describe(sightings, find_root_cause(sightings));
  EXPECT_EQ(lines.size(), 1u + 8u + 1u + 1u + 4u);
  EXPECT_EQ(lines[9], "  and 991 more, at the same time");
}

TEST(JobRootCause, NamesAWorkerThatTellsNothing) {
  FailureSighting sighting = seen("a", FailureKind::kSignal, 0ms, 1ms, 4);
  sighting.failure.report.clear();
  sighting.failure.status = ExitStatus::signaled(SIGKILL);
  EXPECT_EQ(headline(sighting), "a: rank 4 killed by SIGKILL (killed)");
}

TEST(JobRootCause, IsWhoWasCutShortOnlyWhereTheOthersLostAConnection) {
  const FailureSighting lost = seen("a", FailureKind::kLostPeer, 2s, 1ms, 0);
  const FailureSighting cut = seen("b", FailureKind::kCutShort, 10ms, 1ms, 1);
  const FailureSighting crashed = seen("c", FailureKind::kExit, 1ms, 1ms, 2);
  EXPECT_EQ(find_root_cause({lost, cut}).cause, 1u);
  const std::vector<FailureSighting> all = {lost, cut, crashed};
  EXPECT_EQ(find_root_cause(all).cause, 2u) << "nobody had stopped it";
  EXPECT_THAT(describe(all, find_root_cause(all)), Contains("  b: rank 1 failed, before it, but was being stopped"));
}

}  // namespace
}  // namespace ferrun
