// What the probe programs can do, one action after the other, as their arguments say. They are workers whose every
// property a test can see or choose.
//
//   exit N               end with code N
//   raise SIGNAL         end by (or send itself) that signal: TERM, SEGV, 9 …
//   ignore SIGNAL        ignore it from now on; children inherit that
//   sleep SECONDS        a fraction is allowed
//   forever              until killed
//   wait-file FILE       until FILE exists
//   touch FILE           creates FILE
//   append FILE TEXT     adds TEXT and a newline to FILE, in one write
//   pid FILE             writes its process id to FILE (complete once it exists)
//   out TEXT, err TEXT   a line on stdout or stderr
//   out-raw TEXT         without the newline
//   flood-out LINES WIDTH, flood-err LINES WIDTH   numbered lines, "0000000042 xxxx…"
//   env NAME             "NAME=value" or "NAME unset" on stdout
//   env-all              its whole environment on stdout, one variable a line
//   args                 its arguments on stdout, one a line
//   fds                  its open descriptors on stdout: "0 1 2"
//   signals              "blocked=MASK ignored=MASK caught=MASK" of /proc/self/status
//   ids                  "pid=… ppid=… pgid=… sid=… pdeathsig=…"
//   cpus                 the CPUs that it may run on: "0 1"
//   memory-policy        the NUMA node whose memory it prefers: "prefer 0", or "none"
//   open-files           its soft limit of open files
//   child plain|setsid|double|setsid-double   starts a grandchild that sleeps forever: in the worker's session, in one
//   of
//                        its own, orphaned by a second fork, or both; continues when it stands
//   error-file TEXT      writes {"message": TEXT, "timestamp": now} to TORCHELASTIC_ERROR_FILE
//   only-rank N, only-attempt N   the next action is for the worker with that RANK, or in that attempt
//                        (TORCHELASTIC_RESTART_COUNT), alone; both may precede one action
#pragma once

#include <string>
#include <vector>

namespace ferrun::probe {

// Performs `arguments` in order. Returns 0 when none of them ended the process, 64 when one is no action.
int perform(const std::vector<std::string>& arguments);

}  // namespace ferrun::probe
