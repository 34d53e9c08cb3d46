// The log tree on the disk: directories, files, and reading the end of a file back. Nothing is ever deleted.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "common/result.h"

namespace ferrun {

// Opens a log file for appending, with its directories; close-on-exec. A failure names the path and the remedy. When
// the file is the first thing in its directory, that is made with `directory_mode`.
Result<int> open_log_file(const std::filesystem::path& path, unsigned directory_mode = 0777);

// The last `count` lines of the last 64 KiB of the file; none when it cannot be read.
std::vector<std::string> read_last_lines(const std::filesystem::path& path, size_t count);

}  // namespace ferrun
