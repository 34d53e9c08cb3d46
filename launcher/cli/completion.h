// What makes a shell complete ferrun's options: a script for each shell, made from the flag table. Pure.
#pragma once

#include <string>
#include <string_view>

#include "common/result.h"

namespace ferrun {

// The script to be sourced by `shell`: bash, zsh, fish or tcsh. It completes the names of the options, their values
// where they are words of a list, files or folders, and then the program. Fails with kUsage for another shell.
Result<std::string> completion_script(std::string_view shell);

}  // namespace ferrun
