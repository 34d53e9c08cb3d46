// Cutting text. Pure.
#pragma once

#include <cstddef>
#include <string_view>

namespace ferrun {

// Without the blanks and line ends around it.
std::string_view strip(std::string_view text);

// The first `most` bytes of `text`, or fewer, so that no UTF-8 character is cut in two.
std::string_view cut_utf8(std::string_view text, size_t most);

// Length of the longest prefix of `bytes` that does not end inside a UTF-8 character; all of it when there is no such
// prefix or the end is no UTF-8 at all.
size_t length_without_cut_character(std::string_view bytes);

}  // namespace ferrun
