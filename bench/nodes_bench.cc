// nodes_bench: what a job of several nodes makes of the stories that torchrun can play as well.
//
//   nodes_bench [--rounds=N] [--quick] [--patience=SECONDS] [--torchrun=PATH] [--json]
//
// Three agents (an elastic job of two to three nodes) with two workers each on this machine, meeting at a loopback
// port. Each round plays for each launcher, one after the other:
//   form          an agent is started, and two more as soon as it listens; until the last of six workers is in its main
//   failure       a worker is killed; until the last worker of the next group of six is
//   loss          an agent that does not host the rendezvous is killed with all that is below it; until a group of four
//     told        until the last worker of the other nodes has SIGTERM
//     regrouped   from then, when the workers end at once, to the last worker of the group of four
//   return        an agent is started in its place; until a group of six
//   silent        everything of that agent is stopped, as a machine that hangs; until a group of four
//     noticed     until the last worker of the other nodes has SIGTERM
//   host lost     the agent that hosts the rendezvous is killed and started again; until a group of six
// --quick leaves out the last two, which wait for a lease: for many rounds. A story that does not come to its end
// within the patience is counted as never. torchrun is found beside the Python peer of the tests; without it
// (--torchrun=) its rows are left out. Printed are the median and the 99th percentile, which in less than a hundred
// rounds is the slowest.
#include <arpa/inet.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "bench/launch_bench_process.h"
#include "bench/statistics.h"
#include "tests/peer_path.h"
#include "tests/temporary_directory.h"

namespace {

namespace fs = std::filesystem;
using namespace ferrun::bench;

constexpr int kAgents = 3;
constexpr int kWorkers = 2;

struct Options {
  int rounds = 5;
  bool quick = false;
  double patience = 30;
  std::string torchrun;
  bool json = false;
};

Options parse(int argc, char** argv) {
  Options options;
  options.torchrun = ferrun::peer_torchrun();
  for (int index = 1; index < argc; ++index) {
    const std::string argument = argv[index];
    const std::string value = argument.substr(std::min(argument.size(), argument.find('=') + 1));
    if (argument.starts_with("--rounds=")) {
      options.rounds = std::stoi(value);
    } else if (argument == "--quick") {
      options.quick = true;
    } else if (argument.starts_with("--patience=")) {
      options.patience = std::stod(value);
    } else if (argument.starts_with("--torchrun=")) {
      options.torchrun = value;
    } else if (argument == "--json") {
      options.json = true;
    } else {
      std::fprintf(stderr, "nodes_bench: %s? See the head of bench/nodes_bench.cc\n", argument.c_str());
      std::exit(2);
    }
  }
  return options;
}

struct Started {
  int world = 0;  // or 0: told to stop
  int rank = 0;
  pid_t pid = 0;
  long long at_ns = 0;
};

// A job of three agents that are killed and started again.
class Job {
 public:
  Job(bool ferrun, const std::string& launcher, int port, fs::path journal, double patience)
      : port_(port), journal_(std::move(journal)), patience_(patience) {
    fs::remove(journal_);
    const std::string endpoint = "127.0.0.1:" + std::to_string(port);
    command_ = {launcher,
                "--nnodes=2:3",
                "--nproc-per-node=" + std::to_string(kWorkers),
                "--max-restarts=3",
                "--rdzv-backend=c10d",
                "--rdzv-id=bench",
                "--rdzv-endpoint=" + endpoint,
                "--rdzv-conf=last_call_timeout=1"};
    // What would keep a bench of scaling waiting on purpose.
    if (ferrun) command_.insert(command_.end(), {"--scale-interval=0", "--min-uptime=0"});
    command_.insert(command_.end(), {"--no-python", std::string(FERRUN_BENCH_BIN_DIR) + "/nodes_rank"});
    setenv("NODES_JOURNAL", journal_.c_str(), 1);
    setenv("OMP_NUM_THREADS", "1", 1);
  }
  ~Job() {
    for (int agent = 0; agent < kAgents; ++agent) kill_agent(agent);
  }

  void start_agent(int agent) { agents_[agent] = start(command_); }

  // Until somebody listens at the job's port.
  void wait_for_host() const {
    const long long limit = now_ns() + static_cast<long long>(patience_ * 1e9);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port_));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (bool listens = false; !listens && now_ns() < limit; usleep(500)) {
      const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      listens = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
      close(fd);
    }
  }

  // The agent and everything below it, as a machine that hangs.
  void stop_agent(int agent) const { signal_all(agents_.at(agent), SIGSTOP); }

  // The same, as a machine that loses power.
  void kill_agent(int agent) {
    const pid_t pid = agents_[agent];
    if (pid == 0) return;
    signal_all(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    agents_[agent] = 0;
  }

  // Milliseconds from `since` until the last of a whole group of `world` started after it; none when patience ends.
  std::optional<double> wait_for_group(int world, long long since) {
    const long long limit = since + static_cast<long long>(patience_ * 1e9);
    for (;;) {
      std::map<int, Started> by_rank;
      for (const Started& started : read()) {
        if (started.world == world && started.at_ns > since) by_rank[started.rank] = started;
      }
      if (static_cast<int>(by_rank.size()) == world) {
        group_.clear();
        long long last = 0;
        for (const auto& [rank, started] : by_rank) {
          group_.push_back(started);
          last = std::max(last, started.at_ns);
        }
        return static_cast<double>(last - since) / 1e6;
      }
      if (now_ns() > limit) return std::nullopt;
      usleep(2000);
    }
  }

  // Milliseconds from `since` to the last SIGTERM that a worker had after it.
  std::optional<double> told(long long since) const {
    long long last = since;
    for (const Started& line : read()) {
      if (line.world == 0) last = std::max(last, line.at_ns);
    }
    return last == since ? std::nullopt : std::optional(static_cast<double>(last - since) / 1e6);
  }

  // The newest whole group, by rank.
  const std::vector<Started>& group() const { return group_; }

 private:
  static void signal_all(pid_t root, int signal) {
    std::vector<pid_t> all = {root};
    for (const ProcessMemory& process : process_tree(root)) all.push_back(process.pid);
    for (const pid_t each : all) kill(each, signal);
  }

  std::vector<Started> read() const {
    std::vector<Started> all;
    std::ifstream in(journal_);
    for (Started started; in >> started.world >> started.rank >> started.pid >> started.at_ns;) all.push_back(started);
    return all;
  }

  int port_;
  fs::path journal_;
  double patience_;
  Command command_;
  std::map<int, pid_t> agents_;
  std::vector<Started> group_;
};

using Results = std::map<std::string, std::vector<std::optional<double>>>;

const std::vector<std::string> kStories = {"form",   "failure", "loss",      "  told",   "  regrouped",
                                           "return", "silent",  "  noticed", "host lost"};

void play(Job& job, bool quick, Results& results) {
  // The first one hosts the rendezvous: on one machine any of them could.
  long long since = now_ns();
  job.start_agent(0);
  job.wait_for_host();
  for (int agent = 1; agent < kAgents; ++agent) job.start_agent(agent);
  results["form"].push_back(job.wait_for_group(kAgents * kWorkers, since));
  if (!results["form"].back()) return;

  since = now_ns();
  kill(job.group().back().pid, SIGKILL);
  results["failure"].push_back(job.wait_for_group(kAgents * kWorkers, since));

  since = now_ns();
  job.kill_agent(2);
  const std::optional<double> smaller = job.wait_for_group((kAgents - 1) * kWorkers, since);
  const std::optional<double> told = job.told(since);
  results["loss"].push_back(smaller);
  results["  told"].push_back(told);
  results["  regrouped"].push_back(smaller && told ? std::optional(*smaller - *told) : std::nullopt);

  since = now_ns();
  job.start_agent(2);
  results["return"].push_back(job.wait_for_group(kAgents * kWorkers, since));
  if (quick) return;

  since = now_ns();
  job.stop_agent(2);
  results["silent"].push_back(job.wait_for_group((kAgents - 1) * kWorkers, since));
  results["  noticed"].push_back(job.told(since));
  job.kill_agent(2);
  job.start_agent(2);
  job.wait_for_group(kAgents * kWorkers, since);

  since = now_ns();
  job.kill_agent(0);
  job.start_agent(0);
  results["host lost"].push_back(job.wait_for_group(kAgents * kWorkers, since));
}

std::string text_of(const std::vector<std::optional<double>>& values) {
  if (values.empty()) return "not played";
  std::vector<double> reached;
  for (const auto& value : values) {
    if (value) reached.push_back(*value);
  }
  char text[96];
  if (reached.empty()) {
    std::snprintf(text, sizeof text, "never (%zu of %zu)", values.size(), values.size());
    return text;
  }
  std::snprintf(text, sizeof text, "%9.1f ms (median) %9.1f ms (p99)  %zu of %zu", median(reached), p99(reached),
                reached.size(), values.size());
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  const ferrun::testing::TemporaryDirectory folder;
  setenv("XDG_RUNTIME_DIR", folder.path().c_str(), 1);
  std::map<std::string, std::string> launchers = {{"ferrun", std::string(FERRUN_BENCH_BIN_DIR) + "/ferrun"}};
  if (fs::exists(options.torchrun)) launchers["torchrun"] = options.torchrun;
  std::map<std::string, Results> results;
  int port = 20000 + static_cast<int>(getpid() % 10000);
  for (int round = 0; round < options.rounds; ++round) {
    for (const auto& [name, launcher] : launchers) {
      Job job(name == "ferrun", launcher, port++, folder.path() / "journal", options.patience);
      play(job, options.quick, results[name]);
    }
  }
  if (options.json) {
    nlohmann::json out;
    for (const auto& [name, stories] : results) {
      for (const auto& [story, values] : stories) {
        for (const auto& value : values) out[name][story].push_back(value ? nlohmann::json(*value) : nlohmann::json());
      }
    }
    std::printf("%s\n", out.dump(1).c_str());
    return 0;
  }
  for (const std::string& story : kStories) {
    std::printf("%s\n", story.c_str());
    for (auto& [name, stories] : results) std::printf("  %-9s %s\n", name.c_str(), text_of(stories[story]).c_str());
  }
  return 0;
}
