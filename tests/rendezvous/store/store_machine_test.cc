#include "rendezvous/store/store_machine.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/rendezvous/io/store_harness.h"

namespace ferrun {
namespace {

namespace msg = store_messages;
using msg::number;
using msg::text;

constexpr StoreConnectionId kA = 1, kB = 2, kC = 3, kD = 4;
const std::string kNothing;
const std::string kReady(1, '\0'), kNotReady(1, '\1'), kStopWaiting(1, '\0'), kCanceled(1, '\1');

class StoreMachineTest : public ::testing::Test {
 protected:
  std::string value_of(const std::string& key) { return store.ask(kProbe, msg::get(key)); }

  StoreHarness store;

 private:
  static constexpr StoreConnectionId kProbe = 99;
};

TEST_F(StoreMachineTest, SetStoresAndAnswersNothing) {
  EXPECT_EQ(store.ask(kA, msg::set("k", "v")), kNothing);
  EXPECT_EQ(store.ask(kB, msg::get("k")), text("v"));
}

TEST_F(StoreMachineTest, SetReplacesTheValue) {
  store.send(kA, msg::set("k", "a long first value") + msg::set("k", "v"));
  EXPECT_EQ(value_of("k"), text("v"));
}

TEST_F(StoreMachineTest, GetOfAnAbsentKeyIsEmpty) { EXPECT_EQ(store.ask(kA, msg::get("k")), text("")); }

TEST_F(StoreMachineTest, CompareSetStoresAnAbsentKeyThatWasExpectedToBeEmpty) {
  EXPECT_EQ(store.ask(kA, msg::compare_set("k", "", "new")), text("new"));
  EXPECT_EQ(value_of("k"), text("new"));
}

TEST_F(StoreMachineTest, CompareSetAnswersWhatWasExpectedOfAnAbsentKeyAndStoresNothing) {
  EXPECT_EQ(store.ask(kA, msg::compare_set("k", "old", "new")), text("old"));
  EXPECT_EQ(store.machine().key_count(), 0u);
}

TEST_F(StoreMachineTest, CompareSetReplacesAnEqualValue) {
  store.send(kA, msg::set("k", "old"));
  EXPECT_EQ(store.ask(kA, msg::compare_set("k", "old", "new")), text("new"));
}

TEST_F(StoreMachineTest, CompareSetAnswersTheCurrentValueWhenItDiffers) {
  store.send(kA, msg::set("k", "current"));
  EXPECT_EQ(store.ask(kA, msg::compare_set("k", "old", "new")), text("current"));
  EXPECT_EQ(store.ask(kA, msg::compare_set("k", "", "new")), text("current"));
  EXPECT_EQ(value_of("k"), text("current"));
}

TEST_F(StoreMachineTest, CompareSetWakesWaitersEvenWhenItStoresNothing) {
  store.send(kA, msg::wait({"k"}));
  store.send(kB, msg::compare_set("k", "old", "new"));
  EXPECT_EQ(store.received(kA), kStopWaiting);
}

TEST_F(StoreMachineTest, AddCountsFromZeroInDecimalText) {
  EXPECT_EQ(store.ask(kA, msg::add("n", 5)), number(5));
  EXPECT_EQ(store.ask(kA, msg::add("n", -12)), number(-7));
  EXPECT_EQ(value_of("n"), text("-7"));
}

TEST_F(StoreMachineTest, AddReadsNumbersAsTorchDoes) {
  for (const auto& [stored, sum] : std::map<std::string, int64_t>{
           {"41", 42}, {" 41", 42}, {"+41", 42}, {"-1", 0}, {"41abc", 42}, {"\t41 1", 42}, {"041", 42}, {"41.9", 42}}) {
    store.send(kA, msg::set("n", stored));
    EXPECT_EQ(store.ask(kA, msg::add("n", 1)), number(sum)) << stored;
  }
}

TEST_F(StoreMachineTest, AddWrapsAroundAtTheLargestNumber) {
  store.send(kA, msg::set("n", std::to_string(INT64_MAX)));
  EXPECT_EQ(store.ask(kA, msg::add("n", 1)), number(INT64_MIN));
}

TEST_F(StoreMachineTest, AddToWhatIsNoNumberClosesTheConnectionAndChangesNothing) {
  StoreConnectionId client = 10;
  for (const char* stored : {"", "abc", " ", "+", "-", "+-1", "9223372036854775808"}) {
    store.send(kA, msg::set("n", stored));
    EXPECT_EQ(store.ask(++client, msg::add("n", 1)), kNothing);
    EXPECT_NE(store.closed(client), "") << stored;
    EXPECT_EQ(value_of("n"), text(stored));
  }
}

TEST_F(StoreMachineTest, CheckIsReadyOnlyWhenEveryKeyIsPresent) {
  store.send(kA, msg::set("a", "") + msg::set("b", "1"));
  EXPECT_EQ(store.ask(kA, msg::check({"a", "b"})), kReady);
  EXPECT_EQ(store.ask(kA, msg::check({"a", "c"})), kNotReady);
  EXPECT_EQ(store.ask(kA, msg::check({})), kReady);
}

TEST_F(StoreMachineTest, CheckCountsAQueueThatIsNotEmpty) {
  store.send(kA, msg::queue_push("q", "1"));
  EXPECT_EQ(store.ask(kA, msg::check({"q"})), kReady);
  store.ask(kA, msg::queue_pop("q"));
  EXPECT_EQ(store.ask(kA, msg::check({"q"})), kNotReady);
}

TEST_F(StoreMachineTest, WaitForPresentKeysIsAnsweredAtOnce) {
  store.send(kA, msg::set("a", "1"));
  EXPECT_EQ(store.ask(kB, msg::wait({"a"})), kStopWaiting);
  EXPECT_EQ(store.ask(kB, msg::wait({})), kStopWaiting);
}

TEST_F(StoreMachineTest, WaitIsAnsweredWhenTheLastOfItsKeysComes) {
  store.send(kA, msg::set("a", "1"));
  EXPECT_EQ(store.ask(kB, msg::wait({"a", "b", "c", "c"})), kNothing);
  store.send(kA, msg::set("c", "1"));
  EXPECT_EQ(store.received(kB), kNothing);
  store.send(kA, msg::set("b", "1"));
  EXPECT_EQ(store.received(kB), kStopWaiting);
  EXPECT_EQ(store.machine().waiting_connections(), 0u);
}

TEST_F(StoreMachineTest, WaitIsAnsweredOnce) {
  store.send(kB, msg::wait({"a"}));
  store.send(kA, msg::set("a", "1") + msg::set("a", "2"));
  EXPECT_EQ(store.received(kB), kStopWaiting);
}

TEST_F(StoreMachineTest, EveryOperationThatWritesWakesWaiters) {
  for (const std::string& write :
       {msg::set("k", "1"), msg::compare_set("k", "", "1"), msg::add("k", 1), msg::append("k", "1"),
        msg::multi_set({{"other", "1"}, {"k", "1"}}), msg::queue_push("k", "1"), msg::barrier("k", 1)}) {
    StoreHarness fresh;
    fresh.send(kB, msg::wait({"k"}));
    fresh.send(kA, write);
    EXPECT_EQ(fresh.received(kB), kStopWaiting) << int{write[0]};
  }
}

TEST_F(StoreMachineTest, OneWriteWakesEveryWaiter) {
  for (const StoreConnectionId client : {kA, kB, kC}) store.send(client, msg::wait({"k"}));
  store.send(kD, msg::set("k", "1"));
  for (const StoreConnectionId client : {kA, kB, kC}) EXPECT_EQ(store.received(client), kStopWaiting);
}

TEST_F(StoreMachineTest, DeletingAKeyWakesNobody) {
  store.send(kA, msg::wait({"k"}));
  EXPECT_EQ(store.ask(kB, msg::delete_key("k")), number(0));
  EXPECT_EQ(store.received(kA), kNothing);
}

TEST_F(StoreMachineTest, ASecondWaitBeforeTheFirstIsAnsweredClosesTheConnection) {
  store.send(kA, msg::wait({"a"}));
  store.send(kA, msg::wait({"b"}));
  EXPECT_NE(store.closed(kA).find("second wait"), std::string::npos);
  EXPECT_EQ(store.machine().waiting_connections(), 0u);
  store.send(kB, msg::set("a", "1") + msg::set("b", "1"));
}

TEST_F(StoreMachineTest, CancelWaitForgetsTheWait) {
  store.send(kA, msg::wait({"a", "b"}));
  EXPECT_EQ(store.ask(kA, msg::cancel_wait()), kCanceled);
  store.send(kB, msg::set("a", "1") + msg::set("b", "1"));
  EXPECT_EQ(store.received(kA), kNothing);
}

TEST_F(StoreMachineTest, CancelWaitIsAnsweredAfterAnAnswerThatWasFaster) {
  store.send(kA, msg::wait({"a"}));
  store.send(kB, msg::set("a", "1"));
  EXPECT_EQ(store.ask(kA, msg::cancel_wait()), kStopWaiting + kCanceled);
}

TEST_F(StoreMachineTest, CancelWaitIsAnsweredWithoutAWait) { EXPECT_EQ(store.ask(kA, msg::cancel_wait()), kCanceled); }

TEST_F(StoreMachineTest, AClientWaitsAgainAfterCancelling) {
  store.send(kA, msg::wait({"a", "b"}) + msg::cancel_wait() + msg::wait({"b", "c"}));
  EXPECT_EQ(store.received(kA), kCanceled);
  store.send(kB, msg::set("a", "1") + msg::set("b", "1"));
  EXPECT_EQ(store.received(kA), kNothing);
  store.send(kB, msg::set("c", "1"));
  EXPECT_EQ(store.received(kA), kStopWaiting);
}

TEST_F(StoreMachineTest, AClientThatWentIsNotAnswered) {
  store.send(kA, msg::wait({"k"}));
  store.send(kB, msg::wait({"k"}));
  store.disconnect(kA);
  EXPECT_EQ(store.machine().waiting_connections(), 1u);
  store.send(kC, msg::set("k", "1"));
  EXPECT_EQ(store.received(kA), kNothing);
  EXPECT_EQ(store.received(kB), kStopWaiting);
}

TEST_F(StoreMachineTest, WhatAClientStoredStaysWhenItGoes) {
  store.send(kA, msg::set("k", "v"));
  store.disconnect(kA);
  EXPECT_EQ(value_of("k"), text("v"));
}

TEST_F(StoreMachineTest, NumKeysCountsKeysButNoQueues) {
  store.send(kA, msg::set("a", "1") + msg::queue_push("q", "1"));
  EXPECT_EQ(store.ask(kA, msg::add("init/", 1) + msg::get_num_keys()), number(1) + number(2));
}

TEST_F(StoreMachineTest, DeleteKeySaysWhetherThereWasOne) {
  store.send(kA, msg::set("k", "v"));
  EXPECT_EQ(store.ask(kA, msg::delete_key("k")), number(1));
  EXPECT_EQ(store.ask(kA, msg::delete_key("k")), number(0));
}

TEST_F(StoreMachineTest, DeleteKeyLeavesAQueueOfThatName) {
  store.send(kA, msg::queue_push("q", "1"));
  EXPECT_EQ(store.ask(kA, msg::delete_key("q")), number(0));
  EXPECT_EQ(store.ask(kA, msg::queue_len("q")), number(1));
}

TEST_F(StoreMachineTest, AppendCreatesAndExtends) {
  EXPECT_EQ(store.ask(kA, msg::append("k", "ab") + msg::append("k", "c")), kNothing);
  EXPECT_EQ(value_of("k"), text("abc"));
}

TEST_F(StoreMachineTest, MultiGetAnswersInOrderAndAbsentKeysEmpty) {
  store.send(kA, msg::multi_set({{"a", "1"}, {"b", "22"}}));
  EXPECT_EQ(store.ask(kA, msg::multi_get({"b", "x", "a", "b"})), text("22") + text("") + text("1") + text("22"));
  EXPECT_EQ(store.ask(kA, msg::multi_get({})), kNothing);
}

TEST_F(StoreMachineTest, MultiGetRefusesAReplyBeyondTheLargestMessage) {
  store.send(kA, msg::set("k", std::string(kStoreMaxValueBytes, 'v')));
  store.send(kB, msg::multi_get(msg::Keys(1000, "k")));
  EXPECT_NE(store.closed(kB), "");
}

TEST_F(StoreMachineTest, MultiSetKeepsTheLastOfEqualKeys) {
  EXPECT_EQ(store.ask(kA, msg::multi_set({{"a", "1"}, {"a", "2"}})), kNothing);
  EXPECT_EQ(value_of("a"), text("2"));
}

TEST_F(StoreMachineTest, PingEchoesItsNonce) { EXPECT_EQ(store.ask(kA, msg::ping(0x89ABCDEF)), msg::word(0x89ABCDEF)); }

TEST_F(StoreMachineTest, ListKeysNamesEveryKeyButNoQueues) {
  EXPECT_EQ(store.ask(kA, msg::list_keys()), number(0));
  store.send(kA, msg::set("a", "1") + msg::queue_push("q", "1"));
  EXPECT_EQ(store.ask(kA, msg::list_keys()), number(1) + text("a"));
  store.send(kA, msg::set("bb", "1"));
  const std::string reply = store.ask(kA, msg::list_keys());
  EXPECT_TRUE(reply == number(2) + text("a") + text("bb") || reply == number(2) + text("bb") + text("a"));
}

TEST_F(StoreMachineTest, QueuesAreFirstInFirstOutAndTellTheirLengthBeforeThePop) {
  store.send(kA, msg::queue_push("q", "first") + msg::queue_push("q", "second"));
  EXPECT_EQ(store.ask(kA, msg::queue_len("q")), number(2));
  EXPECT_EQ(store.ask(kB, msg::queue_pop("q")), number(2) + text("first"));
  EXPECT_EQ(store.ask(kB, msg::queue_pop("q")), number(1) + text("second"));
  EXPECT_EQ(store.ask(kB, msg::queue_pop("q")), number(0));
  EXPECT_EQ(store.ask(kA, msg::queue_len("q")), number(0));
}

TEST_F(StoreMachineTest, QueuesAndKeysOfOneNameAreApart) {
  store.send(kA, msg::set("q", "key") + msg::queue_push("q", "item"));
  EXPECT_EQ(value_of("q"), text("key"));
  EXPECT_EQ(store.ask(kA, msg::queue_pop("q")), number(1) + text("item"));
}

TEST_F(StoreMachineTest, APushWakesOneWaiterFirstComeFirst) {
  for (const StoreConnectionId client : {kA, kB}) store.send(client, msg::wait({"q"}));
  store.send(kC, msg::queue_push("q", "1"));
  EXPECT_EQ(store.received(kA), kStopWaiting);
  EXPECT_EQ(store.received(kB), kNothing);
  store.send(kC, msg::queue_push("q", "2"));
  EXPECT_EQ(store.received(kB), kStopWaiting);
}

TEST_F(StoreMachineTest, APushPassesOverAWaiterThatWent) {
  for (const StoreConnectionId client : {kA, kB}) store.send(client, msg::wait({"q"}));
  store.disconnect(kA);
  store.send(kC, msg::queue_push("q", "1"));
  EXPECT_EQ(store.received(kB), kStopWaiting);
}

TEST_F(StoreMachineTest, BarrierReleasesAllWhenTheLastArrives) {
  EXPECT_EQ(store.ask(kA, msg::barrier("b", 3)), kNothing);
  EXPECT_EQ(store.ask(kB, msg::barrier("b", 3)), kNothing);
  EXPECT_EQ(store.ask(kC, msg::barrier("b", 3)), kStopWaiting);
  EXPECT_EQ(store.received(kA), kStopWaiting);
  EXPECT_EQ(store.received(kB), kStopWaiting);
  EXPECT_EQ(value_of("b"), text("3"));
}

TEST_F(StoreMachineTest, BarrierIsNeverReset) {
  for (const StoreConnectionId client : {kA, kB}) store.send(client, msg::barrier("b", 2));
  EXPECT_EQ(store.ask(kC, msg::barrier("b", 2)), kStopWaiting);
  EXPECT_EQ(value_of("b"), text("3"));
}

TEST_F(StoreMachineTest, CancelledBarrierStaysCounted) {
  store.send(kA, msg::barrier("b", 2));
  EXPECT_EQ(store.ask(kA, msg::cancel_wait()), kCanceled);
  EXPECT_EQ(store.ask(kB, msg::barrier("b", 2)), kStopWaiting);
  EXPECT_EQ(store.received(kA), kNothing);
}

TEST_F(StoreMachineTest, BarrierIsNotReleasedByASet) {
  store.send(kA, msg::barrier("b", 2));
  store.send(kB, msg::set("b", "1"));
  EXPECT_EQ(store.received(kA), kNothing);
  EXPECT_EQ(store.ask(kB, msg::barrier("b", 2)), kStopWaiting);
  EXPECT_EQ(store.received(kA), kStopWaiting);
}

TEST_F(StoreMachineTest, BarrierOnWhatIsNoNumberClosesTheConnection) {
  store.send(kA, msg::set("b", "x"));
  store.send(kB, msg::barrier("b", 2));
  EXPECT_NE(store.closed(kB), "");
}

TEST_F(StoreMachineTest, AClientThatWentFromABarrierIsNotAnswered) {
  store.send(kA, msg::barrier("b", 2));
  store.disconnect(kA);
  EXPECT_EQ(store.ask(kB, msg::barrier("b", 2)), kStopWaiting);
  EXPECT_EQ(store.received(kA), kNothing);
}

TEST(StoreEffects, JoinsRepliesInARowToOneConnection) {
  StoreEffects effects;
  effects.reply(1, [](std::string& out) { out += "ab"; });
  effects.reply(1, [](std::string& out) { out += "c"; });
  effects.reply(2, [](std::string& out) { out += "d"; });
  effects.reply(1, [](std::string& out) { out += "e"; });
  ASSERT_EQ(effects.all().size(), 3u);
  EXPECT_EQ(effects.bytes_of(effects.all()[0]), "abc");
  EXPECT_EQ(effects.bytes_of(effects.all()[1]), "d");
  EXPECT_EQ(effects.bytes_of(effects.all()[2]), "e");
}

}  // namespace
}  // namespace ferrun
