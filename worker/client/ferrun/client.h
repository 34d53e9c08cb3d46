// What a program under ferrun may ask of its launcher: who am I, and where do errors go. Free of LibTorch and Boost;
// plain C ABI in client_c.h. A program that links ferrun::client and calls FERRUN_FORK_POINT first thing in main can be
// started once and forked for every rank (ferrun --start-method=fork or forkserver).
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace ferrun::client {

// The worker's place in the job, from the environment that ferrun and torchrun set. Without a launcher: a world of one.
struct Context {
  int rank = 0;
  int local_rank = 0;
  int world_size = 1;
  int local_world_size = 1;
  int group_rank = 0;
  int restart_count = 0;
  int max_restarts = 0;
  std::string run_id;  // TORCHELASTIC_RUN_ID, "" without a launcher
  // Unique for one launch, equal on all its ranks and through all its restarts (FERRUN_LAUNCH_ID; under torchrun made
  // from the run id and the agent's pid and start time). Empty without a launcher.
  std::string launch_id;
  // A folder of this node's for notes that outlive an attempt, the same for all attempts of the launch on this node
  // (FERRUN_LAUNCH_DIR). The first worker that has one makes it, with mode 0700; ferrun removes it at the job's end.
  // Empty where there is none: under torchrun, without a launcher, with --log-dir=/dev/null.
  std::string launch_dir;
  std::optional<std::string> error_file;  // TORCHELASTIC_ERROR_FILE
};
// A variable that is not a number, or ranks outside their world, throw std::invalid_argument naming the variable.
Context context_from_environment();

// Whose failure a worker reports. When one rank fails, all others lose their connection to it: ferrun looks for the
// root cause among those that failed by themselves.
enum class Cause {
  kUnsaid,    // ferrun goes by the words of the message
  kOwn,       // this rank failed by itself
  kLostPeer,  // another rank failed, or does not answer
};

// Writes `message` (one or more lines) to the error file that ferrun reads for its report, with the time. Does nothing
// without one; never throws. Returns whether a file was written.
bool report_error(const std::string& message, Cause cause = Cause::kUnsaid) noexcept;

// From now on an uncaught C++ exception, and a SIGSEGV, SIGBUS, SIGILL, SIGFPE or SIGABRT, write an error file with
// what happened and a backtrace that names functions, unless there is one already; then the process ends as it would
// have. To be called once, behind FERRUN_FORK_POINT and before threads are started; an overflow of the stack is told of
// the thread that called. Handlers that were there before are called too. Never throws. False: without a launcher,
// which changes nothing, or where the machine refused.
bool report_crashes() noexcept;

// From now on SIGTERM, SIGINT and SIGHUP, by which ferrun and schedulers ask for the end, are noted instead of killing
// the process; one that the process was started with as ignored stays so (nohup). A second SIGINT kills (a person's
// second Ctrl-C); a second SIGTERM does not, because a launcher sends it while a checkpoint is written. The ranks agree
// on the step at which they save and leave: ferrun::ddp::save_now().
void note_stop_signals();

// The first signal that was noted; 0 when there was none. Any thread.
int noted_stop_signal();

// How long from now until ferrun kills what has not left (its --shutdown-timeout, from the moment at which this process
// was asked); none before a signal was noted, and without ferrun. A scheduler's own limit may be shorter. Any thread.
std::optional<std::chrono::milliseconds> time_to_stop();

// In an ordinary run returns at once. In ferrun's fork template it serves fork requests and returns only in the forked
// ranks, each with its own session, streams, environment and affinity; the template itself never returns.
// No thread may have been started before.
void fork_point();

}  // namespace ferrun::client

// Marks the program by an ELF note and stops at the fork point. Exactly one use in a program, first thing in main.
#define FERRUN_FORK_POINT() ::ferrun::client::fork_point()
