// Texts that come from folder names and files: whatever their bytes are, they have to be drawn and lined up.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace ferrun::report {

// The same text as UTF-8 without control characters: bytes that are none become U+FFFD, control characters spaces.
std::string valid_utf8(std::string_view text);

// Columns that valid UTF-8 takes on a terminal: two for East Asian wide characters, none for combining ones.
size_t display_width(std::string_view text);

}  // namespace ferrun::report
