// How much output was lost at one place, in the words of the line that says so.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ferrun {

struct LogLoss {
  uint64_t lines = 0;
  uint64_t bytes = 0;
  bool ends_mid_line = false;  // the rest of the last lost line is still to come

  bool empty() const { return bytes == 0; }

  // Counts `lost`, which follows what was counted so far.
  void add(std::string_view lost);
  void add(const LogLoss& later);

  // The rest of a line whose beginning was lost is lost as well: counts it and returns what follows it.
  std::string_view skip_rest_of_line(std::string_view bytes);

  // "1 line (17 B)", "12 lines (3.4 kB)"; a line without its end counts as a line.
  std::string describe() const;
};

}  // namespace ferrun
