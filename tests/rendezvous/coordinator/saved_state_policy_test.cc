#include "rendezvous/coordinator/saved_state_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ferrun {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;

StateOwner owner(bool is_private, bool own_process = false) {
  StateOwner made;
  made.path = "/states/a";
  made.is_private = is_private;
  made.own_process = own_process;
  made.job_id = "run7";
  made.terms = {{"--nnodes", "2"}, {"--max-restarts", "3"}, {"the program", "train.py"}};
  made.patience = 65s;
  return made;
}
StateOwner private_file() { return owner(true); }
StateOwner given_file() { return owner(false); }
StateOwner service() { return owner(false, true); }

CoordinatorState saved() {
  CoordinatorState state;
  state.incarnation = 4;
  state.newest = {4, 9};
  state.members = {{AgentId{7}, "node0", 0}};
  state.restarts = 2;
  state.launch_id = "the launch";
  state.terms = private_file().terms;
  state.job_id = "run7";
  return state;
}

using Found = Result<std::optional<CoordinatorState>>;
Found found(const CoordinatorState& state) { return std::optional(state); }

void expect_gone_on_with(const CoordinatorState& state, const StateVerdict& verdict) {
  EXPECT_TRUE(verdict.usable);
  ASSERT_TRUE(verdict.state);
  EXPECT_EQ(*verdict.state, state);
  EXPECT_EQ(verdict.line, "");
}
void expect_begun_anew(const StateVerdict& verdict, const std::string& line) {
  EXPECT_TRUE(verdict.usable);
  EXPECT_FALSE(verdict.state);
  EXPECT_EQ(verdict.line, line);
}
void expect_refused(const StateVerdict& verdict, const std::string& line) {
  EXPECT_FALSE(verdict.usable);
  EXPECT_FALSE(verdict.state);
  EXPECT_EQ(verdict.line, line);
}

TEST(SavedStatePolicy, BeginsWhereNothingWasLeft) {
  expect_begun_anew(judge_state(given_file(), std::optional<CoordinatorState>(), std::nullopt), "");
  expect_begun_anew(judge_state(private_file(), std::optional<CoordinatorState>(), std::nullopt), "");
}

TEST(SavedStatePolicy, GoesOnWithTheSameJob) {
  expect_gone_on_with(saved(), judge_state(private_file(), found(saved()), 3s));
  expect_gone_on_with(saved(), judge_state(given_file(), found(saved()), 24h));
  expect_gone_on_with(saved(), judge_state(service(), found(saved()), 24h));
}

TEST(SavedStatePolicy, APrivateFileIsAwaitedUntilThePatienceOfTheLastAgentEnds) {
  expect_gone_on_with(saved(), judge_state(private_file(), found(saved()), 65s));
  expect_begun_anew(judge_state(private_file(), found(saved()), 65s + 1ns), "");
}

TEST(SavedStatePolicy, AClosedJobIsToldOfByAServiceAloneAndOnlyWhileSomebodyCanWaitForIt) {
  CoordinatorState closed = saved();
  closed.closed = JobEnd{};
  expect_begun_anew(judge_state(private_file(), found(closed), 3s), "");
  expect_begun_anew(judge_state(given_file(), found(closed), 3s), "");
  expect_gone_on_with(closed, judge_state(service(), found(closed), 65s));
  expect_begun_anew(judge_state(service(), found(closed), 66s), "");
}

// One of its nodes has taken over while the end was being told.
TEST(SavedStatePolicy, AClosedJobIsToldOfByAnAgentThatWasInIt) {
  CoordinatorState closed = saved();
  closed.closed = JobEnd{};
  StateOwner member = private_file();
  member.agent = AgentId{7};
  expect_gone_on_with(closed, judge_state(member, found(closed), 0s));
  member.agent = AgentId{8};
  expect_begun_anew(judge_state(member, found(closed), 0s), "");
}

TEST(SavedStatePolicy, AnotherJobsFileIsRefusedByNameOrLeftAside) {
  CoordinatorState other = saved();
  other.job_id = "run8";
  for (const StateOwner& who : {given_file(), service()}) {
    expect_refused(judge_state(who, found(other), 3s),
                   "--state-file=/states/a is of job 'run8', and this is job 'run7': choose another file, or remove it "
                   "once that job is over");
  }
  expect_begun_anew(judge_state(private_file(), found(other), 3s),
                    "the coordinator's state in /states/a is of job 'run8', and this is job 'run7'; it is left aside");
}

TEST(SavedStatePolicy, AFileThatCannotBeReadIsRefusedOrLeftAside) {
  const Found damaged = Error{ErrorKind::kUser, "cannot be used (its end is missing)"};
  expect_refused(judge_state(given_file(), damaged, 3s),
                 "--state-file=/states/a cannot be used (its end is missing): remove it once no node of its job runs "
                 "any more");
  expect_begun_anew(judge_state(private_file(), damaged, 3s),
                    "the coordinator's state in /states/a cannot be used (its end is missing); it is left aside");
}

// Its nodes may run until their leases are over: the rounds of both must not meet.
TEST(SavedStatePolicy, OfALaunchOfAnotherSizeOnlyTheRoundsCount) {
  CoordinatorState other = saved();
  other.terms[0].value = "4";
  const StateVerdict verdict = judge_state(private_file(), found(other), 3s);
  ASSERT_TRUE(verdict.state);
  EXPECT_EQ(verdict.state->newest, other.newest);
  EXPECT_EQ(verdict.state->incarnation, other.incarnation);
  EXPECT_EQ(verdict.state->launch_id, "");
  EXPECT_EQ(verdict.state->restarts, 0);
  EXPECT_EQ(verdict.state->members, other.members) << "whose leases these are";
  EXPECT_EQ(verdict.line,
            "an earlier launch of job 'run7' was another one: --nnodes is 4 there and 2 here; this one begins anew");
  expect_refused(judge_state(given_file(), found(other), 3s),
                 "--state-file=/states/a is of another launch of job 'run7', and --nnodes is 4 there and 2 here: "
                 "choose another file, or remove it once no node of that launch runs any more");
}

TEST(SavedStatePolicy, AnotherProgramMayBeTheSameJob) {
  CoordinatorState other = saved();
  other.terms[2].value = "other.py";
  expect_gone_on_with(other, judge_state(private_file(), found(other), 3s));
}

TEST(SavedStatePolicy, AFileInUseIsRefusedByNameOrDoneWithout) {
  expect_refused(judge_locked_state(service(), "run8"),
                 "--state-file=/states/a is in use by the coordinator of job 'run8', and this is job 'run7': a "
                 "coordinator needs a file of its own");
  EXPECT_THAT(judge_locked_state(service(), "").line, HasSubstr("in use by another coordinator"));
  const StateVerdict without = judge_locked_state(private_file(), "run7");
  EXPECT_TRUE(without.usable);
  EXPECT_THAT(without.line, AllOf(HasSubstr("in use by the coordinator of job 'run7'"), HasSubstr("nothing is kept")));
}

TEST(SavedStatePolicy, AFileThatCannotBeLockedIsRefusedOrDoneWithout) {
  expect_refused(judge_unlockable_state(given_file(), "cannot create x: Permission denied"),
                 "--state-file=/states/a: cannot create x: Permission denied");
  EXPECT_TRUE(judge_unlockable_state(private_file(), "cannot create x: Permission denied").usable);
}

TEST(SavedStatePolicy, ALaunchLivesWhileOneOfItsAgentsDoes) {
  MemberPast past;
  EXPECT_FALSE(shows_life(saved(), AgentId{8}, past)) << "a new agent";
  EXPECT_TRUE(shows_life(saved(), AgentId{7}, past)) << "a node of its round";
  past.launch_id = "the launch";
  EXPECT_TRUE(shows_life(saved(), AgentId{8}, past)) << "a spare";
  past.launch_id = "another";
  past.round = {4, 9};
  EXPECT_FALSE(shows_life(saved(), AgentId{8}, past)) << "a round of that name is in every launch";
}

}  // namespace
}  // namespace ferrun
