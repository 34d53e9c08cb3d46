// The whole of a file that is expected to be small: of /proc or /sys, an error file, a token. Never waits for a writer:
// what is not a regular file is not read.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

#include "common/result.h"

namespace ferrun {

struct SmallFile {
  enum class State {
    kRead,
    kAbsent,     // there is no such file
    kTooLarge,   // it has more than the limit
    kNotAFile,   // a folder, a FIFO, a socket or a device
    kUnreadable  // the machine refused
  };
  State state = State::kAbsent;
  std::string bytes;    // all of it; of one that is too large as much as the limit allows; else empty
  std::string problem;  // for a person, after the file's name: "it is a folder"; empty for kRead and kAbsent
};

inline constexpr size_t kSmallFileBytes = size_t{1} << 20;

// At most `most` bytes, whatever the file's size says: those of /proc have none.
SmallFile read_small_file(const std::filesystem::path& path, size_t most = kSmallFileBytes);

// The same for a file that has to be there. Failure (kUser): "PATH: cannot be read: why".
Result<std::string> read_whole_file(const std::filesystem::path& path, size_t most = kSmallFileBytes);

}  // namespace ferrun
