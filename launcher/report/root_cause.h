// What kind of failure it is, and whether it only followed from another. Pure.
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

// Whether a worker that failed ended as ferrun's own signals bring it about: by one of them, or by an exit of its
// handler. One that wrote an error file has a story of its own, also where a signal hit it on its way out; unless the
// story is that of a lost peer.
bool is_victim(const WorkerRecord& worker, const WorkerEvidence& evidence);

// What kind of failure it is, for a worker that failed by itself. Whether it only lost its peer is said by its error
// file; where that does not, by the words of one that exited or aborted: of the error file's message, of the exception
// that ended a Python program, or of the last lines of its stderr.
FailureKind failure_kind(const WorkerRecord& worker, const WorkerEvidence& evidence);

}  // namespace ferrun
