// The smallest agent: a sentinel above it, COUNT workers that do the given actions, and the end that ferrun would give
// them.
//
//   probe_agent COUNT ACTION…
//
// Ends with the highest shell code of its workers; on INT or TERM kills them and ends with 128 + signal; when its
// sentinel dies, kills them and ends with 70. HUP, USR1 and USR2 are only noted. With PROBE_REPORT set it writes a line
// to stderr for each worker that ended, with PROBE_SIGNALS one for each signal; PROBE_WORKER names another copy of
// probe_worker. With PROBE_LEASE=MILLISECONDS its workers may live that long without it: the lease is renewed twenty
// times in that time. Each port in PROBE_PEERS is connected to on the loopback address, in turn, and the connection
// shared with the sentinel, once the file PROBE_PEERS_WHEN is there; with PROBE_UNSHARED the agent has no descriptor
// left for that.
#include <unistd.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <sstream>
#include <thread>

#include "common/exit_status.h"
#include "common/io/clock.h"
#include "launcher/io/process/lease_guard.h"
#include "launcher/io/process/process_launcher.h"
#include "launcher/io/process/sentinel.h"
#include "launcher/io/process/signal_inbox.h"

namespace {

using namespace ferrun;
namespace asio = boost::asio;
using asio::ip::tcp;

class Lease {
 public:
  Lease(asio::io_context& io, LeaseGuard& guard, Duration length) : timer_(io), guard_(guard), length_(length) {
    renew();
  }

 private:
  void renew() {
    guard_.hold(boottime_now() + length_);
    timer_.expires_after(length_ / 20);
    timer_.async_wait([this](const boost::system::error_code& error) {
      if (!error) renew();
    });
  }

  asio::steady_timer timer_;
  LeaseGuard& guard_;
  Duration length_;
};

// Keeps its own end of the last connection alone.
std::optional<tcp::socket> share_connections(asio::io_context& io, LeaseGuard& guard, const std::string& ports) {
  std::optional<tcp::socket> last;
  std::istringstream in(ports);
  for (uint16_t port = 0; in >> port;) {
    last.emplace(io);
    last->connect({asio::ip::address_v4::loopback(), port});
    last->set_option(asio::socket_base::linger(true, 0));
    const int shared = std::getenv("PROBE_UNSHARED") != nullptr ? -1 : last->native_handle();
    if (const Status told = guard.share(shared); !told) std::cerr << told.error().message << '\n';
  }
  return last;
}

std::string line_about(const JobSignal& arrived) {
  return signal_name(arrived.signal) + (arrived.direct ? " directly" : " from the sentinel") +
         (arrived.from_terminal ? ", by the terminal" : "");
}

void wait_for_file(const char* path) {
  while (path != nullptr && access(path, F_OK) != 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
}

int run(const SentinelLink& link, int count, const std::vector<std::string>& actions) {
  asio::io_context io;
  int result = 0;
  int running = count;
  const bool report = std::getenv("PROBE_REPORT") != nullptr;
  const char* program = std::getenv("PROBE_WORKER");
  ProcessLauncher launcher(io, {.exited =
                                    [&](int, int, pid_t, ExitStatus status) {
                                      if (report) std::cerr << "a worker " << status.describe() << std::endl;
                                      result = std::max(result, status.shell_code());
                                      if (--running == 0) io.stop();
                                    },
                                .template_lost = [](const std::string&) {}});
  SignalInbox inbox(io, link, {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2},
                    {.arrived =
                         [&](const JobSignal& arrived) {
                           if (std::getenv("PROBE_SIGNALS") != nullptr) std::cerr << line_about(arrived) << std::endl;
                           if (arrived.signal != SIGINT && arrived.signal != SIGTERM) return;
                           result = 128 + arrived.signal;
                           io.stop();
                         },
                     .sentinel_died =
                         [&] {
                           result = kExitInternal;
                           io.stop();
                         }});
  std::optional<LeaseGuard> guard;
  std::optional<Lease> lease;
  std::optional<tcp::socket> connection;
  if (const char* length = std::getenv("PROBE_LEASE")) {
    guard.emplace(link);
    lease.emplace(io, *guard, std::chrono::milliseconds(std::atoi(length)));
    wait_for_file(std::getenv("PROBE_PEERS_WHEN"));
    if (const char* ports = std::getenv("PROBE_PEERS")) connection = share_connections(io, *guard, ports);
  }
  SpawnRequest request;
  request.argv = {program != nullptr ? program : FERRUN_TEST_BIN_DIR "/probe_worker"};
  request.argv.insert(request.argv.end(), actions.begin(), actions.end());
  for (int rank = 0; rank < count; ++rank) {
    request.local_rank = rank;
    request.environment = Environment::from_block(environ);
    request.environment.set("RANK", std::to_string(rank));
    launcher.start(request, {}, [&](const Result<pid_t>& started) {
      if (started) return;
      std::cerr << started.error().message << '\n';
      result = kExitInternal;
      io.stop();
    });
  }
  io.run();
  launcher.kill_descendants();
  // Nobody is left to be ended; a leak checker's thread, which looks like a child, must be left alone.
  if (guard) guard->hold(std::nullopt);
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  const Result<SentinelLink> link = become_agent_under_sentinel();
  if (!link) {
    std::cerr << link.error().message << '\n';
    return kExitInternal;
  }
  return run(*link, std::atoi(argv[1]), {argv + 2, argv + argc});
}
