// The end of a stream of output, kept for the failure report.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace ferrun {

// The last `count` lines of `bytes`, newest last, as LineSplitter cuts them; lines longer than `longest` are shortened
// to their beginning, with " …" behind it. With `begins_mid_line` the first line is left out unless it is the only one.
std::vector<std::string> last_lines(std::string_view bytes, size_t count, bool begins_mid_line, size_t longest = 4096);

// Keeps the last bytes of a stream. Costs one bounded copy for each append, whatever the number of lines.
class LogTail {
 public:
  explicit LogTail(size_t capacity = 16 << 10) : capacity_(capacity) {}

  void append(std::string_view bytes);
  std::vector<std::string> lines(size_t count) const;

 private:
  size_t capacity_;
  std::string ring_;  // grows to the capacity with what was written
  size_t next_ = 0;   // where the next byte goes once the ring is full: the oldest byte
  bool wrapped_ = false;
};

}  // namespace ferrun
