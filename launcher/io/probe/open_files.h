// The limit of open files (RLIMIT_NOFILE).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "common/result.h"

namespace ferrun {

// The soft limit as it is now; none when the kernel does not tell.
std::optional<uint64_t> soft_open_files();

// Makes sure that this process may hold `needed` open files: raises the soft limit as far as needed. Its children
// inherit that, unless they are given the old one (SpawnPlan::open_files). kPlatform with the remedy when the hard
// limit is lower.
Status ensure_open_files(size_t needed);

// Raises the soft limit towards `wanted`, as far as the hard limit allows.
void raise_open_files(size_t wanted);

}  // namespace ferrun
