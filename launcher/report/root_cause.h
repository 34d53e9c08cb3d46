// Which failure of an attempt came first, and which only followed from it. Pure.
#pragma once

#include <string>
#include <vector>

#include "launcher/report/error_file.h"
#include "launcher/workers/group_machine.h"
#include "rendezvous/job/failure.h"

namespace ferrun {

// What a worker left behind, beside its end.
struct WorkerEvidence {
  ErrorFile error;
  std::vector<std::string> stderr_tail;  // bytes, newest last; empty when its stderr was inherited
  std::string out_of_memory;  // how the kernel's counters say that it was killed for memory; empty: they do not
};

enum class Part {
  kNone,  // succeeded, or never started
  kRootCause,
  kFailedToo,  // failed by itself, later or because of the root cause
  kVictim,     // ended because ferrun told it to
};

struct Diagnosis {
  int root_cause = 0;       // local rank
  std::string reason;       // why this one: "it was the first to fail"
  std::vector<Part> parts;  // by local rank
};

// The root cause is the failure that was noticed first. Of failures noticed together the error files' times decide,
// then the lower rank. A worker that only lost its connection to a peer is not the cause when another one failed by
// itself. `workers` and `evidence` are by local rank; at least one worker failed.
Diagnosis diagnose(const std::vector<WorkerRecord>& workers, const std::vector<WorkerEvidence>& evidence);

// Whether a worker that failed ended as ferrun's own signals bring it about: by one of them, or by an exit of its
// handler. One that wrote an error file has a story of its own.
bool is_victim(const WorkerRecord& worker, const WorkerEvidence& evidence);

// What kind of failure it is, for a worker that failed by itself. One that exited, or aborted, and speaks of a lost
// connection only lost its peer.
FailureKind failure_kind(const WorkerRecord& worker, const WorkerEvidence& evidence);

}  // namespace ferrun
