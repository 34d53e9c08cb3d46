// store_bench: requests per second of ferrun's store and of torch's own libuv server, asked by torch's own client.
//
// ferrun's is the one of a job whose only worker waits, torch's runs in a process of its own as well; N client threads,
// each with its own TCPStore, ask one of them at a time. Runs are interleaved (ferrun, torch, ferrun, ...) and compared
// pair by pair, so that a slow moment of the machine hits both. A get is what a worker does: wait for the key, then
// read its 64 bytes. The server's own processor time for a request is shown beside the rates: it says which server does
// more work when the clients are the bottleneck.
//
//   store_bench [--rounds=N] [--milliseconds=N] [--clients=1,4,16] [--only=get] [--json]
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <vector>

#include "bench/statistics.h"
#include "bench/store_server_process.h"

namespace {

using ferrun::bench::median;
using ServerProcess = ferrun::bench::StoreServerProcess;
using Clock = std::chrono::steady_clock;

struct Options {
  int rounds = 7;
  std::chrono::milliseconds window{300};
  std::vector<int> clients = {1, 4, 16};
  std::string only;  // one operation; empty means all
  bool json = false;
};

using Client = c10::intrusive_ptr<c10d::TCPStore>;
using Operation = std::function<void(c10d::TCPStore&, const std::string& key)>;

const std::vector<uint8_t> kValue(64, 'x');

const std::map<std::string, Operation>& operations() {
  static const std::map<std::string, Operation> table = {
      {"get", [](c10d::TCPStore& store, const std::string& key) { store.get(key); }},
      {"set", [](c10d::TCPStore& store, const std::string& key) { store.set(key, kValue); }},
      {"add", [](c10d::TCPStore& store, const std::string& key) { store.add(key + "/count", 1); }},
  };
  return table;
}

Client connect(uint16_t port) {
  c10d::TCPStoreOptions options;
  options.port = port;
  options.waitWorkers = false;
  return c10::make_intrusive<c10d::TCPStore>("127.0.0.1", options);
}

struct Measured {
  double per_second = 0;
  double server_us = 0;  // of processor time, for one request
};

// All clients together. A set has no reply, so every client ends with a request that has one: the clock stops when the
// server has done the work.
Measured measure(const ServerProcess& server, const std::vector<Client>& clients, const Operation& operation,
                 std::chrono::milliseconds window) {
  std::atomic<bool> go{false}, stop{false};
  std::atomic<int64_t> done{0};
  std::vector<std::thread> threads;
  for (size_t i = 0; i < clients.size(); ++i) {
    threads.emplace_back([&, i] {
      const std::string key = "bench/" + std::to_string(i);
      clients[i]->set(key, kValue);
      int64_t count = 0;
      while (!go.load()) std::this_thread::yield();
      for (; !stop.load(std::memory_order_relaxed); ++count) operation(*clients[i], key);
      clients[i]->getNumKeys();
      done += count;
    });
  }
  const double cpu_before = server.cpu_us();
  const Clock::time_point begin = Clock::now();
  go = true;
  std::this_thread::sleep_for(window);
  stop = true;
  for (std::thread& thread : threads) thread.join();
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  const double requests = static_cast<double>(done);
  return {requests / seconds, (server.cpu_us() - cpu_before) / requests};
}

struct Row {
  std::string operation;
  int clients = 0;
  Measured ferrun, torch;  // medians
  double ratio = 0;        // of the rates: the median of the pairs' ratios
};

Measured medians(const std::vector<Measured>& runs) {
  std::vector<double> rates, costs;
  for (const Measured& run : runs) {
    rates.push_back(run.per_second);
    costs.push_back(run.server_us);
  }
  return {median(rates), median(costs)};
}

Row compare(const std::string& name, int count, const ServerProcess& ferrun, const ServerProcess& torch,
            const Options& options) {
  std::vector<Client> ours, theirs;
  for (int i = 0; i < count; ++i) {
    ours.push_back(connect(ferrun.port()));
    theirs.push_back(connect(torch.port()));
  }
  const Operation& operation = operations().at(name);
  std::vector<Measured> our_runs, their_runs;
  std::vector<double> ratios;
  for (int round = 0; round < options.rounds; ++round) {
    const bool ours_first = round % 2 == 0;
    if (ours_first) our_runs.push_back(measure(ferrun, ours, operation, options.window));
    their_runs.push_back(measure(torch, theirs, operation, options.window));
    if (!ours_first) our_runs.push_back(measure(ferrun, ours, operation, options.window));
    ratios.push_back(our_runs.back().per_second / their_runs.back().per_second);
  }
  return {name, count, medians(our_runs), medians(their_runs), median(ratios)};
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const std::string value = word.find('=') == std::string::npos ? "" : word.substr(word.find('=') + 1);
    if (word.starts_with("--rounds=")) {
      options.rounds = std::max(1, std::atoi(value.c_str()));
    } else if (word.starts_with("--milliseconds=")) {
      options.window = std::chrono::milliseconds(std::max(1, std::atoi(value.c_str())));
    } else if (word.starts_with("--clients=")) {
      options.clients.clear();
      for (size_t at = 0; at < value.size(); at = std::min(value.find(',', at), value.size() - 1) + 1) {
        options.clients.push_back(std::max(1, std::atoi(value.c_str() + at)));
      }
    } else if (word.starts_with("--only=")) {
      options.only = value;
    } else if (word == "--json") {
      options.json = true;
    } else {
      throw std::runtime_error("unknown option " + word);
    }
  }
  return options;
}

int serve_torch() {
  c10d::TCPStoreOptions options;
  options.port = 0;
  options.isServer = true;
  options.waitWorkers = false;
  const auto store = c10::make_intrusive<c10d::TCPStore>("127.0.0.1", options);
  std::printf("port %u\n", static_cast<unsigned>(store->getPort()));
  std::fflush(stdout);
  char byte;
  while (::read(STDIN_FILENO, &byte, 1) > 0) continue;
  return 0;
}

void print(const std::vector<Row>& rows, bool json) {
  if (json) {
    nlohmann::json out = nlohmann::json::array();
    for (const Row& row : rows) {
      out.push_back({{"operation", row.operation},
                     {"clients", row.clients},
                     {"ratio", row.ratio},
                     {"ferrun_per_s", row.ferrun.per_second},
                     {"torch_per_s", row.torch.per_second},
                     {"ferrun_server_us", row.ferrun.server_us},
                     {"torch_server_us", row.torch.server_us}});
    }
    std::printf("%s\n", out.dump(2).c_str());
    return;
  }
  std::printf("%-9s %7s %10s %10s %6s %15s %14s\n", "operation", "clients", "ferrun/s", "torch/s", "ratio",
              "ferrun CPU us", "torch CPU us");
  for (const Row& row : rows) {
    std::printf("%-9s %7d %10.0f %10.0f %6.2f %15.2f %14.2f\n", row.operation.c_str(), row.clients,
                row.ferrun.per_second, row.torch.per_second, row.ratio, row.ferrun.server_us, row.torch.server_us);
  }
}

int run(int argc, char** argv) {
  const Options options = parse(argc, argv);
  const ServerProcess ferrun(ferrun::bench::ferrun_as_store(FERRUN_BENCH_BIN_DIR));
  const ServerProcess torch({"/proc/self/exe", "--serve-torch"});
  std::vector<Row> rows;
  for (const int clients : options.clients) {
    for (const auto& [name, operation] : operations()) {
      if (options.only.empty() || options.only == name) rows.push_back(compare(name, clients, ferrun, torch, options));
    }
  }
  print(rows, options.json);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "--serve-torch") == 0) return serve_torch();
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "store_bench: %s\n", error.what());
    return 1;
  }
}
