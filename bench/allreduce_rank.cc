// A C++ rank for restart_bench: Gloo group, first all-reduce; in every attempt but the last, rank 1 dies by SIGKILL in
// the middle of the next one, for which rank 0 waits. allreduce_rank.py is its Python twin.
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "bench/restart_events.h"
#include "common/environment.h"
#include "ferrun/client.h"
#include "worker/ddp/process_group.h"

namespace {

using namespace ferrun;

constexpr int kError = 3;

int train(const client::Context& me) {
  const auto address = ddp::group_address_from(Environment::from_block(environ));
  if (!address) return std::fprintf(stderr, "%s\n", address.error().message.c_str()), kError;
  const auto group = ddp::ProcessGroup::create(*address, {});
  if (!group) return std::fprintf(stderr, "%s\n", group.error().message.c_str()), kError;
  at::Tensor sum = at::ones({1024});
  (*group)->all_reduce_sum(sum);
  if (sum[0].item<float>() != static_cast<float>(me.world_size)) return kError;
  bench::record_event("reduced", me.restart_count, me.rank);
  if (me.restart_count == me.max_restarts) {
    (*group)->shut_down();
    return 0;
  }
  if (me.rank == 1) {
    usleep(20'000);  // rank 0 waits inside the collective
    bench::record_event("dies", me.restart_count, me.rank);
    kill(getpid(), SIGKILL);
  }
  (*group)->all_reduce_sum(sum);
  return kError;  // a collective without rank 1 cannot succeed
}

}  // namespace

int main() {
  FERRUN_FORK_POINT();
  const client::Context me = client::context_from_environment();
  bench::record_event("started", me.restart_count, me.rank);
  try {
    _exit(train(me));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "rank %d: %s\n", me.rank, error.what());
    _exit(kError);
  }
}
