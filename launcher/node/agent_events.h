// What the agent machine is told and what it asks for: plain values between it and its driver.
#pragma once

#include <sys/types.h>

#include <string>
#include <variant>

#include "common/result.h"
#include "launcher/config/job_config.h"
#include "launcher/workers/group_events.h"

namespace ferrun {

// --- Facts. Those that belong to an attempt carry its number. ---

struct AttemptReady {
  int attempt = 0;
};

struct AttemptNotReady {
  int attempt = 0;
  Error error;
};

// Nothing of the attempt is left, and its output is drained.
struct AttemptSwept {
  int attempt = 0;
};

// RankStarted, RankNotStarted, RankNotForked, RankEnded or SignalMissed of the attempt's group.
struct WorkerFact {
  int attempt = 0;
  GroupEvent event;
};

// The template could not start, or died.
struct TemplateUnusable {
  std::string reason;
};

struct SignalArrived {
  int signal = 0;
  bool direct = false;  // at the agent itself; else its sentinel took it and passed it on
};

struct SentinelDied {};

struct DeadlineArrived {};

using AgentEvent = std::variant<AttemptReady, AttemptNotReady, AttemptSwept, WorkerFact, TemplateUnusable,
                                SignalArrived, SentinelDied, DeadlineArrived>;

// --- How a job ended. ---

struct Success {};

// A worker failed and no restart was left: the machine's group() tells which.
struct GroupFailed {};

struct StoppedBy {
  int signal = 0;
};

// An attempt could not be prepared, or its program not be executed.
struct CannotRun {
  Error error;
};

// The sentinel died; everything has been killed.
struct Abandoned {};

using Ending = std::variant<Success, GroupFailed, StoppedBy, CannotRun, Abandoned>;

// --- Effects, to be carried out in their order. ---

// Folders, store and, when asked for, the template; answered by AttemptReady or AttemptNotReady.
struct PrepareAttempt {
  int attempt = 0;
  bool with_template = false;
};

// Answered by RankStarted or RankNotStarted; from the template also by RankNotForked.
struct StartWorker {
  int attempt = 0;
  int local_rank = 0;
  bool from_template = false;
};

// Answered by SignalMissed when the worker had already ended.
struct SignalWorker {
  int attempt = 0;
  int local_rank = 0;
  pid_t pid = 0;
  int signal = 0;
};

// Kill what is left of the attempt and drain its output; answered by AttemptSwept.
struct SweepAttempt {
  int attempt = 0;
};

struct KillEverything {};

struct Say {
  LogLevel level = LogLevel::kInfo;
  std::string line;
};

// The last effect.
struct Finish {
  Ending ending;
};

using AgentEffect = std::variant<PrepareAttempt, StartWorker, SignalWorker, SweepAttempt, KillEverything, Say, Finish>;

}  // namespace ferrun
