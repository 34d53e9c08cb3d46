// The beginning of a JSON text that is too large to be read whole, as a JSON text. Pure.
#pragma once

#include <string>
#include <string_view>

namespace ferrun {

// `beginning` with what is open closed: a string value keeps what is there of it, other values that are not complete
// are left out, with their keys. Empty where nothing is left. What was no JSON before is none afterwards.
std::string completed_json(std::string_view beginning);

}  // namespace ferrun
