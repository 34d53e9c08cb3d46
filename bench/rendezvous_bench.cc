// rendezvous_bench: the coordinator with up to 10,000 agents, over real connections of this machine.
//
// The coordinator's server runs in a process of its own, as in `ferrun coordinator`; member machines, each with a
// connection of its own, in two others. Workers only pretend, so every figure is the rendezvous' alone. One more agent
// stands still (SIGSTOP) while failures are broadcast: it never reads.
//
//   rendezvous_bench [--agents=1000,10000] [--broadcasts=N] [--nodes=N] [--rounds=N] [--json]
//
// joined: from the first agent's start until all agents know their rank, and until all have started their workers.
// broadcast: from a failure on one node until the coordinator has the acknowledgements of all nodes but the one that
// stands still. first round: from the last node's start until all nodes start their workers. The 99th percentile of
// less than a hundred times is the longest.
#include <signal.h>
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/rendezvous_bench_process.h"
#include "bench/statistics.h"

namespace ferrun::bench {
namespace {

struct Options {
  std::vector<int> agents = {1000, 10000};
  int broadcasts = 5;
  int nodes = 16;
  int rounds = 200;
  bool json = false;
};

constexpr double kNsPerMs = 1e6;

void await(const std::function<bool()>& holds, const char* what) {
  const int64_t limit = now_ns() + 120LL * 1000000000;
  while (!holds()) {
    if (now_ns() > limit) throw std::runtime_error(std::string("waited in vain for ") + what);
    const timespec pause{0, 2000000};  // the processes take their times themselves
    ::nanosleep(&pause, nullptr);
  }
}

// A job of `agents` and one more that can be made to stand still.
class ManyAgents {
 public:
  explicit ManyAgents(int agents) : agents_(agents), board_(make_board()) {
    coordinator_ = std::make_unique<Child>(
        "coordinator", [&](int commands) { run_coordinator(board_, agents_ + 1, kCoordinator, commands); });
    await([&] { return board_.port != 0; }, "the coordinator");
    const int half = agents / 2;
    add({0, half, 1, "127.0.0.2"});
    add({1, agents - half, static_cast<uint64_t>(half) + 1, "127.0.0.3"});
    add({2, 1, static_cast<uint64_t>(agents) + 1, "127.0.0.4"});
  }

  nlohmann::json run(int broadcasts) {
    const Usage before = usage();
    groups_[2]->tell('g');
    const int64_t begin = now_ns();
    for (int group : {0, 1}) groups_[group]->tell('g');
    await([&] { return started(1); }, "the first round");
    nlohmann::json row = {{"agents", agents_}};
    row["ranked_ms"] = static_cast<double>(newest(&Board::Group::ranked_at) - begin) / kNsPerMs;
    row["started_ms"] = static_cast<double>(newest(&Board::Group::started_at) - begin) / kNsPerMs;

    const Usage after = usage();
    row["coordinator_bytes_per_agent"] = (after.server_bytes - before.server_bytes) / agents_;
    row["member_bytes_per_agent"] = (after.member_bytes - before.member_bytes) / agents_;
    row["coordinator_cpu_ms"] = static_cast<double>(after.server_cpu - before.server_cpu) / kNsPerMs;
    row["members_cpu_ms"] = static_cast<double>(after.member_cpu - before.member_cpu) / kNsPerMs;

    std::vector<double> times;
    for (int i = 0; i < broadcasts; ++i) times.push_back(broadcast(static_cast<uint64_t>(i) + 2));
    if (times.empty()) return row;
    row["broadcasts"] = broadcasts;
    row["broadcast_median_ms"] = median(times);
    row["broadcast_p99_ms"] = p99(times);
    return row;
  }

 private:
  static constexpr const char* kCoordinator = "127.0.0.1";

  void add(const GroupPlan& plan) {
    groups_.push_back(std::make_unique<Child>(
        "agents", [&, plan](int commands) { run_members(board_, plan, kCoordinator, commands); }));
  }

  struct Usage {
    int64_t server_bytes, member_bytes;
    int64_t server_cpu, member_cpu;
  };

  Usage usage() {
    board_.server_bytes = 0;
    board_.groups[0].bytes = board_.groups[1].bytes = 0;
    coordinator_->tell('m');
    for (int group : {0, 1}) groups_[group]->tell('m');
    await([&] { return board_.server_bytes != 0 && board_.groups[0].bytes != 0 && board_.groups[1].bytes != 0; },
          "the processes' usage");
    return {board_.server_bytes, board_.groups[0].bytes + board_.groups[1].bytes, board_.server_cpu,
            board_.groups[0].cpu + board_.groups[1].cpu};
  }

  bool started(uint64_t round) const {
    int count = 0;
    for (const Board::Group& group : board_.groups) count += group.round >= round ? group.started.load() : 0;
    return count == agents_ + 1;
  }

  int64_t newest(std::atomic<int64_t> Board::Group::*time) const {
    return std::max((board_.groups[0].*time).load(), (board_.groups[1].*time).load());
  }

  double broadcast(uint64_t next_round) {
    groups_[2]->signal(SIGSTOP);
    board_.acknowledged = 0;
    groups_[0]->tell('f');
    await([&] { return board_.acknowledged >= agents_; }, "the acknowledgements");
    const int64_t taken = board_.acknowledged_at - board_.groups[0].failed_at;
    groups_[2]->signal(SIGCONT);
    await([&] { return started(next_round); }, "the next round");
    return static_cast<double>(taken) / kNsPerMs;
  }

  const int agents_;
  Board& board_;
  std::unique_ptr<Child> coordinator_;
  std::vector<std::unique_ptr<Child>> groups_;
};

// All but one wait; the last one starts.
double first_round_ms(int nodes) {
  Board& board = make_board();
  Child coordinator("coordinator", [&](int commands) { run_coordinator(board, nodes, "127.0.0.1", commands); });
  await([&] { return board.port != 0; }, "the coordinator");
  GroupPlan plan{0, nodes, 1, ""};
  plan.last_apart = true;
  Child members("agents", [&](int commands) { run_members(board, plan, "127.0.0.1", commands); });
  members.tell('g');
  await([&] { return board.groups[0].started == nodes; }, "the first round");
  return static_cast<double>(board.groups[0].started_at - board.groups[0].last_began_at) / kNsPerMs;
}

void show(const Options& options, const nlohmann::json& row) {
  if (options.json) {
    std::printf("%s\n", row.dump().c_str());
  } else if (row.contains("agents")) {
    std::printf("%6d agents: ranked in %.0f ms, started in %.0f ms\n", row["agents"].get<int>(),
                row["ranked_ms"].get<double>(), row["started_ms"].get<double>());
    std::printf("               of processor time: %.0f ms in the coordinator, %.0f ms in all agents together\n",
                row["coordinator_cpu_ms"].get<double>(), row["members_cpu_ms"].get<double>());
    std::printf("               of memory for an agent: %d bytes in the coordinator, %d in the agent\n",
                row["coordinator_bytes_per_agent"].get<int>(), row["member_bytes_per_agent"].get<int>());
    if (row.contains("broadcast_median_ms")) {
      std::printf("               a failure acknowledged by all in %.1f ms (median), %.1f ms (p99) of %d\n",
                  row["broadcast_median_ms"].get<double>(), row["broadcast_p99_ms"].get<double>(),
                  row["broadcasts"].get<int>());
    }
  } else {
    std::printf("%6d nodes:  first round after the last arrival in %.2f ms (median), %.2f ms (p99) of %d\n",
                row["nodes"].get<int>(), row["first_round_median_ms"].get<double>(),
                row["first_round_p99_ms"].get<double>(), row["rounds"].get<int>());
  }
  std::fflush(stdout);
}

// As many connections as the machine allows.
void raise_limit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

std::vector<int> numbers(const std::string& list) {
  std::vector<int> values;
  for (size_t begin = 0; begin < list.size();) {
    const size_t comma = std::min(list.find(',', begin), list.size());
    values.push_back(std::max(2, std::atoi(list.substr(begin, comma - begin).c_str())));
    begin = comma + 1;
  }
  return values;
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const size_t equals = word.find('=');
    const std::string value = equals == std::string::npos ? "" : word.substr(equals + 1);
    if (word == "--json") {
      options.json = true;
    } else if (word.starts_with("--agents=")) {
      options.agents = numbers(value);
    } else if (word.starts_with("--broadcasts=")) {
      options.broadcasts = std::max(0, std::atoi(value.c_str()));
    } else if (word.starts_with("--nodes=")) {
      options.nodes = std::max(2, std::atoi(value.c_str()));
    } else if (word.starts_with("--rounds=")) {
      options.rounds = std::max(0, std::atoi(value.c_str()));
    } else {
      std::fprintf(stderr, "rendezvous_bench: %s? See the head of bench/rendezvous_bench.cc\n", word.c_str());
      std::exit(2);
    }
  }
  return options;
}

int run(const Options& options) {
  raise_limit();
  std::vector<double> times;
  for (int i = 0; i < options.rounds; ++i) times.push_back(first_round_ms(options.nodes));
  if (!times.empty()) {
    show(options, {{"nodes", options.nodes},
                   {"rounds", options.rounds},
                   {"first_round_median_ms", median(times)},
                   {"first_round_p99_ms", p99(times)}});
  }
  for (const int agents : options.agents) show(options, ManyAgents(agents).run(options.broadcasts));
  return 0;
}

}  // namespace
}  // namespace ferrun::bench

int main(int argc, char** argv) {
  try {
    return ferrun::bench::run(ferrun::bench::parse(argc, argv));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "rendezvous_bench: %s\n", error.what());
    return 1;
  }
}
