#include "common/json_beginning.h"

#include <optional>

namespace ferrun {
namespace {

// Walks over the text, and knows at each byte how to close what is open there.
class Walk {
 public:
  void take(char c, size_t at) {
    if (in_string_) return take_in_string(c, at);
    switch (c) {
      case '"':
        in_string_ = true;
        is_key_ = !open_.empty() && open_.back() == '}' && !after_colon_;
        break;
      case '{':
      case '[':
        open_ += c == '{' ? '}' : ']';
        after_colon_ = false;
        note_whole(at + 1);  // an empty one is a value too
        break;
      case '}':
      case ']':
        if (!open_.empty()) open_.pop_back();
        note_whole(at + 1);
        break;
      case ':': after_colon_ = true; break;
      case ',':  // a number or a word is whole only now
        after_colon_ = false;
        note_whole(at);
        break;
      default: break;
    }
  }

  std::string close(std::string_view text) const {
    const bool keeps_string = in_string_ && !is_key_;
    std::string closed(text.substr(0, keeps_string ? end_of_string(text) : whole_));
    if (keeps_string) closed += '"';
    const std::string& open = keeps_string ? open_ : whole_open_;
    return closed.append(open.rbegin(), open.rend());
  }

 private:
  void take_in_string(char c, size_t at) {
    if (hex_left_ > 0) {
      code_ = code_ * 16 + hex_value(c);
      if (--hex_left_ == 0) end_escape();
    } else if (escape_) {
      hex_left_ = c == 'u' ? kHexDigits : 0;
      code_ = 0;
      if (hex_left_ == 0) end_escape();
    } else if (c == '\\') {
      escape_ = at;
    } else {
      half_.reset();
      if (c != '"') return;
      in_string_ = false;
      if (!is_key_) note_whole(at + 1);
    }
  }

  // The first half of a surrogate pair is nothing without the second.
  void end_escape() {
    const bool is_half = !half_ && code_ >= 0xD800 && code_ < 0xDC00;
    half_ = is_half ? escape_ : std::nullopt;
    escape_.reset();
    code_ = 0;
  }

  static unsigned hex_value(char c) {
    if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
    return (static_cast<unsigned>(c) | 0x20U) - 'a' + 10;
  }

  // Without an escape or a character that is not complete.
  size_t end_of_string(std::string_view text) const {
    if (half_) return *half_;
    if (escape_) return *escape_;
    size_t lead = text.size();
    while (lead > 0 && text.size() - lead < 3 && (static_cast<unsigned char>(text[lead - 1]) & 0xC0) == 0x80) --lead;
    if (lead == 0) return text.size();
    const auto first = static_cast<unsigned char>(text[lead - 1]);
    const size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC0 ? 2 : 1;
    return text.size() - (lead - 1) < length ? lead - 1 : text.size();
  }

  void note_whole(size_t end) {
    whole_ = end;
    whole_open_ = open_;
  }

  static constexpr int kHexDigits = 4;
  std::string open_;  // what closes it, the innermost last
  size_t whole_ = 0;  // up to here the text can be closed
  std::string whole_open_;
  bool in_string_ = false;
  bool is_key_ = false;  // the string
  bool after_colon_ = false;
  std::optional<size_t> escape_;  // where one began that is not complete
  std::optional<size_t> half_;    // where the first half of a pair began that may have a second
  int hex_left_ = 0;
  unsigned code_ = 0;
};

}  // namespace

std::string completed_json(std::string_view beginning) {
  Walk walk;
  for (size_t at = 0; at < beginning.size(); ++at) walk.take(beginning[at], at);
  return walk.close(beginning);
}

}  // namespace ferrun
