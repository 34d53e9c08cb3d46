// Parts of a test that give something up for good (system calls, /proc): they run in a child process of their own.
#pragma once

#include <functional>
#include <vector>

namespace ferrun::testing {

inline constexpr int kCannotRestrict = 77;  // a step's way to say that this machine does not permit it

// Runs `part` in a child process. Fails the test when one of its expectations does; skips it (and returns) when the
// part ended with _exit(kCannotRestrict).
void in_child(const std::function<void()>& part);

// From now on these system calls of this process and its children fail with `error`, as a sandbox denies them. Ends
// the process where filters are not permitted.
void deny_system_calls(const std::vector<int>& numbers, int error);

// Hides /proc from this process and its children. Ends the process where that is not permitted.
void hide_proc();

}  // namespace ferrun::testing
