#include "rendezvous/member/dial_journal.h"

#include <gtest/gtest.h>

namespace ferrun {
namespace {

using namespace std::chrono_literals;

IpAddress dialled(std::string_view text) { return parse_ip_address(text).value(); }

class DialJournalTest : public ::testing::Test {
 protected:
  std::string taken() {
    const std::optional<DialNote> note = journal.take_note(now);
    last_final = note && note->final;
    return note ? note->tried : "nothing";
  }

  DialJournal journal{{"node0", 29400}};
  TimePoint now{1h};
  bool last_final = false;
};

TEST_F(DialJournalTest, SaysNothingBeforeAnythingFailed) {
  journal.resolved({dialled("10.0.0.1")});
  EXPECT_EQ(taken(), "nothing");
}

TEST_F(DialJournalTest, CountsWhatHappensAgain) {
  journal.resolved({dialled("10.0.0.1")});
  journal.failed(dialled("10.0.0.1"), "refused the connection", now);
  EXPECT_EQ(taken(), "node0 (10.0.0.1) refused the connection");
  for (int i = 1; i < 12; ++i) journal.failed(dialled("10.0.0.1"), "refused the connection", now += 3s);
  EXPECT_EQ(taken(), "node0 (10.0.0.1) refused the connection 12 times in 33 s");
}

TEST_F(DialJournalTest, TellsNumbersOnceASecondAndWordsAtOnce) {
  journal.resolved({dialled("10.0.0.1")});
  journal.failed(dialled("10.0.0.1"), "refused the connection", now);
  taken();
  journal.failed(dialled("10.0.0.1"), "refused the connection", now += 999ms);
  EXPECT_EQ(taken(), "nothing");
  journal.failed(dialled("10.0.0.1"), "did not answer", now);
  EXPECT_EQ(taken(), "node0 (10.0.0.1) did not answer");
  journal.failed(dialled("10.0.0.1"), "did not answer", now += 1s);
  EXPECT_EQ(taken(), "node0 (10.0.0.1) did not answer 2 times in 1 s");
}

TEST_F(DialJournalTest, NamesEveryAddress) {
  journal.resolved({dialled("2001:db8::1"), dialled("10.0.0.1"), dialled("10.0.0.2")});
  journal.failed(dialled("2001:db8::1"), "did not answer", now);
  journal.failed(dialled("10.0.0.1"), "refused the connection", now);
  EXPECT_EQ(taken(), "node0 (10.0.0.1) refused the connection, node0 (2001:db8::1) did not answer");
}

TEST_F(DialJournalTest, ForgetsAddressesThatTheNameHasNoMore) {
  journal.resolved({dialled("10.0.0.1")});
  journal.failed(dialled("10.0.0.1"), "did not answer", now);
  journal.resolved({dialled("10.0.0.2")});
  EXPECT_EQ(taken(), "nothing");
}

TEST_F(DialJournalTest, SaysThatTheNameDoesNotResolve) {
  journal.not_resolved("Name or service not known", now);
  EXPECT_EQ(taken(), "the name node0 does not resolve (Name or service not known)");
  journal.not_resolved("Name or service not known", now += 2s);
  EXPECT_EQ(taken(), "the name node0 does not resolve (Name or service not known), asked 2 times in 2 s");
  journal.resolved({dialled("10.0.0.1")});
  EXPECT_EQ(taken(), "nothing");
}

TEST_F(DialJournalTest, GivesUpOnlyWhenItIsTurnedAwayForAWhile) {
  journal.resolved({dialled("10.0.0.1"), dialled("::1")});
  journal.failed(dialled("::1"), "refused the connection", now);
  journal.turned_away(dialled("10.0.0.1"), "it has another job token", now);
  EXPECT_EQ(taken(), "no session with node0 (10.0.0.1): it has another job token, node0 (::1) refused the connection");
  EXPECT_FALSE(last_final);
  journal.turned_away(dialled("10.0.0.1"), "it has another job token", now += 1999ms);
  taken();
  EXPECT_FALSE(last_final);
  journal.turned_away(dialled("10.0.0.1"), "it has another job token", now += 1ms);
  taken();
  EXPECT_TRUE(last_final);
}

TEST_F(DialJournalTest, CallsTheCoordinatorByNameAndAddress) {
  EXPECT_EQ(journal.where(dialled("10.0.0.1")), "node0 (10.0.0.1), port 29400");
  EXPECT_EQ(DialJournal({"10.0.0.1", 1}).where(dialled("10.0.0.1")), "10.0.0.1, port 1");
}

}  // namespace
}  // namespace ferrun
