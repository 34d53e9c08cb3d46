// One process, started the way every process of a job must be: in a session of its own, ended by SIGKILL when the agent
// dies, default signal dispositions, empty mask, no descriptor of ferrun's but those given.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "common/environment.h"
#include "common/result.h"

namespace ferrun {

struct SpawnPlan {
  const std::vector<std::string>& argv;  // argv[0] is the path to execute
  const Environment& environment;
  // Become 1 and 2 of the process; -1 keeps ferrun's. All descriptors here are borrowed, and above 2.
  int out = -1;
  int err = -1;
  int extra = -1;                // becomes descriptor kExtraDescriptor
  const std::vector<int>& cpus;  // the CPUs it may run on; empty: as ferrun
  // kSure: returns when the program is executed, or with the reason why it cannot be. kQuick: returns at once, for a
  // program that has just been executed successfully, so that many workers start side by side; should it fail all the
  // same, the process says why on its stderr and ends with 127.
  enum class Mode { kSure, kQuick } mode = Mode::kSure;
};

inline constexpr int kExtraDescriptor = 3;

struct SpawnedProcess {
  pid_t pid = 0;
  int pidfd = -1;  // close-on-exec; the caller owns it
};

// On an error no process is left. kUser: the program, its interpreter or the CPUs cannot be used; kPlatform: a limit of
// the machine. The calling thread must live as long as the process should (parent-death signals are tied to threads),
// so call it from the agent's main thread.
Result<SpawnedProcess> spawn_process(const SpawnPlan& plan);

// Why execve(2) of `path` failed with `error`, in one line that says what to do.
Error explain_exec_failure(const std::string& path, int error);

}  // namespace ferrun
