#include "rendezvous/coordinator/round_roster.h"

#include <gtest/gtest.h>

#include "tests/rendezvous/coordinator/some_members.h"

namespace ferrun {
namespace {

TEST(RoundRoster, TiesMembersToSeatsAndFreesBothSides) {
  SomeMembers members;
  RoundRoster roster = members.round({"node0", "node1"});
  Member& first = members.all.front();
  Member& second = members.all.back();
  EXPECT_EQ(first.seat, 0);
  EXPECT_EQ(second.seat, 1);
  EXPECT_EQ(roster.at(1).member, &second);
  EXPECT_EQ(roster.at(1).first_rank, 2);
  EXPECT_EQ(roster.members().size(), 2u);
  roster.vacate(first);
  roster.vacate(first);
  EXPECT_FALSE(first.seat);
  EXPECT_EQ(roster.at(0).member, nullptr);
  EXPECT_EQ(roster.at(0).host, "node0") << "who was there is remembered";
  EXPECT_EQ(roster.members(), (std::vector{CoordinatorState::Member{second.agent, "node1", 1}}));
  EXPECT_EQ(roster.world(), 4) << "that of the round, whoever is left";
  EXPECT_EQ(roster.everybody(), (std::vector{CoordinatorState::Member{first.agent, "node0", 0},
                                             CoordinatorState::Member{second.agent, "node1", 1}}));
  roster.vacate_all();
  EXPECT_FALSE(second.seat);
  EXPECT_TRUE(roster.members().empty());
}

TEST(RoundRoster, OfAnotherCoordinatorHasSeatsForThoseWhoComeBack) {
  SomeMembers members;
  RoundRoster roster = RoundRoster::adopted({2, 7}, 3, kPartsStart);
  EXPECT_TRUE(roster.is_adopted());
  EXPECT_EQ(roster.size(), 3u);
  EXPECT_TRUE(roster.members().empty());
  Member& back = members.add("node2");
  roster.seat(back, 2, 4);
  EXPECT_EQ(back.seat, 2);
  EXPECT_EQ(roster.at(2).host, "node2");
}

TEST(RoundRoster, AdmitsEveryAddressOnce) {
  SomeMembers members;
  RoundRoster roster = members.round({"node0", "node1"});
  members.all.back().observed_address = members.all.front().observed_address;
  EXPECT_EQ(roster.admitted(100), (std::vector<std::string>{"10.0.0.1", "10.0.0.2", "192.168.0.1"}));
}

TEST(RoundRoster, KeepsTheAddressFromWhichANodeWasHeardWhereThereIsLittleRoom) {
  SomeMembers members;
  RoundRoster roster = members.round({"node0", "node1"});
  members.all.front().addresses = {"10.0.0.1", "10.1.0.1", "10.2.0.1"};
  EXPECT_EQ(roster.admitted(4), (std::vector<std::string>{"10.0.0.1", "10.0.0.2", "192.168.0.1", "192.168.0.2"}));
  EXPECT_EQ(roster.admitted(2), (std::vector<std::string>{"192.168.0.1", "192.168.0.2"}));
  EXPECT_EQ(roster.admitted(1).size(), 2u) << "one of each node in any case";
}

}  // namespace
}  // namespace ferrun
