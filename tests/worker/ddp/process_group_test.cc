#include "worker/ddp/process_group.h"

#include <ATen/ops/full.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include "tests/worker/ddp/rank_harness.h"

namespace ferrun::ddp {
namespace {

using ::testing::ContainsRegex;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::RankHarness;

GroupOptions with_timeout(std::chrono::seconds timeout) {
  GroupOptions options;
  options.timeout = timeout;
  return options;
}

// For what is to end by its time: first the ranks have to join, also on a machine that is busy.
constexpr std::chrono::seconds kSoon{8};

std::shared_ptr<ProcessGroup> join(const GroupAddress& address,
                                   std::chrono::seconds timeout = std::chrono::seconds(60)) {
  auto group = ProcessGroup::create(address, with_timeout(timeout));
  if (!group) {
    throw std::runtime_error(group.error().message);
  }
  return *group;
}

TEST(ProcessGroup, OfOneRankNeedsNoStore) {
  const auto group = ProcessGroup::create(GroupAddress(), GroupOptions());
  ASSERT_TRUE(group.ok());
  at::Tensor tensor = at::full({2}, 3.0);
  (*group)->all_reduce_sum(tensor);
  (*group)->broadcast(tensor);
  (*group)->barrier();
  EXPECT_EQ(tensor.sum().item<double>(), 6.0);
  EXPECT_EQ((*group)->all_gather(tensor).size(), 1U);
  EXPECT_EQ((*group)->broadcast_bytes("x"), "x");
  EXPECT_EQ((*group)->c10d_group().get(), nullptr);
  (*group)->shut_down();
}

std::string use_every_collective(const GroupAddress& address) {
  const auto group = join(address);
  const double sum_of_ranks = group->world_size() * (group->world_size() - 1) / 2.0;
  at::Tensor tensor = at::full({3}, double(group->rank()));
  group->all_reduce_sum(tensor);
  if (tensor.sum().item<double>() != 3 * sum_of_ranks) return "wrong all-reduce";

  at::Tensor other = at::full({3}, double(group->rank()));
  const Wait wait = group->start_all_reduce_sum(other);
  wait();
  if (!other.equal(tensor)) return "wrong asynchronous all-reduce";

  at::Tensor mine = at::full({1}, double(group->rank()));
  const std::vector<at::Tensor> all = group->all_gather(mine);
  for (int rank = 0; rank < group->world_size(); ++rank) {
    if (all.at(size_t(rank)).item<double>() != rank) return "wrong all-gather";
  }
  group->broadcast(mine, group->world_size() - 1);
  if (mine.item<double>() != group->world_size() - 1) return "wrong broadcast";
  if (group->broadcast_bytes(group->rank() == 0 ? std::string("a\0b", 3) : "longer than that") !=
      std::string("a\0b", 3)) {
    return "wrong bytes";
  }
  if (!group->broadcast_bytes(group->rank() == 0 ? "" : "x").empty()) return "wrong empty bytes";
  group->barrier();
  group->shut_down();
  return "";
}

TEST(ProcessGroup, ConnectsTheRanksThatTheEnvironmentNames) {
  for (const int world_size : {2, 3}) {
    RankHarness ranks;
    EXPECT_THAT(ranks.run(world_size, use_every_collective), Each(IsEmpty()));
  }
}

std::string failure_of_all_reduce(const GroupAddress& address, std::chrono::seconds timeout, int times = 1) {
  const auto group = join(address, timeout);
  group->set_activity("epoch 2, step 7");
  at::Tensor tensor = at::full({1}, 1.0);
  try {
    for (int i = 0; i < times; ++i) group->all_reduce_sum(tensor);
    return "no failure";
  } catch (const std::exception& failure) {
    const Failure explained = group->explain(failure);
    const char* const causes[] = {"silent: ", "lost: ", "other: "};
    return causes[int(explained.cause)] + explained.message;
  }
}

TEST(ProcessGroup, NamesARankThatIsStopped) {
  RankHarness ranks;
  const auto stopped = [](const GroupAddress& address) {
    const auto group = join(address);
    raise(SIGSTOP);
    return std::string();
  };
  const auto waiting = [](const GroupAddress& address) { return failure_of_all_reduce(address, kSoon); };
  ranks.start(0, 3, waiting);
  ranks.start(1, 3, stopped);
  ranks.start(2, 3, waiting);
  const std::string named = "rank 1 (pid " + std::to_string(ranks.pid(1)) + " on ";
  const std::vector<std::string> outcomes{ranks.outcome(0), ranks.outcome(2)};
  // The first to notice names the rank; the other may lose the connection to it while it asks.
  EXPECT_THAT(outcomes, ::testing::Contains(HasSubstr(named)));
  EXPECT_THAT(outcomes, ::testing::Contains(HasSubstr("silent: ")));
  EXPECT_THAT(outcomes, ::testing::Contains(HasSubstr("did not answer for 8 s")));
}

TEST(ProcessGroup, TellsWhatAnotherRankIsDoingWhenAllAreAlive) {
  RankHarness ranks;
  const auto busy = [](const GroupAddress& address) {
    const auto group = join(address);
    group->set_activity("reading pictures");
    pause();
    return std::string();
  };
  ranks.start(0, 2, [](const GroupAddress& address) { return failure_of_all_reduce(address, kSoon); });
  ranks.start(1, 2, busy);
  EXPECT_THAT(ranks.outcome(0), ::testing::AllOf(HasSubstr("other: "), HasSubstr("every rank is alive"),
                                                 HasSubstr("at reading pictures")));
}

using Call = void (*)(ProcessGroup& group);

void sum_of_six_doubles(ProcessGroup& group) {
  at::Tensor tensor = at::full({6}, 1.0, at::kDouble);
  group.all_reduce_sum(tensor);
}
void sum_of_two_doubles(ProcessGroup& group) {
  at::Tensor tensor = at::full({2}, 1.0, at::kDouble);
  group.all_reduce_sum(tensor);
}
void sum_of_a_million_floats(ProcessGroup& group) {
  at::Tensor tensor = at::full({1'000'000}, 1.0f, at::kFloat);
  group.all_reduce_sum(tensor);
}
void sum_of_twelve_floats(ProcessGroup& group) {
  at::Tensor tensor = at::full({12}, 1.0f, at::kFloat);
  group.all_reduce_sum(tensor);
}
void words_of_rank_0(ProcessGroup& group) { group.broadcast_bytes("words"); }
void numbers_of_all(ProcessGroup& group) { group.all_gather(at::full({6}, 1.0, at::kDouble)); }
void floats_of_all(ProcessGroup& group) { group.all_gather(at::full({12}, 1.0f, at::kFloat)); }
void barrier_of_all(ProcessGroup& group) { group.barrier(); }

// What a rank is told when it and the others call different collectives, after one in which they agree; it says so
// through `tell` where Gloo ends the process.
std::string told_of(Call call, const GroupAddress& address, const std::function<void(const std::string&)>& tell) {
  GroupOptions options = with_timeout(kSoon);
  options.on_abort = [&](const Failure& failure) {
    tell(failure.message);
    _exit(0);
  };
  const auto group = ProcessGroup::create(address, options).value();
  try {
    sum_of_six_doubles(*group);
    call(*group);
    const Status same = group->check_same_collectives();
    return same ? "not noticed" : same.error().message;
  } catch (const std::exception& failure) {
    return group->explain(failure).message;
  }
}

struct Mispairing {
  int world_size;
  Call of_rank_0, of_others;
  const char* text_of_rank_0;
  const char* text_of_others;
};

constexpr Mispairing kMispairings[] = {
    // Which of them end in a timeout, in a size that Gloo does not expect or in wrong numbers depends on kind and size.
    {2, sum_of_six_doubles, words_of_rank_0, "all-reduce of double [6]", "broadcast of long [1] from rank 0"},
    {2, sum_of_six_doubles, sum_of_two_doubles, "all-reduce of double [6]", "all-reduce of double [2]"},
    {2, sum_of_two_doubles, sum_of_a_million_floats, "all-reduce of double [2]", "all-reduce of float [1000000]"},
    {2, sum_of_six_doubles, sum_of_twelve_floats, "all-reduce of double [6]", "all-reduce of float [12]"},
    {2, numbers_of_all, floats_of_all, "all-gather of double [6]", "all-gather of float [12]"},
    {2, numbers_of_all, barrier_of_all, "all-gather of double [6]", "barrier"},
    {3, sum_of_two_doubles, sum_of_a_million_floats, "all-reduce of double [2]", "all-reduce of float [1000000]"},
    {3, words_of_rank_0, barrier_of_all, "broadcast of long [1] from rank 0", "barrier"}};

TEST(ProcessGroup, TellsEveryRankWhichCollectivesWereMispaired) {
  std::vector<std::unique_ptr<RankHarness>> jobs;  // side by side: some end by a timeout alone
  for (const Mispairing& played : kMispairings) {
    jobs.push_back(std::make_unique<RankHarness>());
    for (int rank = 0; rank < played.world_size; ++rank) {
      const Call call = rank == 0 ? played.of_rank_0 : played.of_others;
      jobs.back()->start(rank, played.world_size, [call](const GroupAddress& address, const RankHarness::Tell& tell) {
        return told_of(call, address, tell);
      });
    }
  }
  for (size_t i = 0; i < jobs.size(); ++i) {
    const Mispairing& played = kMispairings[i];
    for (int rank = 0; rank < played.world_size; ++rank) {
      // A third rank may have answered before it called the second collective.
      EXPECT_THAT(jobs[i]->outcome(rank),
                  ::testing::AllOf(HasSubstr("different collectives as number 2 of the job"),
                                   HasSubstr(std::string("rank 0 called ") + played.text_of_rank_0),
                                   ContainsRegex("(rank 1|rank 2|ranks 1 and 2) called "),
                                   HasSubstr(std::string(" called ") + played.text_of_others)))
          << played.text_of_rank_0 << " and " << played.text_of_others << ", rank " << rank;
    }
  }
}

TEST(ProcessGroup, RanksThatCallTheSameCollectivesAreAgreed) {
  RankHarness ranks;
  EXPECT_THAT(
      ranks.run(2,
                [](const GroupAddress& address) -> std::string {
                  const auto group = join(address);
                  for (const Call call : {sum_of_six_doubles, words_of_rank_0, numbers_of_all, barrier_of_all}) {
                    call(*group);
                  }
                  const Status same = group->check_same_collectives();
                  group->shut_down();
                  return same ? "" : same.error().message;
                }),
      Each(IsEmpty()));
}

TEST(ProcessGroup, CallsItselfACasualtyWhenAPeerDies) {
  RankHarness ranks;
  const auto dying = [](const GroupAddress& address) {
    const auto group = join(address);
    at::Tensor tensor = at::full({1}, 1.0);
    group->all_reduce_sum(tensor);  // the other rank has joined
    raise(SIGKILL);
    return std::string();
  };
  ranks.start(0, 2,
              [](const GroupAddress& address) { return failure_of_all_reduce(address, std::chrono::seconds(60), 2); });
  ranks.start(1, 2, dying);
  EXPECT_THAT(ranks.outcome(0), HasSubstr("lost: lost the connection to another rank"));
}

TEST(ProcessGroup, NamesARankThatNeverJoins) {
  RankHarness ranks;
  const auto body = [](const GroupAddress& address) {
    const auto group = ProcessGroup::create(address, with_timeout(kSoon));
    return group ? std::string("joined") : group.error().message;
  };
  ranks.start(0, 2, body);
  EXPECT_THAT(ranks.outcome(0), HasSubstr("rank 1 of 2 did not join within 8 s"));
}

TEST(ProcessGroup, SaysWhichStoreCannotBeReached) {
  RankHarness ranks;
  const auto body = [](const GroupAddress& given) {
    GroupAddress address = given;
    address.master_port = 1;  // nobody listens on tcpmux
    const auto group = ProcessGroup::create(address, with_timeout(std::chrono::seconds(1)));
    return group ? std::string("joined") : group.error().message;
  };
  ranks.start(0, 2, body);
  EXPECT_THAT(ranks.outcome(0), HasSubstr("cannot reach the job's store at 127.0.0.1:1 "));
}

}  // namespace
}  // namespace ferrun::ddp
