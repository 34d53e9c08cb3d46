#include "rendezvous/etcd/seat_machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ferrun::etcd {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A machine with a clock of its own; what it asks as the path's end, its other effects as words.
class SeatStory : public ::testing::Test {
 protected:
  SeatStory() : machine(config(), now) {}

  static SeatConfig config() {
    SeatConfig config;
    config.prefix = "/job/";
    config.agent = "me";
    config.servers = "etcd (a:1)";
    return config;
  }

  std::vector<std::string> effects() {
    std::vector<std::string> texts;
    for (const SeatEffect& effect : machine.take_effects()) {
      texts.push_back(std::visit([this](const auto& what) { return describe(what); }, effect));
    }
    return texts;
  }
  void answer(const Reply& reply) { machine.answered(number, {std::nullopt, reply}, now); }
  void refuse(Refusal refusal, const std::string& line) { machine.answered(number, {Failure{refusal, line}, {}}, now); }
  void advance(Duration time) {
    now += time;
    machine.time_has_come(now);
  }

  static Pair seat_of(const std::string& agent, int64_t created, int64_t lease, bool listens = true) {
    const std::vector<std::string> addresses =
        listens ? std::vector<std::string>{"10.0.0.2"} : std::vector<std::string>{};
    return {"/job/seat", encode(SeatHolder{agent, "node1", addresses, 4000}), created, created + 1, lease};
  }
  static Reply granted(int64_t lease) {
    Reply reply;
    reply.lease = lease;
    reply.seconds = 2;
    return reply;
  }
  static Reply with(std::vector<Pair> pairs, bool succeeded = true, int64_t revision = 10) {
    Reply reply;
    reply.pairs = std::move(pairs);
    reply.succeeded = succeeded;
    reply.revision = revision;
    return reply;
  }
  void win() {
    effects();
    answer(with({}));
    effects();
    answer(granted(7));
    effects();
    answer(with({{"/job/state", "left", 3, 9, 5}}));
  }

  TimePoint now{1000s};
  SeatMachine machine;
  uint64_t number = 0;  // of the newest request
  std::string body;

 private:
  std::string describe(const Ask& ask) {
    number = ask.number;
    body = ask.request.body;
    return ask.request.path.substr(ask.request.path.rfind('/') + 1);
  }
  std::string describe(const SeatWon& won) { return "won " + won.state.value_or("nothing"); }
  std::string describe(const SeatLost& lost) { return "lost: " + lost.why; }
  std::string describe(const SeatFound& found) { return "found " + found.holder.agent; }
  std::string describe(const Saved& saved) { return "saved " + std::to_string(saved.ticket) + saved.error; }
  std::string describe(const SeatEnded&) { return "ended"; }
  std::string describe(const Trouble& trouble) { return trouble.line; }
};

TEST_F(SeatStory, TakesAFreeSeatWithWhatIsLeft) {
  EXPECT_THAT(effects(), ElementsAre("txn"));
  answer(with({}));
  EXPECT_THAT(effects(), ElementsAre("grant"));
  answer(granted(7));
  EXPECT_THAT(effects(), ElementsAre("txn"));
  answer(with({{"/job/state", "left", 3, 9, 5}}));
  EXPECT_THAT(effects(), ElementsAre("won left"));
  EXPECT_EQ(machine.valid_until(), now + 1800ms);
}

TEST_F(SeatStory, FindsWhoeverHasItOnceThatOneListens) {
  effects();
  answer(with({seat_of("other", 4, 6, /*listens=*/false)}));
  EXPECT_THAT(effects(), IsEmpty());
  advance(50ms);
  EXPECT_THAT(effects(), ElementsAre("txn"));
  answer(with({seat_of("other", 4, 6)}));
  EXPECT_THAT(effects(), ElementsAre("found other"));
  advance(300ms);
  EXPECT_THAT(effects(), ElementsAre("txn"));
  answer(with({seat_of("other", 4, 6)}));
  EXPECT_THAT(effects(), IsEmpty());  // told once
}

TEST_F(SeatStory, AClaimWhoseAnswerWasLostIsItsOwn) {
  effects();
  answer(with({}));
  effects();
  answer(granted(7));
  effects();
  refuse(Refusal::kNoAnswer, "no answer");
  advance(100ms);
  EXPECT_THAT(effects(), ElementsAre("txn"));
  answer(with({seat_of("me", 11, 7, false)}, /*succeeded=*/false));
  EXPECT_THAT(effects(), ElementsAre("won nothing"));
}

TEST_F(SeatStory, StopsActingBeforeItsLeaseCanBeOver) {
  win();
  effects();
  advance(300ms);
  EXPECT_THAT(effects(), ElementsAre("keepalive"));
  advance(1499ms);  // no answer
  EXPECT_TRUE(machine.held());
  advance(1ms);
  EXPECT_THAT(effects(), ElementsAre(HasSubstr("lost: etcd has not confirmed in time")));
  Reply late;
  late.seconds = 2;
  answer(late);
  EXPECT_FALSE(machine.held());
}

TEST_F(SeatStory, ALeaseCountsFromTheQuestion) {
  win();
  effects();
  const TimePoint asked = now += 300ms;
  machine.time_has_come(now);
  effects();
  now += 400ms;
  Reply renewed;
  renewed.seconds = 2;
  answer(renewed);
  EXPECT_EQ(machine.valid_until(), asked + 1800ms);
}

TEST_F(SeatStory, ALeaseThatRanOutIsLost) {
  win();
  effects();
  advance(300ms);
  effects();
  answer({});
  EXPECT_EQ(effects().front(), "lost: its lease in etcd has run out");
}

TEST_F(SeatStory, WhoHasLostItMayHaveItAgain) {
  win();
  effects();
  advance(1800ms);
  EXPECT_THAT(effects(), ElementsAre(HasSubstr("lost: etcd has not confirmed"), "txn")) << "it looks who has it";
  machine.end(/*job_is_over=*/true, now);  // of the coordinator that was closed for that
  EXPECT_THAT(effects(), ElementsAre("ended"));
  answer(with({}));  // meanwhile another one has had it, and is gone
  EXPECT_THAT(effects(), ElementsAre("grant"));
}

TEST_F(SeatStory, WritesUnderBothRevisions) {
  win();
  effects();
  machine.save(1, "text", now);
  EXPECT_THAT(effects(), ElementsAre("grant"));  // for the state, which outlives the seat
  answer(granted(8));
  EXPECT_THAT(effects(), ElementsAre("txn"));
  EXPECT_THAT(body, HasSubstr(R"("create_revision":"10")"));
  EXPECT_THAT(body, HasSubstr(R"("mod_revision":"9")"));
  answer(with({}, true, 12));
  EXPECT_THAT(effects(), ElementsAre("saved 1"));
  machine.save(2, "more", now);
  effects();
  EXPECT_THAT(body, HasSubstr(R"("mod_revision":"12")"));
  // It was written, and the answer lost.
  answer(with({seat_of("me", 10, 7), {"/job/state", "more", 3, 13, 8}}, false));
  EXPECT_THAT(effects(), ElementsAre("saved 2"));
  machine.save(3, "last", now);
  effects();
  answer(with({seat_of("other", 14, 20)}, false));
  EXPECT_THAT(effects(), ElementsAre("lost: another agent has it", HasSubstr("saved 3this agent does not"), "txn"));
}

TEST_F(SeatStory, AFullEtcdIsTheSaversTrouble) {
  win();
  effects();
  machine.save(1, "text", now);
  effects();
  answer(granted(8));
  effects();
  refuse(Refusal::kFull, "database space exceeded");
  EXPECT_THAT(effects(), ElementsAre(HasSubstr("saved 1etcd is full and takes no writes")));
  EXPECT_TRUE(machine.held());
}

TEST_F(SeatStory, LeavesTheStateToAnotherOneAndNothingOfAJobThatIsOver) {
  win();
  effects();
  machine.end(/*job_is_over=*/false, now);
  EXPECT_THAT(effects(), ElementsAre("txn"));
  EXPECT_THAT(body, ::testing::Not(HasSubstr(to_base64("/job/state"))));
  answer(with({}));
  EXPECT_EQ(effects().front(), "ended");
  EXPECT_FALSE(machine.held());

  SeatStory::now += 10s;
  machine = SeatMachine(config(), now);
  win();
  effects();
  machine.end(/*job_is_over=*/true, now);
  effects();
  EXPECT_THAT(body, HasSubstr(to_base64("/job/state")));
}

TEST_F(SeatStory, AHolderThatHasEndedIsNotWaitedFor) {
  effects();
  answer(with({seat_of("other", 4, 6)}));
  effects();
  machine.holder_is_gone(5, now);  // another one's
  EXPECT_THAT(effects(), IsEmpty());
  machine.holder_is_gone(6, now);
  EXPECT_THAT(effects(), ElementsAre("revoke"));
  answer({});
  EXPECT_THAT(effects(), ElementsAre("grant"));
}

TEST_F(SeatStory, ItsOwnOldSeatIsGivenUpFirst) {
  effects();
  answer(with({seat_of("me", 4, 6)}));
  EXPECT_THAT(effects(), ElementsAre("revoke"));
  answer({});
  EXPECT_THAT(effects(), ElementsAre("txn"));
}

TEST_F(SeatStory, SaysWhatFailsAfterASecondAndEveryFive) {
  std::vector<std::string> lines;
  for (int i = 0; i < 120; ++i) {
    for (const std::string& text : effects()) {
      if (text != "txn") lines.push_back(text);
    }
    refuse(Refusal::kNoAnswer, "a:1 refused the connection");
    advance(100ms);
  }
  EXPECT_THAT(lines, ElementsAre(HasSubstr("etcd (a:1): no answer (a:1 refused the connection); workers run on"),
                                 HasSubstr("no answer"), HasSubstr("no answer")));
  effects();
  answer(with({seat_of("other", 4, 6)}));
  EXPECT_THAT(effects(), ElementsAre("etcd (a:1) answers again", "found other"));
}

}  // namespace
}  // namespace ferrun::etcd
