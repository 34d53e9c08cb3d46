// probe_worker with a fork point: what it does before main, and what its ranks see, tells a fork from a start.
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "ferrun/client.h"
#include "tests/process/probe_actions.h"

namespace {
const pid_t loaded_by = getpid();  // set once for each exec: equal in all ranks of one template
}

int main(int argc, char** argv) {
  FERRUN_FORK_POINT();
  setenv("PROBE_LOADED_BY", std::to_string(loaded_by).c_str(), 1);
  return ferrun::probe::perform({argv + 1, argv + argc});
}
