// When a log file is exchanged for a new one: --log-max-size and --log-keep. Pure values.
#pragma once

#include <cstddef>
#include <string_view>

namespace ferrun {

struct LogRotation {
  size_t max_bytes = 0;  // of one file; 0: it grows without end
  int keep = 0;          // so many old ones stay, as FILE.1 (the newest), FILE.2 ...

  bool on() const { return max_bytes > 0; }
};

// How many of `bytes` go into a file that has `size` already before it is exchanged; all of them where they fit. Whole
// lines: one that does not fit goes into the next file, and a longer one than a whole file into one of its own.
// `mid_line`: the file does not end with a newline.
size_t bytes_before_rotation(const LogRotation& rotation, std::string_view bytes, size_t size, bool mid_line);

}  // namespace ferrun
