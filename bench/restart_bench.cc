// restart_bench: how fast a launcher brings a job back after a worker has died, and how surely.
//
//   restart_bench [--rounds=N] [--restarts=N] [--ranks=N] [--torchrun=PATH] [--json]
//
// Each round runs every case once (interleaved, so that a slow moment of the machine hits all): two workers, rank 1
// dies by SIGKILL, the group is restarted. "started": from the death to the next attempt's first worker in its main.
// "reduced": from the death, in the middle of a collective, to both ranks of the next attempt past their first
// all-reduce. Then, with --restarts, one job for each kind of rank and start method that loses a worker in the middle
// of a collective N times: how many attempts came up. --rounds=0 leaves the times out. With --ranks, N Python ranks:
// from the launcher's start to all of them past their first all-reduce, and the memory that the launcher and all below
// it take then, what they share counted once. torchrun is found beside the Python peer of the tests; without it its
// rows are left out.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "bench/statistics.h"
#include "tests/peer_path.h"
#include "tests/temporary_directory.h"

namespace {

namespace fs = std::filesystem;
using ferrun::peer_python;
using ferrun::bench::median;
using Command = std::vector<std::string>;

struct Options {
  int rounds = 7;
  int restarts = 0;
  int ranks = 0;
  std::string torchrun;
  bool json = false;
};

struct Event {
  std::string name;
  int attempt;
  int rank;
  double milliseconds;
};

struct Case {
  std::string name;
  std::string until;  // the event that ends the measurement
  Command launcher;   // up to the program
  Command program;
};

Options parse(int argc, char** argv) {
  Options options;
  options.torchrun = ferrun::peer_torchrun();
  for (int index = 1; index < argc; ++index) {
    const std::string argument = argv[index];
    const std::string value = argument.substr(std::min(argument.size(), argument.find('=') + 1));
    if (argument.starts_with("--rounds=")) {
      options.rounds = std::stoi(value);
    } else if (argument.starts_with("--restarts=")) {
      options.restarts = std::stoi(value);
    } else if (argument.starts_with("--ranks=")) {
      options.ranks = std::stoi(value);
    } else if (argument.starts_with("--torchrun=")) {
      options.torchrun = value;
    } else if (argument == "--json") {
      options.json = true;
    } else {
      std::fprintf(stderr, "usage: restart_bench [--rounds=N] [--restarts=N] [--ranks=N] [--torchrun=PATH] [--json]\n");
      std::exit(2);
    }
  }
  return options;
}

std::vector<Event> read_events(const fs::path& path) {
  std::vector<Event> events;
  std::ifstream file(path);
  Event event;
  double nanoseconds = 0;
  while (file >> event.name >> event.attempt >> event.rank >> nanoseconds) {
    event.milliseconds = nanoseconds / 1e6;
    events.push_back(event);
  }
  return events;
}

// A job whose ranks never find each other is given up after so long without a new event. (torchrun's restarts are among
// them: Gloo waits half an hour for the addresses of the dead.)
constexpr std::chrono::seconds kPatience{60};

void wait_or_give_up(pid_t launcher, const fs::path& events) {
  const auto size = [&events] {
    std::error_code none;
    const uintmax_t bytes = fs::file_size(events, none);
    return none ? 0 : bytes;
  };
  auto since = std::chrono::steady_clock::now();
  uintmax_t seen = 0;
  while (waitpid(launcher, nullptr, WNOHANG) == 0) {
    usleep(10'000);
    const auto now = std::chrono::steady_clock::now();
    if (const uintmax_t written = size(); written != seen) {
      seen = written;
      since = now;
    } else if (now - since > kPatience) {
      kill(launcher, SIGTERM);  // it stops its ranks
      waitpid(launcher, nullptr, 0);
      return;
    }
  }
}

// Starts the command with its output in `log`; its ranks write to `events`.
pid_t launch(Command command, const fs::path& folder) {
  const fs::path events = folder / "events", log = folder / "log";
  fs::remove(events);
  const pid_t pid = fork();
  if (pid == 0) {
    setenv("RESTART_EVENTS", events.c_str(), 1);
    setenv("OMP_NUM_THREADS", "1", 1);
    setenv("PYTHON_EXEC", peer_python().c_str(), 1);
    if (std::freopen(log.c_str(), "w", stdout) == nullptr || dup2(STDOUT_FILENO, STDERR_FILENO) < 0) _exit(126);
    std::vector<char*> arguments;
    for (std::string& word : command) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    execv(arguments[0], arguments.data());
    _exit(127);
  }
  return pid;
}

// Runs the command and returns what its ranks wrote.
std::vector<Event> run(Command command, const fs::path& folder) {
  wait_or_give_up(launch(std::move(command), folder), folder / "events");
  return read_events(folder / "events");
}

// Kilobytes of the process and all below it: of what several have in common, each has its share.
long memory_below(pid_t pid) {
  long sum = 0;
  const fs::path process = "/proc/" + std::to_string(pid);
  std::ifstream rollup(process / "smaps_rollup");
  std::string word;
  while (rollup >> word) {
    if (word == "Pss:" && rollup >> word) sum += std::stol(word);
  }
  std::error_code gone;
  for (const auto& task : fs::directory_iterator(process / "task", gone)) {
    std::ifstream children(task.path() / "children");
    pid_t child = 0;
    while (children >> child) sum += memory_below(child);
  }
  return sum;
}

// Milliseconds from the death in attempt 0 to `until` in attempt 1: the first rank's start, or the last rank's
// reduction.
std::optional<double> latency(const std::vector<Event>& events, const std::string& until) {
  std::optional<double> death;
  std::vector<double> arrivals;
  for (const Event& event : events) {
    if (event.name == "dies" && event.attempt == 0) death = event.milliseconds;
    if (event.name == until && event.attempt == 1) arrivals.push_back(event.milliseconds);
  }
  if (!death || arrivals.size() != 2) return std::nullopt;
  std::sort(arrivals.begin(), arrivals.end());
  return (until == "started" ? arrivals.front() : arrivals.back()) - *death;
}

// Attempts after the first in which both ranks got past their all-reduce.
int attempts_that_came_up(const std::vector<Event>& events) {
  std::map<int, int> reduced;
  for (const Event& event : events) reduced[event.attempt] += event.name == "reduced" && event.attempt > 0;
  return static_cast<int>(
      std::count_if(reduced.begin(), reduced.end(), [](const auto& entry) { return entry.second == 2; }));
}

Command operator+(Command left, const Command& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

class Bench {
 public:
  explicit Bench(Options options) : options_(std::move(options)) {
    have_torchrun_ = !peer_python().empty() && access(options_.torchrun.c_str(), X_OK) == 0;
    if (!have_torchrun_)
      std::fprintf(stderr, "restart_bench: no Python peer or no torchrun (--torchrun=PATH); their rows are left out\n");
  }

  void latencies() {
    const std::vector<Case> cases = all_cases();
    std::vector<std::vector<double>> times(cases.size());
    for (int round = 0; round < options_.rounds; ++round) {
      for (size_t index = 0; index < cases.size(); ++index) {
        const auto time =
            latency(run(cases[index].launcher + cases[index].program, folder_.path()), cases[index].until);
        if (time) times[index].push_back(*time);
      }
    }
    for (size_t index = 0; index < cases.size(); ++index) {
      show("death to " + cases[index].until + ", " + cases[index].name, times[index]);
    }
  }

  void reliability() {
    const std::string count = std::to_string(options_.restarts);
    for (const std::string method : {"spawn", "forkserver"}) {
      for (const Command& program : reducing_programs()) {
        const int came_up = attempts_that_came_up(run(ferrun(method, count) + program, folder_.path()));
        report(
            {{"case", "restarts that came up, ferrun " + method + ", " + fs::path(program.back()).filename().string()},
             {"came_up", came_up},
             {"of", options_.restarts}});
      }
    }
  }

  // Launchers of Python ranks that nobody kills.
  void crowds() {
    const Command program = {FERRUN_SOURCE_DIR "/bench/allreduce_rank.py"};
    const std::string count = std::to_string(options_.ranks);
    std::vector<Case> cases;
    for (const std::string method : {"spawn", "forkserver"}) {
      cases.push_back(
          {"ferrun " + method, "", {here("ferrun"), "--start-method", method, "--nproc-per-node", count}, program});
    }
    if (have_torchrun_) {
      cases.push_back({"torchrun", "", {options_.torchrun, "--standalone", "--nproc-per-node", count}, program});
    }
    std::vector<std::vector<double>> times(cases.size()), megabytes(cases.size());
    for (int round = 0; round < std::max(options_.rounds, 1); ++round) {
      for (size_t index = 0; index < cases.size(); ++index) measure_crowd(cases[index], times[index], megabytes[index]);
    }
    for (size_t index = 0; index < cases.size(); ++index) {
      show("start of " + count + " ranks, " + cases[index].name, times[index]);
      if (megabytes[index].empty()) continue;
      report({{"case", "memory of " + count + " ranks, " + cases[index].name},
              {"came_up", megabytes[index].size()},
              {"of", options_.rounds},
              {"median_mb", median(megabytes[index])}});
    }
  }

 private:
  void measure_crowd(const Case& crowd, std::vector<double>& times, std::vector<double>& megabytes) const {
    const fs::path hold = folder_.path() / "go";
    fs::remove(hold);
    setenv("RESTART_HOLD", hold.c_str(), 1);
    const auto now = [] { return std::chrono::steady_clock::now().time_since_epoch(); };
    const double begin = std::chrono::duration<double, std::milli>(now()).count();
    const pid_t launcher = launch(crowd.launcher + crowd.program, folder_.path());
    std::vector<double> reduced;
    while (waitpid(launcher, nullptr, WNOHANG) == 0) {
      usleep(10'000);
      if (fs::exists(hold)) continue;
      reduced.clear();
      for (const Event& event : read_events(folder_.path() / "events")) {
        if (event.name == "reduced") reduced.push_back(event.milliseconds - begin);
      }
      if (static_cast<int>(reduced.size()) < options_.ranks) continue;
      megabytes.push_back(static_cast<double>(memory_below(launcher)) / 1e3);
      times.push_back(*std::max_element(reduced.begin(), reduced.end()));
      std::ofstream(hold).put('\n');
    }
    unsetenv("RESTART_HOLD");
  }

  static std::string here(const std::string& name) { return std::string(FERRUN_BENCH_BIN_DIR) + "/" + name; }
  static Command ferrun(const std::string& method, const std::string& restarts) {
    return {here("ferrun"), "--nproc-per-node", "2", "--max-restarts", restarts, "--start-method", method};
  }
  Command torchrun() const {
    return {options_.torchrun, "--standalone", "--nproc-per-node", "2", "--max-restarts", "1"};
  }

  std::vector<Command> reducing_programs() const {
    std::vector<Command> programs;
#ifdef FERRUN_WITH_TORCH
    programs.push_back({here("allreduce_rank")});
#endif
    if (have_torchrun_) programs.push_back({FERRUN_SOURCE_DIR "/bench/allreduce_rank.py"});
    return programs;
  }

  std::vector<Case> all_cases() const {
    const Command rank = {here("restart_rank")}, python = {FERRUN_SOURCE_DIR "/bench/allreduce_rank.py"};
    std::vector<Case> cases;
    for (const std::string method : {"spawn", "forkserver"}) {
      cases.push_back({"ferrun " + method, "started", ferrun(method, "1"), rank});
#ifdef FERRUN_WITH_TORCH
      cases.push_back({"ferrun " + method + ", C++", "reduced", ferrun(method, "1"), {here("allreduce_rank")}});
#endif
    }
    if (have_torchrun_) {
      for (const std::string method : {"spawn", "forkserver"}) {
        cases.push_back({"ferrun " + method + ", Python", "reduced", ferrun(method, "1"), python});
      }
      cases.push_back({"torchrun", "started", torchrun() + Command{"--no-python"}, rank});
      cases.push_back({"torchrun, Python", "reduced", torchrun(), python});
    }
    return cases;
  }

  void show(const std::string& what, const std::vector<double>& times) const {
    nlohmann::json row = {{"case", what}, {"came_up", times.size()}, {"of", options_.rounds}};
    if (!times.empty()) {
      row["median_ms"] = median(times);
      row["min_ms"] = *std::min_element(times.begin(), times.end());
      row["max_ms"] = *std::max_element(times.begin(), times.end());
    }
    report(row);
  }

  void report(const nlohmann::json& row) const {
    if (options_.json) {
      std::printf("%s\n", row.dump().c_str());
    } else {
      std::printf("%-62s %3d of %3d", row["case"].get<std::string>().c_str(), row["came_up"].get<int>(),
                  row["of"].get<int>());
      if (row.contains("median_ms")) {
        std::printf("  median %8.1f ms  (%.1f to %.1f)", row["median_ms"].get<double>(), row["min_ms"].get<double>(),
                    row["max_ms"].get<double>());
      }
      if (row.contains("median_mb")) std::printf("  median %8.0f MB", row["median_mb"].get<double>());
      std::printf("\n");
    }
    std::fflush(stdout);
  }

  Options options_;
  const ferrun::testing::TemporaryDirectory folder_;
  bool have_torchrun_ = false;
};

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  Bench bench(options);
  if (options.rounds > 0) bench.latencies();
  if (options.restarts > 0) bench.reliability();
  if (options.ranks > 0) bench.crowds();
}
