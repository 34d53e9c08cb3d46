#include "worker/ddp/collectives.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/worker/ddp/rank_harness.h"

namespace ferrun::ddp {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::RankHarness;

std::shared_ptr<ProcessGroup> meet(const GroupAddress& address,
                                   std::chrono::seconds timeout = std::chrono::seconds(60)) {
  GroupOptions options;
  options.timeout = timeout;
  auto group = ProcessGroup::create(address, options);
  if (!group) throw std::runtime_error(group.error().message);
  return *group;
}

at::Tensor integers(int64_t value) { return at::full({2, 3}, value, at::kLong); }
bool all_are(const at::Tensor& tensor, double value) { return tensor.eq(value).all().item<bool>(); }

// Of the ranks' numbers 3 + 2 × rank.
double reduced(ReduceOp operation, int world_size) {
  int64_t sum = 0, product = 1, bit_and = ~int64_t{0}, bit_or = 0, bit_xor = 0;
  for (int rank = 0; rank < world_size; ++rank) {
    const int64_t number = 3 + 2 * rank;
    sum += number;
    product *= number;
    bit_and &= number;
    bit_or |= number;
    bit_xor ^= number;
  }
  switch (operation) {
    case ReduceOp::kSum: return double(sum);
    case ReduceOp::kAverage: return double(sum) / world_size;
    case ReduceOp::kProduct: return double(product);
    case ReduceOp::kMin: return 3;
    case ReduceOp::kMax: return 3 + 2 * (world_size - 1);
    case ReduceOp::kBitAnd: return double(bit_and);
    case ReduceOp::kBitOr: return double(bit_or);
    case ReduceOp::kBitXor: break;
  }
  return double(bit_xor);
}

std::string reduce_by_every_operation(ProcessGroup& group) {
  for (int i = 0; i <= int(ReduceOp::kBitXor); ++i) {
    const auto operation = ReduceOp(i);
    const bool fraction = operation == ReduceOp::kAverage;
    const at::Tensor mine = integers(3 + 2 * group.rank()).to(fraction ? at::kDouble : at::kLong);
    const double expected = reduced(operation, group.world_size());
    at::Tensor tensor = mine.clone();
    all_reduce(group, tensor, operation);
    if (!all_are(tensor, expected)) return "all_reduce " + std::to_string(i);
    const int root = group.world_size() - 1;
    tensor = mine.clone();
    reduce(group, tensor, root, operation);
    if (group.rank() == root && !all_are(tensor, expected)) return "reduce " + std::to_string(i);
    tensor = at::zeros_like(mine);
    reduce_scatter(group, tensor, std::vector<at::Tensor>(size_t(group.world_size()), mine), operation);
    if (!all_are(tensor, expected)) return "reduce_scatter " + std::to_string(i);
  }
  return "";
}

std::string move_by_every_collective(ProcessGroup& group) {
  const int world = group.world_size(), rank = group.rank(), root = world - 1;
  const at::Tensor mine = integers(rank).t();  // not contiguous
  const std::vector<at::Tensor> everyones = all_gather(group, mine);
  for (int from = 0; from < world; ++from) {
    if (!all_are(everyones.at(size_t(from)), from)) return "all_gather";
  }
  const std::vector<at::Tensor> gathered = gather(group, mine, root);
  if (gathered.size() != size_t(rank == root ? world : 0)) return "gather's size";
  for (size_t from = 0; from < gathered.size(); ++from) {
    if (!all_are(gathered[from], double(from))) return "gather";
  }
  std::vector<at::Tensor> parts;
  for (int to = 0; to < world; ++to) parts.push_back(integers(10 * to));
  at::Tensor part = integers(-1);
  scatter(group, part, rank == root ? parts : std::vector<at::Tensor>(), root);
  if (!all_are(part, 10 * rank)) return "scatter";
  at::Tensor copied = integers(rank);
  broadcast(group, copied, root);
  if (!all_are(copied, root)) return "broadcast";
  // Rank r sends r + s + 1 rows of its number to rank s.
  std::vector<at::Tensor> sent, received;
  for (int other = 0; other < world; ++other) {
    sent.push_back(at::full({rank + other + 1, 2}, double(rank)));
    received.push_back(at::full({rank + other + 1, 2}, -1.0));
  }
  all_to_all(group, received, sent);
  for (int from = 0; from < world; ++from) {
    if (!all_are(received[size_t(from)], from)) return "all_to_all";
  }
  return "";
}

std::string send_around(ProcessGroup& group) {
  const int world = group.world_size();
  if (world == 1) return "";
  const int next = (group.rank() + 1) % world, before = (group.rank() + world - 1) % world;
  at::Tensor first = at::zeros({4}), second = at::zeros({4});
  Work a = start_recv(group, first, before, 7), b = start_recv(group, second, before, 8);
  // The tags decide, not the order.
  send(group, at::full({4}, 20.0 + group.rank()), next, 8);
  send(group, at::full({4}, 10.0 + group.rank()), next, 7);
  a.wait();
  b.wait();
  if (!a.completed()) return "has not ended after its wait";
  return all_are(first, 10 + before) && all_are(second, 20 + before) ? "" : "send and recv";
}

std::string exchange_objects(ProcessGroup& group) {
  using nlohmann::json;
  const json told = broadcast_object(group, json{{"from", group.rank()}}, group.world_size() - 1);
  if (told != json{{"from", group.world_size() - 1}}) return "broadcast_object";
  const auto objects = all_gather_object(group, json(std::string(size_t(group.rank()) * 5, 'x')));
  for (size_t rank = 0; rank < objects.size(); ++rank) {
    if (objects[rank].get<std::string>() != std::string(rank * 5, 'x')) return "all_gather_object";
  }
  return all_gather_bytes(group, "") == std::vector<std::string>(objects.size()) ? "" : "empty bytes";
}

std::string use_whole_tensors(ProcessGroup& group) {
  const int64_t world = group.world_size(), rank = group.rank();
  const at::Tensor mine = integers(rank).t();  // [3, 2], not contiguous
  at::Tensor joined = at::zeros({3 * world, 2}, at::kLong), stacked = at::zeros({world, 3, 2}, at::kLong);
  all_gather_into_tensor(group, joined, mine);
  all_gather_into_tensor(group, stacked, mine);
  for (int64_t from = 0; from < world; ++from) {
    if (!all_are(joined.narrow(0, 3 * from, 3), double(from)) || !all_are(stacked[from], double(from))) {
      return "all_gather_into_tensor";
    }
  }
  at::Tensor part = at::zeros({2, 3}, at::kDouble);
  const at::Tensor parts = at::arange(world, at::kDouble).view({world, 1, 1}).expand({world, 2, 3}).add(double(rank));
  reduce_scatter_tensor(group, part, parts, ReduceOp::kAverage);
  if (!all_are(part, double(rank) + double(world - 1) / 2)) return "reduce_scatter_tensor";
  // Rank r's row s is 10 r + s.
  const at::Tensor rows = at::arange(world, at::kLong).add(10 * rank);
  at::Tensor column = at::zeros_like(rows);
  all_to_all_single(group, column, rows);
  if (!column.equal(at::arange(world, at::kLong).mul(10).add(rank))) return "all_to_all_single";
  // Rank r sends r + s rows of its number to rank s; of a transposed matrix, whose rows do not lie one after the other.
  std::vector<int64_t> sent, taken;
  int64_t sent_in_all = 0, taken_in_all = 0;
  for (int64_t other = 0; other < world; ++other) {
    sent.push_back(rank + other);
    taken.push_back(rank + other);
    sent_in_all += rank + other;
    taken_in_all += rank + other;
  }
  at::Tensor uneven = at::full({taken_in_all, 2}, -1.0);
  Work work = start_all_to_all_single(group, uneven, at::full({2, sent_in_all}, double(rank)).t(), taken, sent);
  work.wait();
  int64_t begin = 0;
  for (int64_t from = 0; from < world; ++from) {
    if (!all_are(uneven.narrow(0, begin, taken[size_t(from)]), double(from))) return "uneven all_to_all_single";
    begin += taken[size_t(from)];
  }
  return "";
}

std::string receive_from_anyone(ProcessGroup& group) {
  if (group.world_size() == 1) return "";
  if (group.rank() != 0) {
    send(group, at::full({3}, double(group.rank())), 0, 5);
    return "";
  }
  std::set<int> senders;
  for (int i = 1; i < group.world_size(); ++i) {
    at::Tensor tensor = at::zeros({3});
    const int from = recv_any(group, tensor, 5);
    if (!all_are(tensor, from)) return "recv_any";
    senders.insert(from);
  }
  return int(senders.size()) == group.world_size() - 1 ? "" : "recv_any's ranks";
}

std::string pass_objects(ProcessGroup& group) {
  using nlohmann::json;
  const int world = group.world_size(), root = world - 1;
  const auto gathered = gather_object(group, json(std::string(size_t(group.rank()) * 5, 'x')), root);
  if (gathered.size() != size_t(group.rank() == root ? world : 0)) return "gather_object's size";
  for (size_t rank = 0; rank < gathered.size(); ++rank) {
    if (gathered[rank].get<std::string>() != std::string(rank * 5, 'x')) return "gather_object";
  }
  std::vector<json> parts;
  for (int to = 0; group.rank() == root && to < world; ++to)
    parts.push_back({{"to", to}, {"all", std::string(9, 'y')}});
  if (scatter_object(group, parts, root)["to"] != group.rank()) return "scatter_object";
  if (!gather_bytes(group, "", root).empty() != (group.rank() == root)) return "empty gather_bytes";
  const std::vector<std::string> nothing(group.rank() == root ? size_t(world) : 0);
  if (!scatter_bytes(group, nothing, root).empty()) return "empty scatter_bytes";
  if (world == 1) return "";
  if (group.rank() == 0) {
    send_object(group, json{{"from", 0}}, 1, 4);
    send_bytes(group, "", 1, 4);
  } else if (group.rank() == 1) {
    if (recv_object<json>(group, 0, 4) != json{{"from", 0}}) return "recv_object";
    if (!recv_bytes(group, 0, 4).empty()) return "empty recv_bytes";
  }
  return "";
}

std::string use_all(ProcessGroup& group) {
  for (const auto& use : {reduce_by_every_operation, move_by_every_collective, use_whole_tensors, send_around,
                          receive_from_anyone, exchange_objects, pass_objects}) {
    if (const std::string wrong = use(group); !wrong.empty()) return wrong;
  }
  const Status same = group.check_same_collectives();
  return same ? "" : same.error().message;
}

TEST(Collectives, OfOneRankAreCopies) {
  const auto group = *ProcessGroup::create({}, {});
  EXPECT_EQ(use_all(*group), "");
}

TEST(Collectives, GiveEveryRankItsResult) {
  for (const int world_size : {2, 3}) {
    RankHarness ranks;
    EXPECT_THAT(ranks.run(world_size,
                          [](const GroupAddress& address) {
                            const auto group = meet(address);
                            const std::string wrong = use_all(*group);
                            group->shut_down();
                            return wrong;
                          }),
                Each(IsEmpty()));
  }
}

TEST(Collectives, WorkInSubGroupsWhoseRanksAreTheirOwn) {
  RankHarness ranks;
  EXPECT_THAT(ranks.run(3,
                        [](const GroupAddress& address) -> std::string {
                          const auto group = meet(address);
                          const auto outer = group->new_group({2, 0}).value();
                          const auto single = group->new_group({1}).value();
                          if ((outer == nullptr) != (address.rank == 1)) return "wrong members";
                          if (outer) {
                            if (outer->rank() != (address.rank == 2 ? 1 : 0)) return "wrong rank";
                            if (outer->ranks_in_job() != std::vector<int>{0, 2}) return "wrong ranks of the job";
                            if (const std::string wrong = use_all(*outer); !wrong.empty()) return wrong;
                            outer->shut_down();
                          }
                          if (single && !use_all(*single).empty()) return "wrong in a group of one";
                          const std::string wrong = use_all(*group);
                          group->shut_down();
                          return wrong;
                        }),
              Each(IsEmpty()));
}

TEST(Collectives, ASubGroupOfWrongRanksIsRefused) {
  RankHarness ranks;
  const auto refusals = [](const GroupAddress& address) {
    const auto group = meet(address);
    std::string all;
    for (const std::vector<int>& wrong : std::vector<std::vector<int>>{{}, {0, 2}, {1, 1}}) {
      all += group->new_group(wrong).error().message + "; ";
    }
    group->shut_down();
    return all;
  };
  EXPECT_THAT(ranks.run(2, refusals),
              Each(AllOf(HasSubstr("new_group: no ranks are given"), HasSubstr("rank 2 is none of 0 to 1"),
                         HasSubstr("rank 1 is given twice"))));
}

// What would otherwise be five minutes in which nobody says anything.
TEST(Collectives, ASubGroupNamesTheRankThatDoesNotCome) {
  RankHarness ranks;
  ranks.start(0, 3, [](const GroupAddress& address) {
    const auto group = meet(address);
    return group->new_group({0, 2}, std::chrono::seconds(2)).error().message;
  });
  for (const int rank : {1, 2}) {
    ranks.start(rank, 3, [](const GroupAddress& address) {
      const auto group = meet(address);
      pause();
      return std::string();
    });
  }
  EXPECT_EQ(ranks.outcome(0), "rank 2 did not come to sub-group 1 within 2 s");
}

using Failing = void (*)(ProcessGroup& group);

std::string explained(ProcessGroup& group, Failing call) {
  try {
    call(group);
    return "no failure";
  } catch (const std::exception& failure) {
    return group.explain(failure).message;
  }
}

constexpr std::chrono::seconds kShortly{6};

// Every collective with a rank that is stopped, side by side; in the last job the group is a sub-group, whose rank 1 is
// the job's rank 2.
TEST(Collectives, NameARankThatIsStopped) {
  static constexpr Failing kCalls[] = {[](ProcessGroup& group) {
                                         at::Tensor tensor = integers(1);
                                         reduce(group, tensor, group.rank());
                                       },
                                       [](ProcessGroup& group) { gather(group, integers(1), group.rank()); },
                                       [](ProcessGroup& group) {
                                         at::Tensor tensor = integers(1);
                                         scatter(group, tensor, {}, 1);
                                       },
                                       [](ProcessGroup& group) {
                                         at::Tensor tensor = integers(1);
                                         reduce_scatter(group, tensor, {integers(1), integers(1)}, ReduceOp::kMax);
                                       },
                                       [](ProcessGroup& group) {
                                         std::vector<at::Tensor> parts{integers(1), integers(1)};
                                         all_to_all(group, parts, parts);
                                       },
                                       [](ProcessGroup& group) {
                                         at::Tensor tensor = integers(1);
                                         all_to_all_single(group, tensor, integers(1));
                                       },
                                       [](ProcessGroup& group) {
                                         at::Tensor tensor = integers(1);
                                         recv_any(group, tensor);
                                       },
                                       [](ProcessGroup& group) {
                                         at::Tensor tensor = integers(1);
                                         recv(group, tensor, 1);
                                       },
                                       [](ProcessGroup& group) { all_gather_bytes(group, "words"); }};
  std::vector<std::unique_ptr<RankHarness>> jobs;
  for (const Failing call : kCalls) {
    jobs.push_back(std::make_unique<RankHarness>());
    jobs.back()->start(0, 2, [call](const GroupAddress& address) { return explained(*meet(address, kShortly), call); });
    jobs.back()->start(1, 2, [](const GroupAddress& address) {
      const auto group = meet(address);
      raise(SIGSTOP);
      return std::string();
    });
  }
  RankHarness with_sub_group;
  const auto in_sub_group = [](const GroupAddress& address) {
    const auto group = meet(address);
    const auto sub = group->new_group({0, 2}, kShortly).value();
    if (address.rank == 2) raise(SIGSTOP);
    return sub ? explained(*sub, [](ProcessGroup& of) { of.barrier(); }) : std::string();
  };
  for (int rank = 0; rank < 3; ++rank) with_sub_group.start(rank, 3, in_sub_group);
  for (size_t i = 0; i < jobs.size(); ++i) {
    EXPECT_THAT(jobs[i]->outcome(0), AllOf(HasSubstr("rank 1 (pid " + std::to_string(jobs[i]->pid(1)) + " on "),
                                           HasSubstr("did not answer for 6 s")))
        << "collective " << i;
  }
  EXPECT_THAT(with_sub_group.outcome(0), HasSubstr("rank 2 (pid " + std::to_string(with_sub_group.pid(2)) + " on "));
}

// What this rank is told of a group of two in which rank 0 has more or less than rank 1.
using Transfer = std::function<void(ProcessGroup&)>;
std::string told_of_sizes(const GroupAddress& address, const RankHarness::Tell& tell, const Transfer& call) {
  GroupOptions options;
  options.timeout = std::chrono::seconds(6);
  options.on_abort = [tell](const Failure& failure) {
    tell(failure.message);
    _exit(1);
  };
  const auto group = ProcessGroup::create(address, options).value();
  try {
    call(*group);
    const Status same = group->check_same_collectives();
    return same ? "" : same.error().message;
  } catch (const std::exception& failure) {
    return group->explain(failure).message;
  }
}

TEST(Collectives, SizesThatDoNotFitAreToldWithBothRanks) {
  const auto message = [](int64_t sent) {
    return [sent](ProcessGroup& group) {
      at::Tensor tensor = at::full({group.rank() == 0 ? sent : 17}, 1.0);
      group.rank() == 0 ? send(group, tensor, 1, 3) : recv(group, tensor, 0, 3);
    };
  };
  const auto parts = [](int64_t sent) {
    return [sent](ProcessGroup& group) {
      const int64_t own = group.rank() == 0 ? sent : 17;
      std::vector<at::Tensor> given{at::full({own}, 1.0), at::full({own}, 1.0)},
          got{given[0].clone(), given[1].clone()};
      all_to_all(group, got, given);
    };
  };
  // Rank 0 has 3 rows for itself and the others for rank 1, which waits for 17.
  const auto rows = [](int64_t sent) {
    return [sent](ProcessGroup& group) {
      const std::vector<int64_t> given = group.rank() == 0 ? std::vector<int64_t>{3, sent} : std::vector<int64_t>{4, 5},
                                 got = group.rank() == 0 ? std::vector<int64_t>{3, 4} : std::vector<int64_t>{17, 5};
      at::Tensor received = at::full({got[0] + got[1], 2}, 1.0);
      all_to_all_single(group, received, at::full({given[0] + given[1], 2}, 1.0), got, given);
    };
  };
  const std::pair<Transfer, std::string> kCases[] = {
      {rows(20), "rank 0 sent 40 x float to rank 1, which waited for 34 x float (all-to-all, collective number 1)"},
      {rows(5), "rank 0 sent 10 x float to rank 1, which waited for 34 x float (all-to-all, collective number 1)"},
      {message(20), "rank 0 sent 20 x float to rank 1, which waited for 17 x float (message 1 with tag 3)"},
      {message(5), "rank 0 sent 5 x float to rank 1, which waited for 17 x float (message 1 with tag 3)"},
      {parts(20), "rank 0 sent 20 x float to rank 1, which waited for 17 x float (all-to-all, collective number 1)"},
      {parts(5), "rank 0 sent 5 x float to rank 1, which waited for 17 x float (all-to-all, collective number 1)"}};
  for (const auto& [call, expected] : kCases) {
    RankHarness ranks;
    for (const int rank : {0, 1}) {
      ranks.start(rank, 2, [&](const auto& address, const auto& tell) { return told_of_sizes(address, tell, call); });
    }
    for (const int rank : {0, 1}) EXPECT_EQ(ranks.outcome(rank), expected) << rank;
  }
}

TEST(Collectives, TensorsThatCannotBeDividedAreRefusedBeforeAnythingIsSent) {
  RankHarness ranks;
  const auto refusals = [](const GroupAddress& address) {
    const auto group = meet(address);
    std::string all;
    const auto refused = [&](const std::function<void()>& call) {
      try {
        call();
      } catch (const c10::Error& error) {
        all += std::string(error.what_without_backtrace()) + "; ";
      }
    };
    at::Tensor six = at::zeros({6, 2}), seven = at::zeros({7, 2});
    refused([&] { all_to_all_single(*group, six, seven); });
    refused([&] { all_to_all_single(*group, six, six, {2, 3}, {3, 3}); });
    refused([&] { all_to_all_single(*group, six, six, {3, 3}, {7, -1}); });
    refused([&] { all_to_all_single(*group, six, six, {6}, {}); });
    refused([&] { all_gather_into_tensor(*group, seven, six); });
    refused([&] { reduce_scatter_tensor(*group, six, seven); });
    const std::string wrong = use_all(*group);
    group->shut_down();
    return all + wrong;
  };
  EXPECT_THAT(ranks.run(2, refusals),
              Each("all_to_all_single: the 7 rows that are sent are no 2 equal parts; "
                   "all_to_all_single: [2, 3] are not the 6 rows that are received; "
                   "all_to_all_single: [7, -1] are not the 6 rows that are sent; "
                   "all_to_all_single's list of rows needs one for each of the 2 ranks, and has 1; "
                   "all_gather_into_tensor needs one tensor of 24 x Float for the 12 of each of 2 ranks, and has 14 x "
                   "Float; "
                   "reduce_scatter_tensor needs one tensor of 24 x Float for the 12 of each of 2 ranks, and has 14 x "
                   "Float; "));
}

TEST(Collectives, OtherOperationsThanThePeersAreFoundOut) {
  RankHarness ranks;
  EXPECT_THAT(ranks.run(2,
                        [](const GroupAddress& address) {
                          const auto group = meet(address);
                          at::Tensor tensor = integers(1);
                          all_reduce(*group, tensor, address.rank == 0 ? ReduceOp::kMax : ReduceOp::kSum);
                          return group->check_same_collectives().error().message;
                        }),
              Each(AllOf(HasSubstr("rank 0 called all-reduce (maximum) of long [2, 3]"),
                         HasSubstr("rank 1 called all-reduce of long [2, 3]"))));
}

}  // namespace
}  // namespace ferrun::ddp
