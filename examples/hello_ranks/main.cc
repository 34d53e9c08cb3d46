// hello_ranks: the smallest program for ferrun. Every worker says who it is.
//
//   ferrun --nproc-per-node 4 hello_ranks
//   ferrun --nproc-per-node 4 --start-method fork hello_ranks     started once, then forked for every rank
//   ferrun --nproc-per-node 4 --max-restarts 1 hello_ranks --fail-once 2
//                                                                  rank 2 fails in the first attempt; see the restart
//   hello_ranks                                                    without a launcher: a world of one
//
// Build it outside this tree against an installed ferrun:
//
//   find_package(ferrun REQUIRED)
//   target_link_libraries(hello_ranks PRIVATE ferrun::client)
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <string_view>

#include "ferrun/client.h"

namespace {

int hello(int argc, char** argv) {
  const ferrun::client::Context me = ferrun::client::context_from_environment();
  // One write for the whole line: lines of different workers never mix.
  std::printf("hello from rank %d of %d (local rank %d of %d on node %d, attempt %d, pid %d)\n", me.rank, me.world_size,
              me.local_rank, me.local_world_size, me.group_rank, me.restart_count, static_cast<int>(getpid()));
  std::fflush(stdout);
  if (argc == 3 && std::string_view(argv[1]) == "--fail-once" && me.restart_count == 0 &&
      me.rank == std::atoi(argv[2])) {
    ferrun::client::report_error("rank " + std::to_string(me.rank) + " was told to fail once");
    return 1;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  FERRUN_FORK_POINT();  // before anything that starts a thread
  try {
    return hello(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "hello_ranks: %s\n", error.what());
    return 2;
  }
}
