// Opening a log file. May wait for a disk: not for the thread that runs the event loop.
#pragma once

#include <filesystem>

#include "common/io/unique_fd.h"
#include "common/result.h"

namespace ferrun {

// Opens a log file for appending and reading, with its directories; close-on-exec. A failure names the path and the
// remedy. When the file is the first thing in its directory, that is made with `directory_mode`.
Result<UniqueFd> open_log_file(const std::filesystem::path& path, unsigned directory_mode = 0777);
// The same in a directory that has to be there.
Result<UniqueFd> open_log_file_in_place(const std::filesystem::path& path);

}  // namespace ferrun
