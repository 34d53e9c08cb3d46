// Bytes of unknown origin as text that a terminal may be given. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ferrun {

// Valid UTF-8 stays, an invalid byte becomes U+FFFD; terminal control sequences (colours, cursor movements) and control
// characters are left out, tabs stay. Of text that a carriage return overwrote, as progress bars do, the last part
// stays.
std::string printable(std::string_view bytes);

// What a user typed, as one line that shows all of it: control characters as C writes them ("\\n", "\\x1b"), an invalid
// byte as U+FFFD.
std::string one_line(std::string_view typed);

// Lines of `text`, without line ends and without empty lines at the end.
std::vector<std::string> lines_of(std::string_view text);

}  // namespace ferrun
