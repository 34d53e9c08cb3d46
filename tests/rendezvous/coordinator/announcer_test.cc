#include "rendezvous/coordinator/announcer.h"

#include <gtest/gtest.h>

#include "tests/rendezvous/coordinator/some_members.h"

namespace ferrun {
namespace {

TEST(Announcer, TellsNothingWithoutNews) {
  Announcer announcer(kPartsStart);
  EXPECT_FALSE(announcer.is_due(kPartsStart + 1h));
  EXPECT_FALSE(announcer.deadline());
  announcer.note_news();
  EXPECT_TRUE(announcer.is_due(kPartsStart));
  EXPECT_EQ(announcer.deadline(), kPartsStart);
}

TEST(Announcer, PausesBetweenSentencesTheLongerTheMoreMembersThereAre) {
  for (const auto& [members, pause] : {std::pair<size_t, Duration>{3, 1s}, {10'000, 5s}}) {
    Announcer announcer(kPartsStart);
    announcer.begin(members, kPartsStart);
    announcer.note_news();
    EXPECT_FALSE(announcer.is_due(kPartsStart + pause - 1ns));
    EXPECT_TRUE(announcer.is_due(kPartsStart + pause));
    EXPECT_EQ(announcer.deadline(), kPartsStart + pause);
  }
}

TEST(Announcer, TellsATimeThatPassesEveryFewSeconds) {
  Announcer announcer(kPartsStart);
  announcer.begin(1, kPartsStart);
  EXPECT_TRUE(announcer.compose("10 s left", true));
  EXPECT_FALSE(announcer.is_due(kPartsStart + 5s - 1ns));
  EXPECT_TRUE(announcer.is_due(kPartsStart + 5s));
  announcer.begin(1, kPartsStart + 5s);
  EXPECT_TRUE(announcer.compose("waiting", false));
  EXPECT_FALSE(announcer.deadline());
}

TEST(Announcer, TellsEachMemberASentenceOnce) {
  SomeMembers members;
  Member& early = members.add("early");
  Member& late = members.add("late");
  Announcer announcer(kPartsStart);
  EXPECT_TRUE(announcer.compose("waiting for 1 of 2 nodes", false));
  EXPECT_TRUE(announcer.takes_turn(early));
  EXPECT_FALSE(announcer.takes_turn(early));
  EXPECT_FALSE(announcer.compose("waiting for 1 of 2 nodes", false)) << "the same";
  EXPECT_TRUE(announcer.takes_turn(late));
  EXPECT_FALSE(announcer.takes_turn(early));
  Announcer::forget(early);
  EXPECT_TRUE(announcer.takes_turn(early));
  EXPECT_TRUE(announcer.compose("last call", false));
  EXPECT_TRUE(announcer.takes_turn(early));
  EXPECT_TRUE(announcer.takes_turn(late));
}

}  // namespace
}  // namespace ferrun
