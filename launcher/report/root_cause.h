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
  std::vector<std::string>
      stderr_before_stop;           // the same at ferrun's first signal to end it; empty when there was none
  std::string timer;                // which of its own timers it overran, for which it was ended; empty: none
  std::vector<std::string> device;  // what is wrong with its GPU (gpu_lines); empty: nothing, or none is known
  std::string out_of_memory;        // how the kernel's counters say that it was killed for memory; empty: they do not
  // They count this job's own control group, so that a process of the job was killed, if not this one.
  bool memory_of_the_job = false;
};

// Whether this end may, by failure_kind, be that of a worker that only lost its peer; what it left behind tells. (That
// a worker says so in its error file and then crashes is too rare to look for it before the others are stopped.)
bool may_have_lost_its_peer(const ExitStatus& status);

// Whether a worker that failed ended as ferrun's own signals bring it about: by one of them, or by an exit of its
// handler. One that wrote an error file has a story of its own, also where a signal hit it on its way out; unless the
// story is that of a lost peer. So has one without an error file whose stderr tells of an uncaught exception, of Python
// or C++, which is no lost peer's: before the signal, or at all where it ended by an exit code of its own.
bool is_victim(const WorkerRecord& worker, const WorkerEvidence& evidence);

// What kind of failure it is, for a worker that failed by itself. Whether it only lost its peer is said by its error
// file; where that does not, by the words of one that exited or aborted: of the error file's message, of the exception
// that ended a Python program, or of the last lines of its stderr. kCutShort: it was ending by an exception when ferrun
// stopped it.
FailureKind failure_kind(const WorkerRecord& worker, const WorkerEvidence& evidence);

// Whether a signal of ferrun's ended a worker that was ending by an exception of its own.
bool was_met_on_its_way_out(const WorkerRecord& worker, const WorkerEvidence& evidence);

// How a worker that failed ended; one that ferrun's signal met on its way out, as it would have without the signal,
// where that can be told (not of a crash that ferrun::client reports). It has to have been started.
ExitStatus own_end(const WorkerRecord& worker, const WorkerEvidence& evidence);

}  // namespace ferrun
