// Whole small files, read and written at once.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "common/result.h"

namespace ferrun::report {

// Atomically: complete and durable, or as before. Failure: one line with the path.
Status write_file(const std::string& path, std::span<const uint8_t> bytes);
Status write_file(const std::string& path, std::string_view text);

// Failure: one line with the path; a file of more than 256 MiB is refused.
Result<std::string> read_file(const std::string& path);

}  // namespace ferrun::report
