// Cuts a stream of bytes, which arrives in arbitrary pieces, into lines for a person to read.
//
// A line ends with "\n", "\r\n" or a lone "\r" (a progress bar that overwrites itself becomes one line for each of its
// states; an empty state, as of a bar that begins with "\r", is no line). A line longer than the limit is cut into
// several, not inside a UTF-8 character. Nothing else is interpreted: NUL and invalid UTF-8 pass untouched. The lines
// do not depend on how the bytes were split into pieces. Holds at most one limit's worth of bytes. Thread rule: none, a
// value.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "common/text.h"

namespace ferrun {

class LineSplitter {
 public:
  explicit LineSplitter(size_t longest_line) : longest_(longest_line == 0 ? 1 : longest_line) {}

  // Calls line(std::string_view) for every line that `bytes` completes, without its end. The view is valid during the
  // call.
  template <typename Line>
  void feed(std::string_view bytes, Line&& line) {
    // Most output has no "\r": one search of the whole piece saves one for every line.
    const bool has_return = bytes.find('\r') != std::string_view::npos;
    while (!bytes.empty()) {
      if (skip_newline_ && bytes.front() == '\n') {
        bytes.remove_prefix(1);
        skip_newline_ = false;
        continue;
      }
      skip_newline_ = false;
      const size_t end = has_return ? bytes.find_first_of("\r\n") : bytes.find('\n');
      if (end == std::string_view::npos) return hold(bytes, line);
      const bool is_return = bytes[end] == '\r';
      if (!is_return || end > 0 || !held_.empty()) {
        finish_line(bytes.substr(0, end), line);
        skip_newline_ = is_return;
      }
      bytes.remove_prefix(end + 1);
    }
  }

  // The stream has ended: what is held becomes the last line.
  template <typename Line>
  void finish(Line&& line) {
    if (!held_.empty()) finish_line({}, line);
    skip_newline_ = false;
  }

  // Bytes of the line that has not ended yet.
  size_t held() const { return held_.size(); }
  // Valid until the next call.
  std::string_view held_text() const { return held_; }

 private:
  static constexpr size_t kKeptCapacity = 16 << 10;

  template <typename Line>
  void hold(std::string_view bytes, Line& line) {
    while (held_.size() + bytes.size() > longest_) emit_full_line(bytes, line);
    held_.append(bytes);
  }

  template <typename Line>
  void finish_line(std::string_view bytes, Line& line) {
    while (held_.size() + bytes.size() > longest_) emit_full_line(bytes, line);
    if (held_.empty()) return line(bytes);
    held_.append(bytes);
    line(std::string_view(held_));
    release();
  }

  // Emits one line of the longest length, taken from what is held and the front of `bytes`.
  template <typename Line>
  void emit_full_line(std::string_view& bytes, Line& line) {
    if (held_.empty()) {
      const size_t length = length_without_cut_character(bytes.substr(0, longest_));
      line(bytes.substr(0, length));
      bytes.remove_prefix(length);
      return;
    }
    const size_t taken = longest_ - held_.size();
    held_.append(bytes.substr(0, taken));
    bytes.remove_prefix(taken);
    const size_t length = length_without_cut_character(held_);
    line(std::string_view(held_).substr(0, length));
    held_.erase(0, length);
  }

  void release() {
    held_.clear();
    if (held_.capacity() > kKeptCapacity) held_ = std::string();
  }

  size_t longest_;
  std::string held_;
  bool skip_newline_ = false;  // a "\r" has just ended a line: a "\n" right behind it belongs to it
};

}  // namespace ferrun
