// A worker that writes down when it did what, for launch_bench. Times are CLOCK_MONOTONIC in nanoseconds; every record
// is one write to a file that all workers share.
//
//   launch_bench_worker flood MB    writes that many megabytes of lines of 100 bytes to stdout, as fast as they are
//   taken launch_bench_worker end FILE    ends after writing "end <time>" launch_bench_worker die FILE    first
//   attempt: writes "start 0 <time>"; once both workers have done so, rank 0 writes
//                                   "death 0 <time>" and kills itself, the other one waits. Second: "start 1 <time>".
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace {

// All records have this length, so that the file's size counts them.
constexpr int kRecord = 32;

void record(int file, const char* what, int attempt) {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  char text[kRecord + 1];
  std::snprintf(text, sizeof text, "%-5s %d %023lld\n", what, attempt,
                static_cast<long long>(now.tv_sec) * 1'000'000'000 + now.tv_nsec);
  if (write(file, text, kRecord) != kRecord) std::abort();
}

int number(const char* variable) {
  const char* value = std::getenv(variable);
  return value == nullptr ? 0 : std::atoi(value);
}

void wait_for_records(int file, int count) {
  struct stat status {};
  const timespec pause{0, 200'000};
  while (fstat(file, &status) == 0 && status.st_size < static_cast<off_t>(kRecord) * count) nanosleep(&pause, nullptr);
}

int flood(long long megabytes) {
  constexpr size_t kLine = 100;
  static char block[kLine * 640];
  std::memset(block, 'x', sizeof block);
  for (size_t end = kLine; end <= sizeof block; end += kLine) block[end - 1] = '\n';
  for (long long left = megabytes * 1'000'000; left > 0;) {
    const ssize_t count = write(STDOUT_FILENO, block, static_cast<size_t>(left < 64'000 ? left : 64'000));
    if (count < 0) return 1;
    left -= count;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  if (std::strcmp(argv[1], "flood") == 0) return flood(std::atoll(argv[2]));
  const int file = open(argv[2], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (file < 0) return 2;
  if (std::strcmp(argv[1], "end") == 0) {
    record(file, "end", 0);
    return 0;
  }
  const int attempt = number("TORCHELASTIC_RESTART_COUNT");
  record(file, "start", attempt);
  if (attempt > 0) return 0;
  if (number("RANK") > 0) {
    for (;;) pause();
  }
  wait_for_records(file, number("WORLD_SIZE"));
  record(file, "death", attempt);
  raise(SIGKILL);
}
