#include "launcher/node/hosting_machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <random>

#include "tests/launcher/node/hosting_story.h"

namespace ferrun {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string kHere = "this agent coordinates the job: node0 (10.0.0.1) is this node";

TEST(HostingMachine, HostsWhereTheNameMeansThisMachine) {
  HostingStory story;
  story.step(DialWanted{});
  EXPECT_THAT(story.effects(), ElementsAre("look up"));
  story.found({"10.0.0.1"});
  EXPECT_THAT(story.effects(), ElementsAre("host"));
  story.hosts();
  EXPECT_THAT(story.effects(), ElementsAre(kHere, "link 10.0.0.1", "dial"));
}

TEST(HostingMachine, DoesNotDialBeforeItKnowsWhere) {
  HostingStory story;
  story.step(DialWanted{});
  EXPECT_THAT(story.effects(), ElementsAre("look up"));
  story.found({"10.0.0.2"});
  EXPECT_THAT(story.effects(),
              ElementsAre("another one coordinates it: node0 (10.0.0.2) is another node", "link", "dial"));
}

TEST(HostingMachine, LooksAgainWhileTheNameHasNoAddress) {
  HostingStory story;
  story.effects();
  story.found({});
  EXPECT_THAT(story.effects(), ElementsAre("link"));
  EXPECT_EQ(story.wait(), 100ms);
  EXPECT_THAT(story.early, IsEmpty());
  EXPECT_THAT(story.effects(), ElementsAre("look up"));
  story.found({});
  EXPECT_EQ(story.wait(), 200ms);
  for (int i = 0; i < 10; ++i) {
    story.found({});
    story.wait();
  }
  EXPECT_EQ(story.effects().back(), "look up");
  story.found({});
  EXPECT_EQ(story.wait(), 5s);
}

// The name meant another machine when the agent started; later it means this one, where nobody listens.
TEST(HostingMachine, HostsWhenTheNameHasChangedToThisMachine) {
  HostingStory story;
  story.step(DialWanted{});
  story.found({"10.0.0.9"});
  story.effects();
  EXPECT_EQ(story.wait(), 5s);
  EXPECT_THAT(story.early, IsEmpty());
  EXPECT_THAT(story.effects(), ElementsAre("look up"));
  story.found({"10.0.0.9"});
  EXPECT_THAT(story.effects(), IsEmpty());  // the same reason is told once
  story.wait();
  story.effects();
  story.found({"10.0.0.1"});
  EXPECT_THAT(story.effects(), ElementsAre("host"));
  story.hosts();
  EXPECT_THAT(story.effects(), ElementsAre(kHere, "link 10.0.0.1", "dial"));
}

TEST(HostingMachine, TriesAgainWhenThePortIsTaken) {
  HostingStory story;
  story.step(DialWanted{});
  story.found({"10.0.0.1"});
  story.effects();
  story.taken();
  EXPECT_THAT(story.effects(), ElementsAre("another one coordinates it: 10.0.0.1:29400 is in use", "link", "dial"));
  EXPECT_EQ(story.wait(), 1s);
  EXPECT_THAT(story.effects(), ElementsAre("look up"));
  story.found({"10.0.0.1"});
  EXPECT_THAT(story.effects(), ElementsAre("host"));
}

TEST(HostingMachine, TakesNobodysPlaceOnceACoordinatorWasReached) {
  HostingStory story;
  story.step(DialWanted{});
  story.found({"10.0.0.1"});
  story.taken();
  story.reached();
  EXPECT_EQ(story.machine.next_deadline(), std::nullopt);
  story.effects();
  story.step(DialWanted{});  // it was lost
  EXPECT_THAT(story.effects(), ElementsAre("dial"));
  EXPECT_EQ(story.machine.next_deadline(), std::nullopt);
}

TEST(HostingMachine, DropsTheAnswerToAQuestionOfNoMoreInterest) {
  HostingStory story;
  story.found({"10.0.0.9"});
  story.wait();
  story.reached();
  story.effects();
  story.found({"10.0.0.1"});
  EXPECT_THAT(story.effects(), IsEmpty());
}

TEST(HostingMachine, EndsWhenTheMachineRefusesToHost) {
  HostingStory story;
  story.found({"10.0.0.1"});
  story.step(HostingFailed{HostingFailed::Why::kRefused, {ErrorKind::kPlatform, "permission denied"}});
  story.effects();
  ASSERT_TRUE(story.done && story.done->error);
  EXPECT_EQ(story.done->error->message, "permission denied");
}

TEST(HostingMachine, TakesTheUsersWordForAnyAddress) {
  HostingConfig config = HostingStory::ranked(1);
  config.is_host = true;
  HostingStory yes(config);
  EXPECT_THAT(yes.effects(), ElementsAre("host"));
  config.is_host = false;
  HostingStory no(config);
  EXPECT_THAT(no.effects(), ElementsAre(HasSubstr("is_host=false"), "link"));
}

// --- Several agents of static ranks on one machine. ---

TEST(HostingMachine, LeavesAPortThatTheStoreSharesToRankZero) {
  HostingStory story(HostingStory::ranked(1));
  story.step(DialWanted{});
  story.effects();
  story.found({"127.0.0.1"});
  EXPECT_THAT(story.effects(), ElementsAre(HasSubstr("the agent of node rank 0 is to coordinate"), "link", "dial"));
  story.reached();
  EXPECT_EQ(story.machine.next_deadline(), std::nullopt);
}

TEST(HostingMachine, HostsForARankZeroThatDoesNotCome) {
  HostingStory story(HostingStory::ranked(1));
  story.found({"127.0.0.1"});
  Duration waited{};
  for (;;) {
    story.effects();
    waited += story.wait();
    ASSERT_THAT(story.effects(), ElementsAre("look up"));
    story.found({"127.0.0.1"});
    if (story.effects() == std::vector<std::string>{"host"}) break;
    ASSERT_LT(waited, 1min);
  }
  EXPECT_EQ(waited, 10s);
}

TEST(HostingMachine, RankZeroHostsAtOnce) {
  HostingStory story(HostingStory::ranked(0));
  story.effects();
  story.found({"127.0.0.1"});
  EXPECT_THAT(story.effects(), ElementsAre("host"));
}

TEST(HostingMachine, HostsWithAnyRankWhereThePortsDiffer) {
  HostingConfig config = HostingStory::ranked(1);
  config.store_port = 0;
  HostingStory story(config);
  story.effects();
  story.found({"127.0.0.1"});
  EXPECT_THAT(story.effects(), ElementsAre("host"));
}

TEST(HostingMachine, LeavesTheStoresPortToTheCoordinatorOfAnotherProcess) {
  HostingStory story(HostingStory::ranked(0));
  story.found({"127.0.0.1"});
  story.taken();
  story.effects();
  story.reached(true);
  EXPECT_THAT(story.effects(), ElementsAre("leave store port"));
}

TEST(HostingMachine, KeepsTheStoresPortWhereTheCoordinatorIsElsewhereOrHere) {
  HostingStory elsewhere(HostingStory::ranked(0));
  elsewhere.found({"10.0.0.9"});
  elsewhere.effects();
  elsewhere.reached(false);
  EXPECT_THAT(elsewhere.effects(), IsEmpty());
  HostingStory here(HostingStory::ranked(0));
  here.found({"10.0.0.1"});
  here.hosts();
  here.effects();
  here.reached(true);
  EXPECT_THAT(here.effects(), IsEmpty());
}

// --- A host by mistake. ---

TEST(HostingMachine, LeavesHostingWhenTheNameMeansAnotherMachineTwice) {
  HostingStory story;
  story.step(DialWanted{});
  story.found({"10.0.0.1"});
  story.hosts();
  story.reached(true);
  story.effects();
  EXPECT_EQ(story.wait(), 5s);
  story.found({"10.0.0.9"});
  EXPECT_THAT(story.effects(), ElementsAre("look up"));
  story.wait();
  story.found({"10.0.0.9"});
  EXPECT_THAT(story.effects(),
              ElementsAre("look up", "close", "another one coordinates it: node0 (10.0.0.9) is another node"));
  EXPECT_FALSE(story.machine.hosting());
  story.step(DialWanted{});  // the connection to it has ended
  EXPECT_THAT(story.effects(), ElementsAre("link", "dial"));
}

TEST(HostingMachine, StaysTheHostOfARoundThatHasBegun) {
  HostingStory story;
  story.found({"10.0.0.1"});
  story.hosts();
  story.reached(true);
  story.wait();
  story.effects();
  story.found({"10.0.0.9"}, true);
  EXPECT_EQ(story.machine.next_deadline(), std::nullopt);
  EXPECT_THAT(story.effects(), IsEmpty());
}

// --- The end. ---

TEST(HostingMachine, LeavesWhenTheLinkIsClosed) {
  HostingStory story;
  story.found({"10.0.0.9"});
  story.reached();
  story.effects();
  story.step(HangUpWanted{});
  EXPECT_THAT(story.effects(), ElementsAre("hang up"));
  story.step(NodeEnded{});
  EXPECT_THAT(story.effects(), IsEmpty());
  story.step(LinkHungUp{});
  EXPECT_THAT(story.effects(), ElementsAre("done"));
}

TEST(HostingMachine, StaysUntilItsCoordinatorIsDone) {
  HostingStory story;
  story.found({"10.0.0.1"});
  story.hosts();
  story.reached(true);
  story.step(HangUpWanted{});
  story.step(NodeEnded{});
  story.step(LinkHungUp{});
  story.effects();
  EXPECT_FALSE(story.done);
  story.step(HostedJobEnded{});
  EXPECT_THAT(story.effects(), ElementsAre("done"));
}

TEST(HostingMachine, LeavesACoordinatorThatDoesNotEndAfterItsTime) {
  HostingStory story;
  story.found({"10.0.0.1"});
  story.hosts();
  story.reached(true);
  story.step(HangUpWanted{});
  story.step(NodeEnded{});
  story.step(LinkHungUp{});
  story.effects();
  EXPECT_EQ(story.wait(), 31s);
  EXPECT_THAT(story.early, IsEmpty());
  EXPECT_THAT(story.effects(), ElementsAre("done"));
}

TEST(HostingMachine, TellsItsCoordinatorOnceThatTheAgentLeaves) {
  HostingStory story;
  story.found({"10.0.0.1"});
  story.hosts();
  story.reached(true);
  story.effects();
  story.step(EndAsked{SIGTERM});
  EXPECT_THAT(story.effects(), ElementsAre("stop 15"));
  story.step(EndAsked{SIGTERM});
  story.step(HangUpWanted{});
  story.step(NodeEnded{});
  EXPECT_THAT(story.effects(), ElementsAre("hang up"));
}

TEST(HostingMachine, WaitsForNothingWhenTheSentinelIsDead) {
  HostingStory story;
  story.found({"10.0.0.1"});
  story.hosts();
  story.reached(true);
  story.effects();
  story.step(NodeEnded{true});
  EXPECT_THAT(story.effects(), ElementsAre("done"));
}

TEST(HostingMachine, LeavesWithoutALink) {
  HostingStory story;
  story.step(HangUpWanted{});
  story.step(NodeEnded{});
  EXPECT_THAT(story.effects(), ElementsAre("look up", "done"));
}

// --- A coordinator's own process. ---

TEST(HostingMachine, AProcessOfItsOwnEndsWhereItCannotHost) {
  HostingStory elsewhere(HostingStory::alone());
  elsewhere.found({"10.0.0.9"});
  elsewhere.effects();
  EXPECT_EQ(elsewhere.done->error->message, "cannot coordinate the job here: node0 (10.0.0.9) is another node");
  HostingStory taken(HostingStory::alone());
  taken.found({"10.0.0.1"});
  taken.taken();
  taken.effects();
  EXPECT_EQ(taken.done->error->message, "cannot coordinate the job here: 10.0.0.1:29400 is in use");
}

TEST(HostingMachine, AProcessOfItsOwnWaitsForItsName) {
  HostingStory story(HostingStory::alone());
  story.found({});
  EXPECT_THAT(story.effects(), ElementsAre("look up", "node0: Name or service not known; trying again"));
  EXPECT_EQ(story.wait(), 100ms);
  story.step(EndAsked{SIGINT});
  story.effects();
  EXPECT_EQ(story.done->signal, SIGINT);
}

TEST(HostingMachine, AProcessOfItsOwnHearsEverySignalAndEndsWithItsJob) {
  HostingStory story(HostingStory::alone());
  story.found({"10.0.0.1"});
  story.hosts();
  EXPECT_THAT(story.effects(), ElementsAre("look up", "host", "coordinating job fer: node0 (10.0.0.1) is this node"));
  EXPECT_EQ(story.machine.next_deadline(), std::nullopt);
  story.step(EndAsked{SIGTERM});
  story.step(EndAsked{SIGTERM});
  EXPECT_THAT(story.effects(),
              ElementsAre("got SIGTERM: ending the job", "stop 15", "got SIGTERM: ending the job", "stop 15"));
  story.step(HostedJobEnded{{JobEnd::Kind::kStopped, 143, {}}});
  story.effects();
  EXPECT_EQ(story.done->end->exit_status, 143);
}

// Any events in any order: no deadline in the past, nothing after the end, a link before it is used, no second
// coordinator beside the first.
TEST(HostingMachine, KeepsItsPromisesWhateverHappens) {
  for (unsigned seed = 1; seed <= 3000; ++seed) {
    std::mt19937 random(seed);
    const auto below = [&](unsigned n) { return static_cast<unsigned>(random() % n); };
    HostingConfig config = below(2) == 0 ? HostingStory::plain() : HostingStory::ranked(static_cast<int>(below(2)));
    if (below(5) == 0) config.is_host = below(2) == 0;
    config.own_process = below(5) == 0;
    HostingStory story(config);
    bool linked = false, hosts = false, asked = false, ended = false;
    for (int i = 0; i < 60; ++i) {
      story.now += below(3) == 0 ? Duration(3s) : Duration(10ms);
      switch (below(12)) {
        case 0: story.found({"10.0.0.1"}, below(4) == 0); break;
        case 1: story.found({"10.0.0.9"}, below(4) == 0); break;
        case 2: story.found({}); break;
        case 3: story.step(DialWanted{}); break;
        case 4: story.reached(below(2) == 0); break;
        case 5:
          if (below(8) == 0) story.step(HangUpWanted{});
          break;
        case 6:
          if (below(8) == 0) story.step(EndAsked{SIGTERM});
          break;
        case 7:
          if (below(10) == 0) story.step(NodeEnded{below(3) == 0});
          break;
        case 8:
          if (hosts) story.step(HostedJobEnded{});
          break;
        case 9: story.step(LinkHungUp{}); break;
        default: break;
      }
      story.step(HostingDeadline{});
      for (std::vector<std::string> texts = story.effects(); !texts.empty(); texts = story.effects()) {
        for (const std::string& text : texts) {
          ASSERT_FALSE(ended) << seed << ": " << text;
          ended |= text == "done";
          if (text.starts_with("link")) linked = true;
          if (text == "dial" || text == "hang up") {
            ASSERT_TRUE(linked) << seed;
          }
          if (text == "close" || text.starts_with("stop")) {
            ASSERT_TRUE(hosts) << seed;
          }
          if (text == "close") hosts = false;
          if (text == "host") {
            ASSERT_FALSE(std::exchange(asked, true)) << seed;
          }
          if (text == "host") {
            ASSERT_FALSE(hosts) << seed;
          }
        }
        if (std::exchange(asked, false)) {
          hosts = below(2) == 0;
          hosts ? story.hosts() : story.taken();
        }
      }
      const std::optional<TimePoint> next = story.machine.next_deadline();
      ASSERT_TRUE(!next || *next > story.now) << seed;
      ASSERT_TRUE(!ended || !next) << seed;
    }
  }
}

// --- By a seat. ---

const std::string kSeated = "this agent coordinates the job: it has the job's seat in etcd";

TEST(HostingMachine, HostsWithTheSeatAndNeverLooksAtAName) {
  HostingStory story(HostingStory::by_seat());
  story.step(DialWanted{});
  story.step(HostingDeadline{});
  EXPECT_THAT(story.effects(), IsEmpty());
  EXPECT_EQ(story.machine.next_deadline(), std::nullopt);
  story.step(SeatTaken{});
  EXPECT_THAT(story.effects(), ElementsAre("host"));
  story.hosts();
  EXPECT_THAT(story.effects(), ElementsAre(kSeated, "link 10.0.0.1", "dial"));
}

TEST(HostingMachine, GoesWhereTheSeatIsAgainAndAgain) {
  HostingStory story(HostingStory::by_seat());
  story.step(DialWanted{});
  story.elsewhere("10.0.0.2");
  EXPECT_THAT(story.effects(), ElementsAre("link 10.0.0.2", "dial"));
  story.reached();
  story.elsewhere("10.0.0.3");
  EXPECT_THAT(story.effects(), ElementsAre("link 10.0.0.3", "dial"));
}

TEST(HostingMachine, ClosesItsCoordinatorWhenTheSeatIsGoneAndMayHaveItAgain) {
  HostingStory story(HostingStory::by_seat());
  story.step(DialWanted{});
  story.step(SeatTaken{});
  story.hosts();
  story.reached(true);
  story.effects();
  story.elsewhere("10.0.0.2");  // of before it had the seat
  EXPECT_THAT(story.effects(), IsEmpty());
  story.step(SeatGone{"it ran out"});
  EXPECT_THAT(story.effects(),
              ElementsAre("this agent coordinates the job no more: the seat in etcd is gone (it ran out)", "close"));
  story.step(DialWanted{});
  EXPECT_THAT(story.effects(), IsEmpty());  // where to is not known yet
  story.step(SeatTaken{});
  story.hosts();
  EXPECT_THAT(story.effects(), ElementsAre("host", kSeated, "link 10.0.0.1", "dial"));
}

TEST(HostingMachine, AHolderThatWasReachedAndListensNoMoreHasEnded) {
  HostingStory story(HostingStory::by_seat());
  story.step(DialWanted{});
  story.elsewhere("10.0.0.2", 7);
  story.effects();
  story.step(LinkRefused{});
  EXPECT_THAT(story.effects(), IsEmpty()) << "it may not listen yet";
  story.reached();
  story.step(LinkRefused{});
  EXPECT_THAT(story.effects(), IsEmpty()) << "of an address beside the one that was reached";
  story.step(LinkGone{});
  story.step(LinkRefused{});
  EXPECT_THAT(story.effects(), ElementsAre("gone 7"));
  story.elsewhere("10.0.0.3", 8);
  story.effects();
  story.step(LinkRefused{});
  EXPECT_THAT(story.effects(), IsEmpty()) << "the next one was not reached yet";
}

TEST(HostingMachine, ByANameNobodyIsSaidToHaveEnded) {
  HostingStory story;
  story.step(DialWanted{});
  story.found({"10.0.0.2"});
  story.reached();
  story.step(LinkGone{});
  story.effects();
  story.step(LinkRefused{});
  EXPECT_THAT(story.effects(), IsEmpty());
}

TEST(HostingMachine, ARunningNodeThatCannotCoordinateLeavesTheSeat) {
  HostingStory story(HostingStory::by_seat());
  story.step(DialWanted{});
  story.elsewhere("10.0.0.2");
  story.reached();
  story.effects();
  story.step(SeatTaken{});
  story.taken();
  EXPECT_THAT(story.effects(), ElementsAre("host", HasSubstr("cannot coordinate the job"), "leave seat"));
  EXPECT_FALSE(story.machine.done());
}

TEST(HostingMachine, WhoeverLeavesTakesNoSeat) {
  HostingStory story(HostingStory::by_seat());
  story.step(DialWanted{});
  story.elsewhere("10.0.0.2");
  story.reached();
  story.effects();
  story.step(EndAsked{SIGTERM});
  EXPECT_THAT(story.effects(), ElementsAre("withdraw"));
  story.step(SeatTaken{});  // asked for before
  EXPECT_THAT(story.effects(), ElementsAre("leave seat"));
  story.elsewhere("10.0.0.3");
  EXPECT_THAT(story.effects(), IsEmpty());
  story.step(HangUpWanted{});
  story.step(LinkHungUp{});
  story.step(NodeEnded{});
  EXPECT_THAT(story.effects(), ElementsAre("hang up", "done"));
}

}  // namespace
}  // namespace ferrun
