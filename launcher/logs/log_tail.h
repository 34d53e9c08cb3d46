// The end of a stream of output, kept for the failure report.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ferrun {

// The last `count` lines of `bytes`, newest last, as LineSplitter cuts them; lines longer than `longest` are shortened
// to their beginning, with " …" behind it. With `begins_mid_line` the first line is left out unless it is the only one.
std::vector<std::string> last_lines(std::string_view bytes, size_t count, bool begins_mid_line, size_t longest = 4096);

// Keeps the last bytes of a stream, and where among them a moment of it lies. Costs one bounded copy for each append,
// whatever the number of lines.
class LogTail {
 public:
  explicit LogTail(size_t capacity = 16 << 10) : capacity_(capacity) {}

  void append(std::string_view bytes);
  std::vector<std::string> lines(size_t count) const;
  // Remembers this moment, in place of an earlier one.
  void mark() { behind_mark_ = 0; }
  // The last lines at the moment of the mark, as far as they are kept still; none without a mark.
  std::vector<std::string> lines_before_mark(size_t count) const;

 private:
  std::string bytes() const;

  size_t capacity_;
  std::string ring_;  // grows to the capacity with what was written
  size_t next_ = 0;   // where the next byte goes once the ring is full: the oldest byte
  bool wrapped_ = false;
  std::optional<size_t> behind_mark_;  // bytes
};

}  // namespace ferrun
