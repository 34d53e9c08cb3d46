// Which exit status an error gives. Pure.
#pragma once

#include "common/exit_status.h"
#include "common/result.h"

namespace ferrun {

// 2 for what the user corrects (an option, a file, a program), 75 when the machine refused and may not the next time,
// 70 for ferrun's own faults.
inline int exit_status_of(const Error& error) {
  switch (error.kind) {
    case ErrorKind::kUsage:
    case ErrorKind::kUser: return kExitUsage;
    case ErrorKind::kPlatform: return kExitRendezvous;
    case ErrorKind::kWorker:
    case ErrorKind::kInternal: return kExitInternal;
  }
  return kExitInternal;
}

}  // namespace ferrun
