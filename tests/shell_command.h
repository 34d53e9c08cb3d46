// A shell's command, run to its end.
#pragma once

#include <sys/wait.h>

#include <cstdio>
#include <string>

namespace ferrun::testing {

struct ShellOutcome {
  int code;  // as a shell has it: 128 + n where signal n has ended it; -1: not started
  std::string output;
};

// Standard output and standard error together, as they came.
inline ShellOutcome shell(const std::string& command) {
  FILE* const pipe = popen(("exec 2>&1; " + command).c_str(), "r");
  if (pipe == nullptr) return {-1, "popen failed"};
  std::string output;
  char buffer[4096];
  for (size_t count = 0; (count = fread(buffer, 1, sizeof buffer, pipe)) > 0;) output.append(buffer, count);
  const int status = pclose(pipe);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), output};
}

}  // namespace ferrun::testing
