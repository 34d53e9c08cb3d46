// The limit of open files (RLIMIT_NOFILE).
#pragma once

#include <cstddef>

#include "common/result.h"

namespace ferrun {

// Makes sure that this process may hold `needed` open files: raises the soft limit as far as needed, which its children
// inherit. kPlatform with the remedy when the hard limit is lower.
Status ensure_open_files(size_t needed);

// Raises the soft limit towards `wanted`, as far as the hard limit allows.
void raise_open_files(size_t wanted);

}  // namespace ferrun
