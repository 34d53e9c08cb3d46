// Text as a JSON string literal, quotes included. Pure. What is not UTF-8 becomes U+FFFD, so that any reader accepts
// it: messages may quote file names and foreign output.
#pragma once

#include <string>
#include <string_view>

namespace ferrun::client {

std::string json_string(std::string_view text);

}  // namespace ferrun::client
