// A group of one C++ and one Python rank: each gets what the other's collectives send.
#include "worker/ddp/collectives.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "tests/peer_python.h"
#include "tests/worker/ddp/rank_harness.h"

namespace ferrun::parity {
namespace {

std::string with_a_python_rank(const ddp::GroupAddress& address) {
  const auto group = ddp::ProcessGroup::create(address, {}).value();
  at::Tensor joined = at::zeros({4, 3});
  ddp::all_gather_into_tensor(*group, joined, at::zeros({2, 3}));
  if (!joined.equal(at::cat({at::zeros({2, 3}), at::ones({2, 3})}))) return "all_gather_into_tensor";
  at::Tensor part = at::zeros({2, 3});
  ddp::reduce_scatter_tensor(*group, part, at::arange(12, at::kFloat).view({4, 3}));
  if (!part.equal(at::arange(6, at::kFloat).view({2, 3}).mul(2))) return "reduce_scatter_tensor";
  at::Tensor even = at::zeros({4}, at::kLong);
  ddp::all_to_all_single(*group, even, at::arange(4, at::kLong));
  if (!even.equal(at::cat({at::arange(2, at::kLong), at::arange(10, 12, at::kLong)}))) return "all_to_all_single";
  at::Tensor uneven = at::full({4, 2}, -1.0);
  ddp::all_to_all_single(*group, uneven, at::zeros({3, 2}), {1, 3}, {1, 2});
  if (!uneven.equal(at::cat({at::zeros({1, 2}), at::ones({3, 2})}))) return "uneven all_to_all_single";
  at::Tensor told = at::zeros({3});
  if (ddp::recv_any(*group, told, 2) != 1 || !told.equal(at::full({3}, 7.0))) return "recv_any";
  ddp::send(*group, at::full({3}, 8.0), 1, 3);
  group->shut_down();  // the Python rank's barrier
  return "";
}

std::string python_rank(const ddp::GroupAddress& address) {
  const std::string command = "MASTER_ADDR=" + address.master_addr +
                              " MASTER_PORT=" + std::to_string(address.master_port) +
                              " RANK=1 WORLD_SIZE=2 TORCHELASTIC_USE_AGENT_STORE=True GLOO_SOCKET_IFNAME=lo '" +
                              peer_python() + "' -W ignore '" FERRUN_SOURCE_DIR "/tests/parity/collectives_peer.py'";
  return std::system(command.c_str()) == 0 ? "" : "the Python rank failed";
}

TEST(CollectivesParity, OfACppAndAPythonRankGiveBothTheirResults) {
  FERRUN_NEEDS_PEER();
  testing::RankHarness ranks;
  ranks.start(0, 2, with_a_python_rank);
  ranks.start(1, 2, python_rank);
  for (const int rank : {0, 1}) EXPECT_EQ(ranks.outcome(rank), "") << rank;
}

}  // namespace
}  // namespace ferrun::parity
