// Base64 of RFC 4648, section 4, with padding: pictures within JSON and HTML. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ferrun::report {

std::string base64(std::span<const uint8_t> bytes);

// Nothing when the text is not of that form.
std::optional<std::vector<uint8_t>> from_base64(std::string_view text);

}  // namespace ferrun::report
