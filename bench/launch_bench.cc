// launch_bench: how long launchers take, side by side: ferrun, torchrun, MPICH's Hydra, Open MPI, whichever are
// installed.
//
// Every measurement starts real programs on this machine. "floor" is no launcher but spawn_floor, which starts the same
// workers and waits for them: what nobody goes below. Runs are interleaved (ferrun, torchrun, Hydra, ferrun, …), so
// that a slow moment hits all; medians are printed, with their ratio to ferrun's. torchrun takes seconds, so it runs in
// fewer rounds.
//
//   launch_bench [--rounds=N] [--torchrun-rounds=N] [--only=two,many,help,memory,exit,restart,flood] [--json]
//                [--ferrun=PATH]     else the one that was built with it
//                [--before=PATH]     another ferrun, to compare with
//                [--torchrun=PATH]   else of the peer that scripts/setup --peer installs; empty: none
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "bench/launch_bench_process.h"
#include "bench/statistics.h"
#include "tests/peer_path.h"
#include "tests/temporary_directory.h"

namespace ferrun::bench {
namespace {

struct Options {
  int rounds = 15;
  int torchrun_rounds = 3;
  std::string only;
  bool json = false;
  std::string ferrun;
  std::string before;
  std::string torchrun;
};

struct Launcher {
  std::string name;
  // The command that runs `program` in `count` workers.
  std::function<Command(int count, const Command& program)> command;
  // The same with one restart allowed; none when the launcher cannot restart.
  std::function<Command(int count, const Command& program)> restarting;
  // The same with stdout copied to files below `logs` and to the console; none when the launcher cannot.
  std::function<Command(int count, const Command& program, const std::string& logs)> teeing;
  Command help;
  int rounds = 0;
};

Command operator+(Command left, const Command& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

std::string own_program(const std::string& name) {
  return (std::filesystem::read_symlink("/proc/self/exe").parent_path() / name).string();
}

std::vector<Launcher> installed_launchers(const Options& options) {
  std::vector<Launcher> launchers;
  const auto like_torchrun = [&](const std::string& name, const std::string& path, int rounds) {
    const auto base = [path](int count) {
      // torchrun's own choice is a fixed port, which another job may hold.
      return Command{path, "--nproc-per-node=" + std::to_string(count), "--master-port=" + std::to_string(free_port()),
                     "--no-python"};
    };
    launchers.push_back(
        {name,
         [base](int count, const Command& program) { return base(count) + program; },
         [base](int count, const Command& program) { return base(count) + Command{"--max-restarts=1"} + program; },
         [base](int count, const Command& program, const std::string& logs) {
           return base(count) + Command{"--tee=1", "--log-dir=" + logs} + program;
         },
         {path, "--help"},
         rounds});
  };
  const auto like_mpi = [&](const std::string& name, const Command& start) {
    const auto command = [start](int count, const Command& program) {
      return start + Command{"-n", std::to_string(count)} + program;
    };
    launchers.push_back({name, command, nullptr, nullptr, start + Command{"--help"}, options.rounds});
  };
  like_torchrun("ferrun", options.ferrun, options.rounds);
  launchers.push_back({"floor",
                       [floor = own_program("spawn_floor")](int count, const Command& program) {
                         return Command{floor, std::to_string(count)} + program;
                       },
                       nullptr,
                       nullptr,
                       {},
                       options.rounds});
  if (!options.before.empty()) like_torchrun("before", options.before, options.rounds);
  if (!options.torchrun.empty()) like_torchrun("torchrun", options.torchrun, options.torchrun_rounds);
  if (const std::string path = find_program("mpiexec.hydra"); !path.empty()) like_mpi("Hydra", {path});
  if (const std::string path = find_program("mpirun.openmpi"); !path.empty()) {
    like_mpi("Open MPI", {path, "--allow-run-as-root", "--oversubscribe"});
  }
  return launchers;
}

struct Series {
  std::string launcher;
  std::vector<double> values;
};

class Report {
 public:
  explicit Report(bool json) : json_(json) {}

  void add(const std::string& title, const std::string& unit, const std::vector<Series>& all) {
    if (!json_) std::printf("%s\n", title.c_str());
    const double ours = all.empty() || all[0].values.empty() ? 0 : median(all[0].values);
    for (const Series& series : all) {
      if (series.values.empty()) continue;
      const auto [low, high] = std::minmax_element(series.values.begin(), series.values.end());
      const double middle = median(series.values);
      if (json_) {
        entries_.push_back({{"measurement", title},
                            {"launcher", series.launcher},
                            {"unit", unit},
                            {"median", middle},
                            {"low", *low},
                            {"high", *high},
                            {"runs", series.values.size()},
                            {"ratio", middle / ours}});
      } else {
        std::printf("  %-9s %9.2f %s  (%.2f to %.2f in %zu runs)  %.2f x ferrun\n", series.launcher.c_str(), middle,
                    unit.c_str(), *low, *high, series.values.size(), middle / ours);
        std::fflush(stdout);
      }
    }
  }

  void finish() const {
    if (json_) std::printf("%s\n", entries_.dump(2).c_str());
  }

 private:
  bool json_;
  nlohmann::json entries_ = nlohmann::json::array();
};

// Interleaved: one run of every launcher, then the next round. A measurement gives a negative number for a run that
// failed.
std::vector<Series> measure(const std::vector<Launcher>& launchers,
                            const std::function<double(const Launcher&)>& once) {
  std::vector<Series> all;
  int rounds = 0;
  for (const Launcher& launcher : launchers) {
    all.push_back({launcher.name, {}});
    rounds = std::max(rounds, launcher.rounds);
  }
  for (int round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < launchers.size(); ++i) {
      if (round >= launchers[i].rounds) continue;
      const double value = once(launchers[i]);
      if (value >= 0) {
        all[i].values.push_back(value);
      } else {
        std::fprintf(stderr, "launch_bench: a run of %s failed\n", launchers[i].name.c_str());
      }
    }
  }
  return all;
}

double time_of(const Command& command) {
  const Ended ended = run(command);
  return ended.success ? ended.milliseconds : -1;
}

// A file that workers append to, empty for every run.
class RecordFile {
 public:
  std::string path() const { return folder_.file("records"); }
  std::string log_folder() const { return folder_.file("logs"); }
  void clear() const { std::filesystem::remove(path()); }
  std::vector<long long> times(const std::string& what, int attempt) const {
    std::vector<long long> times;
    std::ifstream file(path());
    std::string word;
    int number = 0;
    for (long long time = 0; file >> word >> number >> time;) {
      if (word == what && number == attempt) times.push_back(time);
    }
    return times;
  }

 private:
  const testing::TemporaryDirectory folder_;
};

std::string worker_program() { return own_program("launch_bench_worker"); }

// The last worker's last act to the launcher's end.
double exit_delay(const Launcher& launcher, const RecordFile& records) {
  records.clear();
  const Ended ended = run(launcher.command(2, {worker_program(), "end", records.path()}));
  const std::vector<long long> ends = records.times("end", 0);
  if (!ended.success || ends.size() != 2) return -1;
  return static_cast<double>(ended.at_ns - *std::max_element(ends.begin(), ends.end())) / 1e6;
}

// A worker's death to the first act of the next attempt's first worker.
double restart_delay(const Launcher& launcher, const RecordFile& records) {
  records.clear();
  const Ended ended = run(launcher.restarting(2, {worker_program(), "die", records.path()}));
  const std::vector<long long> deaths = records.times("death", 0);
  const std::vector<long long> starts = records.times("start", 1);
  if (!ended.success || deaths.size() != 1 || starts.size() != 2) return -1;
  return static_cast<double>(*std::min_element(starts.begin(), starts.end()) - deaths[0]) / 1e6;
}

// Resident memory of the launcher's own processes while two workers sleep. The workers' own is not counted.
double resident_memory(const Launcher& launcher, bool largest_alone) {
  const pid_t pid = start(launcher.command(2, {"sleep", "1000"}));
  std::vector<ProcessMemory> tree;
  constexpr int kLooks = 3000;  // a minute
  bool all_started = false;
  for (int look = 0; look < kLooks && !all_started; ++look) {
    tree = process_tree(pid);
    const auto is_worker = [](const ProcessMemory& process) { return process.name == "sleep"; };
    if (std::count_if(tree.begin(), tree.end(), is_worker) == 2) {
      std::erase_if(tree, is_worker);
      all_started = true;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  double sum = 0, largest = 0;
  for (const ProcessMemory& process : tree) {
    sum += process.resident_mb;
    largest = std::max(largest, process.resident_mb);
  }
  kill(pid, SIGTERM);
  wait_for(pid, 0);
  if (!all_started) return -1;
  return largest_alone ? largest : sum;
}

constexpr int kFloodMegabytes = 200;

// Two workers write as fast as they can; MB/s from start to end, every byte being in a file then, and shown.
double flood_rate(const Launcher& launcher, const RecordFile& records, std::vector<Series>& peaks) {
  const Command command =
      launcher.teeing(2, {worker_program(), "flood", std::to_string(kFloodMegabytes)}, records.log_folder());
  const Ended ended = run(command);
  uintmax_t written = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(records.log_folder())) {
    if (entry.is_regular_file()) written += entry.file_size();
  }
  std::filesystem::remove_all(records.log_folder());
  if (!ended.success || written != 2ULL * kFloodMegabytes * 1'000'000) return -1;
  for (Series& series : peaks) {
    if (series.launcher == launcher.name) series.values.push_back(ended.peak_mb);
  }
  return 2 * kFloodMegabytes / (ended.milliseconds / 1000);
}

bool is_wanted(const Options& options, const std::string& section) {
  return options.only.empty() || ("," + options.only + ",").find("," + section + ",") != std::string::npos;
}

void run_all(const Options& options) {
  const std::vector<Launcher> all = installed_launchers(options);
  Report report(options.json);
  if (is_wanted(options, "two")) {
    report.add("two workers that run `true`", "ms",
               measure(all, [](const Launcher& launcher) { return time_of(launcher.command(2, {"true"})); }));
  }
  if (is_wanted(options, "many")) {
    std::vector<Launcher> many = all;
    // Open MPI 4.1 hangs now and then when so many workers end at once.
    std::erase_if(many, [](const Launcher& launcher) { return launcher.name == "Open MPI"; });
    report.add("64 workers that run `true`", "ms",
               measure(many, [](const Launcher& launcher) { return time_of(launcher.command(64, {"true"})); }));
  }
  if (is_wanted(options, "help")) {
    std::vector<Launcher> helpful = all;
    std::erase_if(helpful, [](const Launcher& launcher) { return launcher.help.empty(); });
    report.add("--help", "ms", measure(helpful, [](const Launcher& launcher) { return time_of(launcher.help); }));
  }
  const RecordFile records;
  if (is_wanted(options, "exit")) {
    report.add("last worker's end to launcher's end", "ms",
               measure(all, [&](const Launcher& launcher) { return exit_delay(launcher, records); }));
  }
  if (is_wanted(options, "restart")) {
    std::vector<Launcher> restarting = all;
    std::erase_if(restarting, [](const Launcher& launcher) { return !launcher.restarting; });
    report.add("a worker's death to the next attempt's first worker", "ms",
               measure(restarting, [&](const Launcher& launcher) { return restart_delay(launcher, records); }));
  }
  if (is_wanted(options, "memory")) {
    std::vector<Launcher> few = all;
    std::erase_if(few, [](const Launcher& launcher) { return launcher.help.empty(); });
    for (Launcher& launcher : few) launcher.rounds = std::min(launcher.rounds, options.torchrun_rounds);
    report.add("resident memory of the launcher's largest process", "MB",
               measure(few, [](const Launcher& launcher) { return resident_memory(launcher, true); }));
    report.add("resident memory of all the launcher's processes, shared pages counted in each", "MB",
               measure(few, [](const Launcher& launcher) { return resident_memory(launcher, false); }));
  }
  if (is_wanted(options, "flood")) {
    std::vector<Launcher> teeing = all;
    std::erase_if(teeing, [](const Launcher& launcher) { return !launcher.teeing; });
    std::vector<Series> peaks;
    for (Launcher& launcher : teeing) {
      launcher.rounds = std::min(launcher.rounds, options.torchrun_rounds);
      peaks.push_back({launcher.name, {}});
    }
    report.add("two workers flood their teed stdout", "MB/s",
               measure(teeing, [&](const Launcher& launcher) { return flood_rate(launcher, records, peaks); }));
    report.add("largest process meanwhile", "MB", peaks);
  }
  report.finish();
}

// False when an argument is not understood.
bool parse(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const std::string name = argument.substr(0, argument.find('='));
    const std::string value = argument.size() > name.size() ? argument.substr(name.size() + 1) : "";
    if (name == "--rounds")
      options.rounds = std::atoi(value.c_str());
    else if (name == "--torchrun-rounds")
      options.torchrun_rounds = std::atoi(value.c_str());
    else if (name == "--only")
      options.only = value;
    else if (name == "--json")
      options.json = true;
    else if (name == "--ferrun")
      options.ferrun = value;
    else if (name == "--before")
      options.before = value;
    else if (name == "--torchrun")
      options.torchrun = value;
    else
      return false;
  }
  return options.rounds > 0 && options.torchrun_rounds > 0;
}

}  // namespace
}  // namespace ferrun::bench

int main(int argc, char** argv) {
  using namespace ferrun::bench;
  Options options;
  options.torchrun = ferrun::peer_torchrun();
  options.ferrun = own_program("ferrun");
  if (!parse(argc, argv, options)) {
    std::fprintf(
        stderr,
        "usage: launch_bench [--rounds=N] [--torchrun-rounds=N] [--only=two,many,help,memory,exit,restart,flood] "
        "[--json] [--ferrun=PATH] [--before=PATH] [--torchrun=PATH]\n");
    return 2;
  }
  run_all(options);
}
