// Which known name a misspelled one was meant to be. Pure.
#pragma once

#include <span>
#include <string_view>

namespace ferrun {

// The name that fewest edits (a letter inserted, removed or replaced, or two neighbours exchanged) make out of `text`,
// the first of several; empty where the nearest is further away than a third of the letters, at least one: a guess that
// far off would mislead.
std::string_view nearest_name(std::string_view text, std::span<const std::string_view> names);

}  // namespace ferrun
