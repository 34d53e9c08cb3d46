// Programs that the tests' network is made with. A command that fails, or is missing, ends the test with its words.
#pragma once

#include <string>
#include <vector>

namespace ferrun::testing {

using Command = std::vector<std::string>;

// Waits for its end; throws std::runtime_error with the command and what it printed when it is not 0.
void run(const Command& command);
// Whether the program is in PATH (sbin folders included).
bool has_program(const std::string& name);
// "ip -n NAME addr" → words, split at spaces.
Command words(const std::string& line);

}  // namespace ferrun::testing
