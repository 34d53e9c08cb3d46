// One process, started the way every process of a job must be: in a session of its own, ended by SIGKILL when the agent
// dies, default signal dispositions, empty mask, no descriptor of ferrun's but those given.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
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
  // Its soft limit of open files; none: as ferrun's, which may have been raised.
  std::optional<uint64_t> open_files = std::nullopt;
  // kSure: the outcome of the exec is told through a pipe. kQuick: it is not, for a program that has just been executed
  // successfully; should it fail all the same, the process says why on its stderr and ends with 127.
  enum class Mode { kSure, kQuick } mode = Mode::kSure;
  // The NUMA node whose memory it takes first, as far as the kernel lets it; none: by ferrun's policy.
  std::optional<int> memory_node = std::nullopt;
};

inline constexpr int kExtraDescriptor = 3;

struct SpawnedProcess {
  pid_t pid = 0;
  int exec_outcome = -1;  // kSure: the pipe's end, close-on-exec; the caller owns it
};

// Forks, and returns at once: a program on a hung file system may take for ever to be executed. On an error no process
// is left; it is kPlatform, a limit of the machine. The calling thread must live as long as the process should
// (parent-death signals are tied to threads), so call it from the agent's main thread.
Result<SpawnedProcess> spawn_process(const SpawnPlan& plan);

// What the child could not do, as it comes through the pipe.
struct ExecFailure {
  enum class Step : int32_t { kParentDied, kAffinity, kStdio, kLimit, kExec } step = Step::kExec;
  int32_t error = 0;
};

// Reads `exec_outcome` once it is readable. None: the program is executed, or the process was killed before it could
// be. Otherwise the process is about to end.
std::optional<ExecFailure> read_exec_outcome(int exec_outcome);

// In one line that says what to do. kUser: the program, its interpreter or the CPUs cannot be used.
Error explain_start_failure(const std::string& program, const std::vector<int>& cpus, const ExecFailure& failure);

// Why execve(2) of `path` failed with `error`, in one line that says what to do.
Error explain_exec_failure(const std::string& path, int error);

}  // namespace ferrun
