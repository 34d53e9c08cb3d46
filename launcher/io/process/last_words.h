// What the sentinel says itself, without a log: a line on stderr, which a stopped terminal or a full pipe must not hold
// up.
#pragma once

#include <string_view>

namespace ferrun {

// `line` with its line end, or nothing where it would have to wait.
void say_without_waiting(std::string_view line);

}  // namespace ferrun
