// What failed workers left behind in files, and what is left behind for ferrun's own parent. May wait for a disk: not
// for the thread that runs the event loop.
#pragma once

#include <filesystem>
#include <string>

#include "common/result.h"
#include "launcher/report/error_file.h"

namespace ferrun {

// The worker's error file, as far as it has arrived. What is not a regular file, too large or no error file is
// kUnreadable, with its path; nothing but a disk is waited for.
ErrorFile read_error_file(const std::filesystem::path& path);

// Hands the root cause on to ferrun's own parent in `parent_file`, the TORCHELASTIC_ERROR_FILE that ferrun was given,
// as torchrun does: it may be a torchrun, or a platform that reads the same file. `error_file` is the worker's; without
// one `description` is told. Replaces the file as a whole; one that is a FIFO or a device is refused.
Status tell_parent(const std::filesystem::path& parent_file, const std::filesystem::path& error_file,
                   const std::string& description, int status);

// Leaves the root cause where a container's runtime looks for it. The file is written in place, since Kubernetes mounts
// it; what is not a regular file is refused.
Status leave_message(const std::filesystem::path& path, const std::string& message);

}  // namespace ferrun
