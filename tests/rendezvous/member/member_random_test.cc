// Random coordinators: honest ones, liars, silent ones, ones that come and go, and workers that end whenever they like.
// What must hold in all cases is checked after every step, and that every kind of event met every phase. A failing run
// names its seed.
#include <gtest/gtest.h>

#include <csignal>
#include <random>
#include <set>

#include "rendezvous/member/member_machine.h"

namespace ferrun {
namespace {

using namespace std::chrono_literals;
using Phase = MemberMachine::Phase;

// Phase and event (or message of the coordinator) that met.
using Meeting = std::pair<int, std::string>;

class RandomMember {
 public:
  explicit RandomMember(uint64_t seed, std::set<Meeting>& seen) : random_(seed), seen_(seen), machine_(config(), now_) {
    take_effects();
  }

  void run(int steps) {
    for (int at = 0; at < steps; ++at) {
      if (done_ && chance(30)) return;
      now_ += milliseconds(chance(90) ? pick(0, 50) : pick(0, 4000));
      if (machine_.next_deadline() && chance(20)) now_ = std::max(now_, *machine_.next_deadline());
      answer_heartbeats();
      step(chance(20) ? MemberEvent(MemberDeadline{}) : chance(80) ? likely_event() : random_event());
      if (::testing::Test::HasFailure()) return;
    }
  }

 private:
  MemberConfig config() {
    MemberConfig config;
    config.workers = pick(1, 4);
    config.join_timeout = milliseconds(pick(1000, 600000));
    config.coordinator_timeout = milliseconds(pick(0, 60000));
    return config;
  }

  int pick(int least, int most) { return std::uniform_int_distribution(least, most)(random_); }
  bool chance(int percent) { return pick(1, 100) <= percent; }
  static Duration milliseconds(int count) { return std::chrono::milliseconds(count); }
  template <typename... Words>
  std::string any_word(Words... words) {
    const std::vector<std::string> all = {words...};
    return all[static_cast<size_t>(pick(0, static_cast<int>(all.size()) - 1))];
  }

  RoundId any_round() {
    const RoundId newest = machine_.round();
    if (chance(70)) return newest;
    if (chance(50)) return started_;
    return {static_cast<uint64_t>(pick(0, 3)), static_cast<uint64_t>(pick(0, static_cast<int>(newest.number) + 2))};
  }

  Assignment any_assignment() {
    Assignment assignment;
    assignment.round = chance(80) ? RoundId{std::max<uint64_t>(1, machine_.round().incarnation),
                                            machine_.round().number + static_cast<uint64_t>(pick(0, 2))}
                                  : any_round();
    assignment.world = assignment.role_world = chance(95) ? 8 : pick(-1, 9);
    assignment.node_count = 2;
    assignment.node_rank = chance(95) ? pick(0, 1) : pick(-1, 3);
    return assignment;
  }

  CoordinatorMessage any_message() {
    const std::string text = any_word("", "a reason", "another\nreason");
    switch (pick(0, 12)) {
      case 0:
      case 1:
        return Welcome{chance(90) ? std::max<uint64_t>(1, machine_.round().incarnation) : uint64_t(pick(0, 3)),
                       chance(30),
                       milliseconds(chance(90) ? pick(2000, 60000) : pick(-10, 100)),
                       milliseconds(chance(90) ? pick(200, 1000) : pick(-10, 10)),
                       text,
                       chance(60)};
      case 2: return Refused{text, chance(98), milliseconds(pick(-5, 3000))};
      case 3: return HeartbeatAnswer{static_cast<uint64_t>(pick(0, 50))};
      case 4: return Waiting{text};
      case 5: return Prepare{any_assignment(), chance(40), {}};
      case 6: return DialStore{any_round(), {"10.0.0.1"}, static_cast<uint16_t>(pick(1, 2))};
      case 7:
      case 8: return Go{any_round(), text};
      case 9: return Stop{any_round(), static_cast<StopKind>(pick(0, 4)), text};
      case 10: return StatusReply{static_cast<uint32_t>(pick(0, 3)), "{}"};
      default:
        if (chance(95)) return Go{any_round(), text};
        return Close{JobEnd{static_cast<JobEnd::Kind>(pick(0, 4)), pick(-1, 300), {}}};
    }
  }

  MemberEvent random_event() {
    switch (pick(0, 13)) {
      case 0: return CoordinatorReached{++connection_, "node0"};
      case 1:
        if (chance(60)) return CoordinatorSaid{connection_, any_message()};
        return CoordinatorGone{connection_, static_cast<LossKind>(pick(0, 2)), "gone"};
      case 2: return DialNote{"refused", chance(1)};
      case 3: return StoreOpened{any_round(), {"10.0.0.2"}, 4000};
      case 4:
        return chance(80) ? MemberEvent(StoreAnswered{any_round(), "10.0.0.1"})
                          : MemberEvent(StoreNotOpened{any_round(), "taken"});
      case 5:
        return chance(80) ? MemberEvent(StoreAnswered{any_round(), "10.0.0.1"})
                          : MemberEvent(StoreUnreachable{any_round(), "refused"});
      case 6: return workers_event();
      case 7:
        if (chance(80)) return workers_event();
        if (chance(80)) return MemberDeadline{};
        return chance(70) ? MemberEvent(LeaveAsked{SIGTERM}) : MemberEvent(CannotTakePart{});
      case 8: return StatusAsked{static_cast<uint32_t>(pick(0, 3))};
      default: return CoordinatorSaid{chance(95) ? connection_ : connection_ + 1, any_message()};
    }
  }

  // What brings it on, as an honest coordinator would.
  MemberEvent likely_event() {
    const RoundId newest = machine_.round();
    switch (machine_.phase()) {
      case Phase::kSeeking:
        if (!joining_ || chance(10)) return CoordinatorReached{++connection_, "node0"};
        return CoordinatorSaid{connection_, Welcome{std::max<uint64_t>(1, newest.incarnation), chance(50),
                                                    milliseconds(5000), milliseconds(1000), "launch", true}};
      case Phase::kWaiting: {
        Assignment next;
        next.round = {std::max<uint64_t>(1, newest.incarnation), newest.number + 1};
        next.world = next.role_world = 4;
        return CoordinatorSaid{connection_, Prepare{next, chance(50), {}}};
      }
      case Phase::kPreparing:
        switch (pick(0, 3)) {
          case 0: return StoreOpened{newest, {"10.0.0.2"}, 4000};
          case 1: return CoordinatorSaid{connection_, DialStore{newest, {"10.0.0.1"}, 1}};
          case 2: return StoreAnswered{newest, "10.0.0.1"};
          default: return CoordinatorSaid{connection_, Go{newest, "all are there"}};
        }
      default:
        if (chance(1)) return chance(50) ? MemberEvent(LeaveAsked{SIGINT}) : MemberEvent(CannotTakePart{});
        return chance(10) ? workers_event() : MemberDeadline{};
    }
  }

  // Of the running workers, or late ones of others.
  MemberEvent workers_event() {
    const RoundId round = alive_ && chance(90) ? started_ : any_round();
    switch (pick(0, 3)) {
      case 0: return OneWorkerSucceeded{round};
      case 1: return WorkersFailed{round, std::vector<LocalFailure>(static_cast<size_t>(pick(0, 2)))};
      case 2: return AllWorkersSucceeded{round};
      default: return WorkersGone{round};
    }
  }

  void answer_heartbeats() {
    if (chance(30)) return;
    for (const uint64_t number : std::exchange(unanswered_, {})) {
      step(CoordinatorSaid{connection_, HeartbeatAnswer{number}});
    }
  }

  static std::string name_of(const MemberEvent& event) {
    const auto* said = std::get_if<CoordinatorSaid>(&event);
    return said == nullptr ? "event " + std::to_string(event.index())
                           : "message " + std::to_string(said->message.index());
  }

  void step(const MemberEvent& event) {
    seen_.insert({static_cast<int>(machine_.phase()), name_of(event)});
    if (tells_of_end(event)) {
      machine_.step(MemberDeadline{}, now_);  // what is due comes first
      take_effects();
      alive_ = killed_ = false;
    }
    machine_.step(event, now_);
    take_effects();
    check();
  }

  bool tells_of_end(const MemberEvent& event) const {
    const auto* gone = std::get_if<WorkersGone>(&event);
    const auto* succeeded = std::get_if<AllWorkersSucceeded>(&event);
    return (gone != nullptr && gone->round == started_) || (succeeded != nullptr && succeeded->round == started_);
  }

  void take_effects() {
    for (const MemberEffect& effect : machine_.take_effects()) {
      EXPECT_FALSE(done_) << "an effect after the last one";
      std::visit([this](const auto& what) { carry_out(what); }, effect);
    }
  }

  void carry_out(const Dial&) {
    unanswered_.clear();
    joining_ = false;
  }
  void carry_out(const HangUp&) { hung_up_ = true; }
  void carry_out(const OpenStore& open) { EXPECT_EQ(open.round, machine_.round()); }
  void carry_out(const ReachStore& reach) { EXPECT_EQ(reach.round, machine_.round()); }
  void carry_out(const CloseStore&) {}
  void carry_out(const ShowStatus&) {}
  void carry_out(const RendezvousSay& say) { EXPECT_FALSE(say.line.empty()); }

  void carry_out(const StartWorkers& start) {
    EXPECT_FALSE(alive_) << "two groups at once";
    EXPECT_GT(start.assignment.round, started_) << "a round that is not newer";
    EXPECT_EQ(start.assignment.round, machine_.round()) << "not the newest round accepted";
    EXPECT_TRUE(held_ && *held_ > now_) << "started without a lease";
    started_ = start.assignment.round;
    alive_ = true;
  }
  void carry_out(const StopWorkers& stop) {
    EXPECT_TRUE(alive_ && stop.round == started_) << "nothing is there to be stopped";
    EXPECT_FALSE(killed_) << "asked after it was told";
  }
  void carry_out(const KillWorkers& kill) {
    EXPECT_TRUE(alive_ && kill.round == started_) << "nothing is there to be killed";
    killed_ = true;
  }
  void carry_out(const HoldLease& hold) {
    EXPECT_NE(hold.until, held_) << "the sentinel knows that already";
    held_ = hold.until;
  }
  void carry_out(const MemberDone& done) {
    EXPECT_FALSE(alive_) << "workers outlive the agent";
    EXPECT_TRUE(hung_up_);
    EXPECT_TRUE(done.end.exit_status >= 0 && done.end.exit_status <= 255);
    done_ = true;
  }

  void carry_out(const TellCoordinator& told) {
    EXPECT_FALSE(hung_up_ && done_);
    if (const auto* heartbeat = std::get_if<Heartbeat>(&told.message)) {
      EXPECT_GT(heartbeat->number, last_heartbeat_);
      last_heartbeat_ = heartbeat->number;
      unanswered_.push_back(heartbeat->number);
    }
    EXPECT_FALSE(alive_ && std::holds_alternative<Prepared>(told.message)) << "prepared with workers of an older round";
    if (const auto* reaped = std::get_if<NodeReaped>(&told.message)) {
      EXPECT_FALSE(alive_ && reaped->round >= started_) << "said to be reaped";
    }
    if (const auto* join = std::get_if<Join>(&told.message)) {
      joining_ = true;
      const Work work = join->past.work;
      EXPECT_EQ(alive_, work == Work::kRunning || work == Work::kStopping);
    }
  }

  void check() {
    const std::optional<TimePoint> deadline = machine_.next_deadline();
    EXPECT_GE(deadline.value_or(now_), now_) << "a deadline in the past";
    EXPECT_EQ(done_, machine_.phase() == Phase::kDone);
    EXPECT_FALSE(done_ && deadline) << "a machine that is done waits for something";
    EXPECT_EQ(alive_, machine_.lease_end().has_value());
    EXPECT_EQ(held_, machine_.lease_end()) << "the sentinel's lease is another";
    EXPECT_TRUE(!alive_ || killed_ || now_ < *machine_.lease_end()) << "a worker outlives its lease";
    EXPECT_FALSE(machine_.reason().empty() && machine_.phase() != Phase::kStopping);
  }

  std::mt19937_64 random_;
  std::set<Meeting>& seen_;
  TimePoint now_{1000s};
  MemberMachine machine_;
  ConnectionId connection_ = 0;
  std::vector<uint64_t> unanswered_;
  uint64_t last_heartbeat_ = 0;
  RoundId started_;
  bool joining_ = false;
  bool alive_ = false;
  bool killed_ = false;
  bool hung_up_ = false;
  bool done_ = false;
  std::optional<TimePoint> held_;
};

TEST(MemberMachineAtRandom, KeepsItsPromisesAndAnswersEveryEventInEveryPhase) {
  constexpr size_t kSaid = 2;  // CoordinatorSaid: by its message
  std::set<Meeting> seen;
  // All of them under sanitizers, too: fewer do not meet every phase with every event.
  for (uint64_t seed = 1; seed <= 5000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomMember member(seed, seen);
    member.run(400);
    if (HasFailure()) return;
  }
  for (int phase = 0; phase <= static_cast<int>(Phase::kDone); ++phase) {
    for (size_t kind = 0; kind < std::variant_size_v<MemberEvent>; ++kind) {
      const std::string name = "event " + std::to_string(kind);
      EXPECT_TRUE(kind == kSaid || seen.contains({phase, name})) << name << " in phase " << phase;
    }
    for (size_t kind = 0; kind < std::variant_size_v<CoordinatorMessage>; ++kind) {
      const std::string name = "message " + std::to_string(kind);
      EXPECT_TRUE(seen.contains({phase, name})) << name << " in phase " << phase;
    }
  }
}

}  // namespace
}  // namespace ferrun
