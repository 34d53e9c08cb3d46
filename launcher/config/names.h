// Names that ferrun makes: of jobs, launches and folders. Pure; randomness comes in as numbers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ferrun {

// A version-4 UUID in its usual spelling.
std::string random_uuid(uint64_t high, uint64_t low);
// The lowest `digits` hexadecimal digits of `number`.
std::string hexadecimal(uint64_t number, int digits);
// `length` characters of a-z and 0-9.
std::string lower_case_name(uint64_t number, int length);
// `text` as the name of one folder: a slash becomes "_", and "." and ".." are not left alone.
std::string file_name_of(std::string_view text);

}  // namespace ferrun
