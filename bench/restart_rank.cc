// A rank without LibTorch for restart_bench: in every attempt but the last, rank 1 dies by SIGKILL while the others
// sleep with the default action for SIGTERM.
#include <unistd.h>

#include <csignal>

#include "bench/restart_events.h"
#include "ferrun/client.h"

int main() {
  FERRUN_FORK_POINT();
  const ferrun::client::Context me = ferrun::client::context_from_environment();
  ferrun::bench::record_event("started", me.restart_count, me.rank);
  if (me.restart_count == me.max_restarts) return 0;
  if (me.rank != 1) {
    for (;;) pause();
  }
  usleep(100'000);  // all ranks are up
  ferrun::bench::record_event("dies", me.restart_count, me.rank);
  kill(getpid(), SIGKILL);
}
