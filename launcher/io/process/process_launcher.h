// Starts workers and reports their ends. Translates, never decides: when to start, stop or restart is the machines'
// word.
//
// Every worker runs in a session of its own with SIGKILL as parent-death signal, default signal dispositions, an empty
// signal mask, and no descriptor of ferrun's beyond 0, 1, 2 and what WorkerStdio names. Nothing here waits: neither for
// an exec nor for an end. Ownership: owned by the agent driver. Thread rule: the thread that runs `io`.
#pragma once

#include <sys/types.h>

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/exit_status.h"
#include "common/result.h"
#include "common/time.h"
#include "launcher/io/process/sweep.h"
#include "launcher/workers/spawn_request.h"

namespace ferrun {

// Descriptors that become the worker's 1 and 2; -1 inherits ferrun's. Borrowed: the caller closes its copies.
struct WorkerStdio {
  int out = -1;
  int err = -1;
  int extra = -1;  // becomes the worker's 3; -1: none
};

class ProcessLauncher {
 public:
  struct Callbacks {
    // Once for each worker that was started or forked, after its process is reaped.
    std::function<void(int attempt, int local_rank, pid_t pid, ExitStatus)> exited;
    // The fork template died after it was ready: no worker can be forked any more. One line for a person.
    std::function<void(const std::string&)> template_lost;
    // A line for a person: what a sweep waits for, why a worker that was thought started could not be executed.
    std::function<void(const std::string&)> say = [](const std::string&) {};
    std::function<void(const std::string&)> note = [](const std::string&) {};  // likewise, for --verbose
  };
  // The pid of a worker, or why there is none.
  using Started = std::function<void(const Result<pid_t>&)>;

  // Makes this process a subreaper: orphans of the job become its children. The constructing thread has to live as
  // long as the workers should (their parent-death signal is tied to it). `open_files`: the soft limit of open files
  // that workers get; none: this process's own.
  ProcessLauncher(boost::asio::io_context& io, Callbacks callbacks, std::optional<uint64_t> open_files = std::nullopt);
  // As kill_descendants(); nothing is reported any more.
  ~ProcessLauncher();
  ProcessLauncher(const ProcessLauncher&) = delete;
  ProcessLauncher& operator=(const ProcessLauncher&) = delete;

  // fork and exec. `started` is called once, from within or from the event loop, before any exit is reported. It gets
  // kUser when the program cannot be executed (missing, a directory, no permission, no "#!" line, a missing
  // interpreter), naming it; the exec error of the child is reported there, not as an exit. A program that takes a
  // second to be executed (a file system that hangs) counts as started; should it fail after that, its worker ends with
  // 127 and `say` tells why.
  void start(const SpawnRequest& request, WorkerStdio stdio, Started started);

  // Starts the template from which ranks are forked (StartMethod::kFork and kForkServer), in place of an earlier one.
  // `ready` is called once, from the event loop: with success when the template has reached its fork point, or with the
  // reason why it never will.
  void start_template(const TemplatePlan& plan, const std::function<void(Status)>& ready);
  // Forks a rank from the ready template, whose command line request.argv must be: same promises as start(), and the
  // rank is ferrun's own child as well. `forked` is called from the event loop.
  void fork_from_template(const SpawnRequest& request, WorkerStdio stdio, Started forked);
  bool template_running() const;

  // Sends `signal` to the worker's whole process group. False when the worker itself had already ended, its end
  // reported or not; what it left of its group is the sweep's matter, because its pid may be another process's by now.
  bool signal_group(pid_t pid, int signal);

  // Ends everything left of the job but the template: workers at once, and any orphan that was re-parented to the agent
  // (grandchildren with sessions of their own) as class Sweep says, after `grace`. `done` is called once all of them
  // are reaped, from within when nothing was left. Workers' own ends still reach `exited`. A fork under way is waited
  // for and killed as well. A second sweep joins one that is going on; the shorter grace counts.
  void sweep(Duration grace, Sweep::Done done);

  // SIGKILL for everything, the template as well, now; for an end that nothing comes after. Returns when all of them
  // are reaped, or after three seconds when something cannot be killed.
  void kill_descendants();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;  // handlers on the loop hold it weakly
};

// True when the ELF file at `path` carries the note of ferrun's client library: it can serve as a fork template. A file
// that cannot be read, is no ELF file or carries none gives false. Never executes the file.
bool has_fork_point(const std::string& path);

}  // namespace ferrun
