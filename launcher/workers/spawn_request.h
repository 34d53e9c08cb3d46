// What a worker is to be, decided before it starts: a value that the pure machines build and the process adapter
// executes.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/environment.h"
#include "launcher/workers/python_template.h"

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
  std::optional<int> memory_node = std::nullopt;  // whose memory it takes first; none: by ferrun's policy
};

// The process that ranks are forked from.
struct TemplatePlan {
  std::vector<std::string> argv;       // as every rank's
  Environment environment;             // what all ranks have in common
  std::optional<PythonPlan> python{};  // none: argv[0] is a program that links ferrun::client
};

}  // namespace ferrun
