#include "rendezvous/member/member_lease.h"

#include <gtest/gtest.h>

#include "rendezvous/member/member_work.h"

namespace ferrun {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint kStart{1000s};

Welcome welcome(bool own_process, Duration lease, Duration interval) {
  return {1, own_process, lease, interval, "", false};
}

TEST(MemberLease, RunsFromTheSendingOfTheLastAnsweredHeartbeat) {
  MemberLease lease;
  EXPECT_TRUE(lease.over(kStart)) << "none before a session";
  lease.begin(welcome(false, 5s, 1s), kStart, kStart + 100ms);
  EXPECT_EQ(lease.end(), kStart + 5s) << "the Join counts as the first";
  EXPECT_EQ(lease.next_heartbeat(), kStart + 1s);
  const Heartbeat first = lease.send(kStart + 1s);
  const Heartbeat second = lease.send(kStart + 2s);
  lease.answered(first.number);
  EXPECT_EQ(lease.end(), kStart + 6s);
  lease.answered(second.number + 1);
  EXPECT_EQ(lease.end(), kStart + 6s) << "answers to what was never sent give nothing";
  lease.answered(second.number);
  lease.answered(first.number);
  EXPECT_EQ(lease.end(), kStart + 7s) << "and an old answer takes nothing back";
  EXPECT_FALSE(lease.over(kStart + 7s - 1ns));
  EXPECT_TRUE(lease.over(kStart + 7s));
}

TEST(MemberLease, OutlivesItsSessionAndTakesNoAnswersAfterIt) {
  MemberLease lease;
  lease.begin(welcome(false, 5s, 1s), kStart, kStart);
  const Heartbeat lost = lease.send(kStart + 1s);
  lease.end_session();
  EXPECT_EQ(lease.end(), kStart + 5s);
  EXPECT_EQ(lease.next_heartbeat(), std::nullopt);
  EXPECT_EQ(lease.silent_at(), std::nullopt);
  lease.begin(welcome(false, 5s, 1s), kStart + 2s, kStart + 2s);
  lease.answered(lost.number);
  EXPECT_EQ(lease.end(), kStart + 7s);
  EXPECT_GT(lease.send(kStart + 3s).number, lost.number) << "numbers grow through all sessions";
}

TEST(MemberLease, CallsACoordinatorOfItsOwnSilentLongBeforeTheLeaseEnds) {
  MemberLease lease;
  lease.begin(welcome(false, 5s, 1s), kStart, kStart);
  EXPECT_EQ(lease.silent_at(), kStart + 5s);
  lease.begin(welcome(true, 60s, 1s), kStart, kStart);
  EXPECT_EQ(lease.silent_at(), kStart + 5s);
  EXPECT_EQ(lease.end(), kStart + 60s);
}

TEST(MemberLease, BringsWhatACoordinatorSaysIntoASaneRange) {
  MemberLease lease;
  lease.begin(welcome(true, -5s, 0s), kStart, kStart);
  EXPECT_EQ(lease.end(), kStart);
  EXPECT_GT(lease.next_heartbeat(), kStart);
  EXPECT_GT(lease.silent_at(), kStart);
  lease.begin(welcome(false, Duration::max(), Duration::max()), kStart, kStart);
  EXPECT_EQ(lease.end(), kStart + 24h);
  EXPECT_EQ(lease.next_heartbeat(), kStart + 24h);
}

TEST(MemberLease, CatchesUpWithoutABurst) {
  MemberLease lease;
  lease.begin(welcome(false, 5s, 1s), kStart, kStart + 3s);
  EXPECT_EQ(lease.next_heartbeat(), kStart + 3s) << "a late welcome: at once";
  lease.send(kStart + 4500ms);
  EXPECT_EQ(lease.next_heartbeat(), kStart + 5500ms);
}

LocalFailure failure(std::vector<std::string> report) {
  LocalFailure failure;
  failure.report = std::move(report);
  return failure;
}

TEST(BoundedFailures, FitAMessageWhateverWorkersWrite) {
  const std::vector<LocalFailure> all = bounded(
      std::vector<LocalFailure>(1000, failure({"what happened", std::string(3000, 'x'), std::string(3000, 'y')})));
  ASSERT_EQ(all.size(), kMostFailures);
  size_t bytes = 0;
  for (const LocalFailure& failure : all) {
    ASSERT_FALSE(failure.report.empty());
    EXPECT_EQ(failure.report.front(), "what happened");
    for (const std::string& line : failure.report) bytes += line.size();
  }
  EXPECT_LT(bytes, kFailuresReportBytes + kMostFailures * 256);
  EXPECT_EQ(all.front().report.size(), 2u) << "the first ones keep their evidence";
  EXPECT_EQ(all.back().report.size(), 1u);
}

TEST(BoundedFailures, CutALongLineBetweenCharacters) {
  std::string line;
  while (line.size() < 5000) line += "\xC3\xA4";
  const std::string cut = bounded({failure({line})}).front().report.front();
  EXPECT_LE(cut.size(), LocalFailure::kReportBytes);
  EXPECT_EQ(cut.size() % 2, 0u);
}

}  // namespace
}  // namespace ferrun
