// Texts within HTML. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace ferrun::report {

// For the content of an element and for attributes in quotes: UTF-8 in which & < > " and ' are entities.
std::string escaped(std::string_view text);

// With so many decimals; "–" for what is not finite.
std::string fixed(double value, int decimals);
// 0.9312 → "93.1 %", with a space at which no line is broken.
std::string percent(double share);

std::string png_data_uri(std::span<const uint8_t> png);

}  // namespace ferrun::report
