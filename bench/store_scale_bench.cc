// store_scale_bench: a job's worth of clients at ferrun's store and at torch's own libuv server.
//
// All clients are real connections to the loopback. They connect and say the handshake, set a key of 64 bytes, wait for
// their neighbour's and read it, and meet in a barrier (a counter, and a key that the last one writes). Runs are
// interleaved, each with a new server, and compared pair by pair. The clients cost more processor time than either
// server, so the servers' own is shown beside the seconds. Memory is what a server holds more of with all its idle
// clients than before them; the kernel's for the sockets comes to both alike.
//
//   store_scale_bench PYTHON [--clients=N] [--rounds=N] [--json]
//
// PYTHON has torch. Without --clients as many as the limit of descriptors allows.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/statistics.h"
#include "bench/store_crowd.h"
#include "bench/store_server_process.h"

namespace {

using namespace ferrun::bench;
using Clock = std::chrono::steady_clock;

// For what a process has open beside its clients.
constexpr size_t kOtherDescriptors = 100;

struct Options {
  std::string python;
  size_t clients = 0;
  int rounds = 3;
  bool json = false;
};

const std::vector<std::string> kPhases = {"connect", "set", "get", "barrier", "all"};

struct Run {
  std::vector<double> seconds;  // of each phase
  double server_seconds = 0;    // of processor time
  double bytes_for_client = 0;
};

double seconds_of(const std::function<void()>& work) {
  const Clock::time_point begin = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

std::string key_of(size_t client) { return "rank/" + std::to_string(client); }

Run measure(const std::vector<std::string>& command, size_t count) try {
  using namespace store_words;
  const StoreServerProcess server(command);
  const double memory = static_cast<double>(server.memory_bytes());
  const double cpu = server.cpu_us();
  StoreCrowd crowd;
  Run run;
  run.seconds.push_back(seconds_of([&] { crowd.connect(server.port(), count); }));
  run.bytes_for_client = (static_cast<double>(server.memory_bytes()) - memory) / static_cast<double>(count);
  run.seconds.push_back(seconds_of([&] {
    const std::string value(64, 'v');
    crowd.play([&](size_t i) -> std::vector<StoreCrowd::Step> { return {{set(key_of(i), value) + ping(), 4}}; });
  }));
  run.seconds.push_back(seconds_of([&] {
    crowd.play([&](size_t i) -> std::vector<StoreCrowd::Step> {
      const std::string key = key_of((i + 1) % count);
      return {{wait(key), 1}, {get(key), 8 + 64}};
    });
  }));
  run.seconds.push_back(seconds_of([&] {
    crowd.play([&](size_t i) -> std::vector<StoreCrowd::Step> {
      const std::string arrived = add("barrier", 1);
      if (i + 1 < count) return {{arrived, 8}, {wait("barrier/done"), 1}};
      return {{arrived, 8}, {set("barrier/done", "1") + wait("barrier/done"), 1}};
    });
  }));
  double all = 0;
  for (const double phase : run.seconds) all += phase;
  run.seconds.push_back(all);
  run.server_seconds = (server.cpu_us() - cpu) / 1e6;
  return run;
} catch (const std::exception& error) {
  throw std::runtime_error(command.front() + " as the server: " + error.what());
}

template <typename Value>
double middle(const std::vector<Run>& runs, Value value) {
  std::vector<double> values;
  for (const Run& run : runs) values.push_back(value(run));
  return median(values);
}

template <typename Value>
double middle_ratio(const std::vector<Run>& ours, const std::vector<Run>& theirs, Value value) {
  std::vector<double> ratios;
  for (size_t i = 0; i < ours.size(); ++i) ratios.push_back(value(theirs[i]) / value(ours[i]));
  return median(ratios);
}

void print(const std::vector<Run>& ours, const std::vector<Run>& theirs, const Options& options) {
  nlohmann::json rows = nlohmann::json::array();
  const auto row = [&](const std::string& name, auto value) {
    rows.push_back({{"what", name},
                    {"ferrun", middle(ours, value)},
                    {"torch", middle(theirs, value)},
                    {"ratio", middle_ratio(ours, theirs, value)}});
  };
  for (size_t phase = 0; phase < kPhases.size(); ++phase) {
    row(kPhases[phase] + ", s", [phase](const Run& run) { return run.seconds[phase]; });
  }
  row("server's CPU, s", [](const Run& run) { return run.server_seconds; });
  row("bytes a client", [](const Run& run) { return run.bytes_for_client; });
  if (options.json) {
    std::printf("%s\n", nlohmann::json({{"clients", options.clients}, {"rows", rows}}).dump(2).c_str());
    return;
  }
  std::printf("%zu clients\n%-16s %10s %10s %12s\n", options.clients, "", "ferrun", "torch", "torch/ferrun");
  for (const auto& line : rows) {
    std::printf("%-16s %10.3f %10.3f %12.2f\n", line["what"].get<std::string>().c_str(), line["ferrun"].get<double>(),
                line["torch"].get<double>(), line["ratio"].get<double>());
  }
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const std::string value = word.substr(std::min(word.find('=') + 1, word.size()));
    if (word.starts_with("--clients=")) {
      options.clients = static_cast<size_t>(std::max(2, std::atoi(value.c_str())));
    } else if (word.starts_with("--rounds=")) {
      options.rounds = std::max(1, std::atoi(value.c_str()));
    } else if (word == "--json") {
      options.json = true;
    } else if (!word.starts_with("--") && options.python.empty()) {
      options.python = word;
    } else {
      throw std::runtime_error("unknown argument " + word);
    }
  }
  if (options.python.empty()) throw std::runtime_error("usage: store_scale_bench PYTHON [--clients=N] [--rounds=N]");
  return options;
}

// The most descriptors that this process, and the servers after it, may have.
size_t raise_descriptor_limit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

void run(Options options) {
  const size_t limit = raise_descriptor_limit();
  if (options.clients == 0) options.clients = std::min<size_t>(limit, 96'000 + kOtherDescriptors) - kOtherDescriptors;
  const std::vector<std::string> ferrun = ferrun_as_store(FERRUN_BENCH_BIN_DIR);
  const std::vector<std::string> torch = {options.python, FERRUN_BENCH_SOURCE_DIR "/store_clients.py", "serve"};
  std::vector<Run> ours, theirs;
  for (int round = 0; round < options.rounds; ++round) {
    const bool ours_first = round % 2 == 0;
    if (ours_first) ours.push_back(measure(ferrun, options.clients));
    theirs.push_back(measure(torch, options.clients));
    if (!ours_first) ours.push_back(measure(ferrun, options.clients));
  }
  print(ours, theirs, options);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run(parse(argc, argv));
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "store_scale_bench: %s\n", error.what());
    return 1;
  }
}
