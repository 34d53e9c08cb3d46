#include "launcher/io/node/coordinator_process.h"

#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <chrono>
#include <csignal>
#include <utility>

#include "common/io/clock.h"
#include "launcher/exit_statuses.h"
#include "launcher/io/logs/agent_log.h"
#include "launcher/io/logs/log_writer.h"
#include "launcher/io/node/hosting_driver.h"
#include "rendezvous/io/net/listener.h"

namespace ferrun {
namespace {

namespace asio = boost::asio;

// Lines that wait while the reader of stderr stands still; beyond that they are lost and counted.
constexpr size_t kQueueBytes = 256 << 10;
// And how long they are waited for at the end.
constexpr Duration kLastWords = std::chrono::milliseconds(500);

class CoordinatorProcess {
 public:
  explicit CoordinatorProcess(CoordinatorJob job)
      : job_(std::move(job)),
        log_(job_.log_level, [this](const std::string& line) { print(line); }),
        signals_(io_, SIGTERM, SIGINT, SIGHUP),
        hosting_(io_, host_options(), {}, hosting_callbacks()) {
    signals_.add(SIGQUIT);
  }

  int run() {
    for (const std::string& line : job_.rendezvous.warnings) log_.say(LogLevel::kWarning, line);
    for (const std::string& line : job_.rendezvous.notes) log_.say(LogLevel::kInfo, line);
    await_signal();
    hosting_.start();
    while (!hosting_.done()) io_.run_one();
    const int status = conclude(*hosting_.done());
    err_.finish({monotonic_now(), kLastWords, nullptr});
    return status;
  }

 private:
  // The job must not wait for a terminal that is stopped.
  void print(const std::string& line) { err_.write(stderr_, line + "\n"); }

  CoordinatorHost::Options host_options() const {
    CoordinatorHost::Options options;
    options.rendezvous = job_.rendezvous;
    options.launch_id = job_.launch_id;
    options.secret = job_secret(job_.rendezvous);
    options.own_process = true;
    options.state_file = job_.rendezvous.state_file;
    return options;
  }

  HostingDriver::Callbacks hosting_callbacks() {
    HostingDriver::Callbacks callbacks;
    callbacks.say = [this](LogLevel level, const std::string& line) { log_.say(level, line); };
    callbacks.store_client = [](AgentListener::Socket socket, const asio::ip::tcp::endpoint&, std::string_view) {
      reset_connection(socket);
    };
    callbacks.share_port = [](AgentListener*) {};
    return callbacks;
  }

  void await_signal() {
    signals_.async_wait([this](const boost::system::error_code& error, int signal) {
      if (error) return;
      hosting_.leave(signal);
      await_signal();
    });
  }

  int conclude(const HostingDone& done) {
    if (done.error) log_.say(LogLevel::kError, done.error->message);
    if (done.error) return exit_status_of(*done.error);
    if (!done.end) return 128 + done.signal;
    for (const std::string& line : done.end->report) print("ferrun: " + line);
    return done.end->exit_status;
  }

  asio::io_context io_{1};
  CoordinatorJob job_;
  LogWriter err_{{kQueueBytes, "the reader of stderr is stopped or too slow", nullptr, nullptr}};
  const LogWriter::Target stderr_ = err_.add("stderr", STDERR_FILENO, /*owned=*/false);
  AgentLog log_;
  asio::signal_set signals_;
  HostingDriver hosting_;
};

}  // namespace

int run_coordinator(CoordinatorJob job) { return CoordinatorProcess(std::move(job)).run(); }

}  // namespace ferrun
