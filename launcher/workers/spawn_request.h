// What a worker is to be, decided before it starts: a value that the pure machines build and the process adapter
// executes.
#pragma once

#include <string>
#include <vector>

#include "common/environment.h"

namespace ferrun {

enum class StartMethod { kSpawn, kFork, kForkServer };

struct SpawnRequest {
  int local_rank = 0;
  int attempt = 0;  // counts from 0; every fact about the worker carries it
  // argv[0] is the path of the program to execute (it holds a slash); the rest is passed untouched.
  std::vector<std::string> argv;
  // The whole environment of the worker, not an addition to ferrun's.
  Environment environment;
  // The CPUs that the worker may run on; empty: those that ferrun may run on.
  std::vector<int> cpus;
};

}  // namespace ferrun
