// spawn_floor COUNT PROGRAM [ARGUMENT...]: starts COUNT of the program and waits for them; fails when one of them does.
// Linked statically and doing nothing else, it is what any launcher pays on this machine at least: launch_bench's
// floor.
#include <spawn.h>
#include <sys/wait.h>

#include <cstdlib>

extern char** environ;

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  int running = 0;
  bool failed = false;
  for (const int count = std::atoi(argv[1]); running < count; ++running) {
    pid_t pid = 0;
    if (posix_spawnp(&pid, argv[2], nullptr, nullptr, argv + 2, environ) != 0) return 127;
  }
  for (int status = 0; running > 0 && wait(&status) > 0; --running) failed = failed || status != 0;
  return static_cast<int>(failed);
}
