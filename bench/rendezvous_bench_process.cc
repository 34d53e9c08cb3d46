#include "bench/rendezvous_bench_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <new>
#include <stdexcept>
#include <vector>

#include "rendezvous/io/coordinator/agent_listener.h"
#include "rendezvous/io/coordinator/coordinator_server.h"
#include "tests/rendezvous/member/member_fleet.h"

namespace ferrun::bench {
namespace {

// Agents of one process that connect at the same time: a process of real agents has one.
constexpr size_t kInFlight = 256;

std::shared_ptr<const JobSecret> secret() { return std::make_shared<JobSecret>("bench", "a job token of some length"); }

int64_t resident_bytes() {
  int64_t pages = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
}

int64_t processor_ns() {
  timespec used{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return used.tv_sec * 1000000000LL + used.tv_nsec;
}

// Calls `on_command` for every byte; the process ends when the benchmark's does.
void await_commands(boost::asio::posix::stream_descriptor& pipe, const std::function<void(char)>& on_command) {
  pipe.async_wait(boost::asio::posix::stream_descriptor::wait_read, [&pipe, on_command](const auto&) {
    char command = 0;
    if (::read(pipe.native_handle(), &command, 1) != 1) ::_exit(0);
    on_command(command);
    await_commands(pipe, on_command);
  });
}

// One process's share of the agents.
class Members {
 public:
  Members(Board::Group& board, GroupPlan plan, Endpoint coordinator, int commands)
      : board_(board), plan_(std::move(plan)), coordinator_(std::move(coordinator)), commands_(io_, commands) {}

  void run() {
    seen_.resize(static_cast<size_t>(plan_.members));
    await_commands(commands_, [this](char command) { obey(command); });
    for (;;) {
      io_.run_one();
      if (begun_) add_members();
    }
  }

 private:
  struct Seen {
    RoundId ranked;
    RoundId started;
    bool arrived = false;
  };

  void obey(char command) {
    if (command == 'g') begun_ = true;
    if (command == 'm') {
      board_.cpu = processor_ns();
      board_.bytes = resident_bytes();
    }
    if (command != 'f') return;
    board_.failed_at = now_ns();
    fleet_[0].fail_a_worker();
  }

  void add_members() {
    const size_t all = static_cast<size_t>(plan_.members);
    while (fleet_.size() < all && fleet_.size() - arrived_ < kInFlight) {
      const bool last = fleet_.size() + 1 == all;
      if (last && plan_.last_apart && arrived_ < fleet_.size()) return;
      if (last) board_.last_began_at = now_ns();
      MemberLink::Options options;
      options.endpoint = coordinator_;
      options.secret = secret_;
      options.agent = {plan_.first_agent + fleet_.size()};
      if (!plan_.from.empty()) options.from = parse_ip_address(plan_.from);
      fleet_.add(std::move(options));
    }
  }

  void changed(FleetMember& member) {
    Seen& seen = seen_[member.index()];
    if (!seen.arrived && member.machine().phase() != MemberMachine::Phase::kSeeking) {
      seen.arrived = true;
      ++arrived_;
    }
    if (const RoundId round = member.machine().round(); round > seen.ranked) {
      seen.ranked = round;
      if (round.number > board_.round) {
        board_.round = round.number;
        board_.ranked = board_.started = 0;
      }
      board_.ranked_at = now_ns();
      ++board_.ranked;
    }
    if (member.running && *member.running > seen.started) {
      seen.started = *member.running;
      board_.started_at = now_ns();
      ++board_.started;
    }
    if (member.end) {
      std::fprintf(stderr, "rendezvous_bench: an agent ended: %s\n",
                   member.end->report.empty() ? "" : member.end->report.back().c_str());
      std::exit(1);
    }
  }

  Board::Group& board_;
  const GroupPlan plan_;
  const Endpoint coordinator_;
  const std::shared_ptr<const JobSecret> secret_ = secret();
  boost::asio::io_context io_;
  boost::asio::posix::stream_descriptor commands_;
  std::vector<Seen> seen_;
  size_t arrived_ = 0;
  bool begun_ = false;
  MemberFleet fleet_{io_, [this](FleetMember& member) { changed(member); }};
};

}  // namespace

Board& make_board() {
  void* memory = ::mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::runtime_error("mmap failed");
  return *new (memory) Board;
}

int64_t now_ns() { return boottime_now().time_since_epoch().count(); }

Child::Child(const char* name, const std::function<void(int)>& body) {
  int pipe[2];
  if (::pipe2(pipe, O_CLOEXEC) != 0) throw std::runtime_error("pipe failed");
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error("fork failed");
  if (pid_ == 0) {
    ::prctl(PR_SET_NAME, name);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::close(pipe[1]);
    body(pipe[0]);
    ::_exit(0);
  }
  ::close(pipe[0]);
  pipe_ = pipe[1];
}

Child::~Child() {
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  ::close(pipe_);
}

void Child::tell(char command) {
  if (::write(pipe_, &command, 1) != 1) throw std::runtime_error("a process of the benchmark has ended");
}

void Child::signal(int number) { ::kill(pid_, number); }

void run_coordinator(Board& board, int nodes, const std::string& address, int commands) {
  boost::asio::io_context io;
  CoordinatorServer::Options options;
  options.config.min_nodes = options.config.max_nodes = nodes;
  options.config.max_restarts = 1000;
  options.config.launch_id = "bench";
  options.config.silence = options.config.lease = std::chrono::seconds(60);
  options.secret = secret();
  CoordinatorServer::Callbacks callbacks;
  callbacks.heard = [&](const MemberMessage& message) {
    if (!std::holds_alternative<StopAcknowledged>(message)) return;
    board.acknowledged_at = now_ns();
    ++board.acknowledged;
  };
  callbacks.say = [verbose = std::getenv("RENDEZVOUS_BENCH_LOG") != nullptr](const RendezvousSay& say) {
    if (verbose) std::fprintf(stderr, "%s\n", say.line.c_str());
  };
  CoordinatorServer server(io, std::move(options), std::move(callbacks));
  AgentListener::Callbacks port;
  port.agent = [&](AgentListener::Socket socket, const boost::asio::ip::tcp::endpoint& peer, std::string_view first) {
    server.adopt(std::move(socket), peer, first);
  };
  const HostElection election{true, false, {*parse_ip_address(address)}, ""};
  const AgentListener::Opened opened = AgentListener::open(io, election, 0, std::move(port));
  if (!opened.listener) throw std::runtime_error(opened.why);
  boost::asio::posix::stream_descriptor pipe(io, commands);
  await_commands(pipe, [&](char command) {
    if (command != 'm') return;
    board.server_cpu = processor_ns();
    board.server_bytes = resident_bytes();
  });
  board.port = opened.listener->port();
  io.run();
}

void run_members(Board& board, const GroupPlan& plan, const std::string& coordinator, int commands) {
  Members(board.groups[plan.index], plan, {coordinator, board.port}, commands).run();
}

}  // namespace ferrun::bench
