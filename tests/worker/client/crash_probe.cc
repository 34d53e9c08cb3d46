// Ends in the way that it is told to.
#include <sys/resource.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>

#include "ferrun/client.h"

namespace probe {

// Functions whose names the backtrace has to have: not inlined, not the last thing that their callers do.
__attribute__((noinline)) void read_nothing(volatile int* nowhere) {
  *nowhere = 1;
  asm volatile("");
}

__attribute__((noinline)) void throw_something(const std::string& what) {
  if (what == "text") throw "only text";
  if (what == "number") throw 7;
  throw std::runtime_error("a \"quoted\"\nbad label");
}

__attribute__((noinline)) int overflow_the_stack(int depth) {  // NOLINT(misc-no-recursion)
  volatile char frame[4096];
  frame[0] = static_cast<char>(depth);
  return overflow_the_stack(depth + 1) + frame[0];
}

void earlier_handler(int) { std::_Exit(77); }

}  // namespace probe

int main(int argc, char** argv) {
  const std::string how = argc > 1 ? argv[1] : "";
  const rlimit no_core{};
  setrlimit(RLIMIT_CORE, &no_core);
  if (how == "earlier") std::signal(SIGSEGV, probe::earlier_handler);
  if (!ferrun::client::report_crashes()) return 9;
  if (how == "told") ferrun::client::report_error("its own words");
  if (how == "segv" || how == "earlier" || how == "told") probe::read_nothing(nullptr);
  if (how == "abort") std::abort();
  if (how == "raise") std::raise(SIGFPE);
  if (how == "overflow") return probe::overflow_the_stack(0);
  if (how == "thread") std::thread([] { probe::read_nothing(nullptr); }).join();
  if (how == "throw" || how == "text" || how == "number") probe::throw_something(how);
  if (how == "many") {
    std::thread threads[8];
    for (std::thread& thread : threads) thread = std::thread([] { probe::read_nothing(nullptr); });
    for (std::thread& thread : threads) thread.join();
  }
  return 0;
}
