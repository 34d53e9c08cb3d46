#include "launcher/io/node/coordinator_process.h"

#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <chrono>
#include <csignal>
#include <optional>
#include <utility>

#include "common/exit_status.h"
#include "common/io/clock.h"
#include "launcher/exit_statuses.h"
#include "launcher/io/logs/agent_log.h"
#include "launcher/io/logs/log_writer.h"
#include "launcher/io/node/coordinator_host.h"
#include "rendezvous/io/net/listener.h"
#include "rendezvous/io/net/port_owner.h"

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
        host_(io_, host_options(), host_callbacks()) {
    signals_.add(SIGQUIT);
  }

  int run() {
    for (const std::string& line : job_.rendezvous.warnings) log_.say(LogLevel::kWarning, line);
    for (const std::string& line : job_.rendezvous.notes) log_.say(LogLevel::kInfo, line);
    await_signal();
    host_.start();
    while (!status_) io_.run_one();
    err_.finish({monotonic_now(), kLastWords, nullptr});
    return *status_;
  }

 private:
  // The job must not wait for a terminal that is stopped.
  void print(const std::string& line) { err_.write(stderr_, line + "\n"); }

  CoordinatorHost::Options host_options() const {
    CoordinatorHost::Options options;
    options.rendezvous = job_.rendezvous;
    options.launch_id = job_.launch_id;
    options.secret = std::make_shared<const JobSecret>(job_.rendezvous.job_id, job_.rendezvous.token);
    options.own_process = true;
    options.state_file = job_.rendezvous.state_file;
    return options;
  }

  CoordinatorHost::Callbacks host_callbacks() {
    CoordinatorHost::Callbacks callbacks;
    callbacks.say = [this](LogLevel level, const std::string& line) { log_.say(level, line); };
    callbacks.decided = [this](CoordinatorHost::Outcome outcome, const std::string& why) { decided(outcome, why); };
    callbacks.failed = [this](const Error& error) { fail(error); };
    callbacks.store_client = [](AgentListener::Socket socket, const asio::ip::tcp::endpoint&, std::string_view) {
      reset_connection(socket);
    };
    callbacks.done = [this](const JobEnd& end) { conclude(end); };
    return callbacks;
  }

  void decided(CoordinatorHost::Outcome outcome, const std::string& why) {
    switch (outcome) {
      case CoordinatorHost::Outcome::kHosting:
        log_.say(LogLevel::kInfo, "coordinating job " + job_.rendezvous.job_id + ": " + why);
        break;
      case CoordinatorHost::Outcome::kUnknown: log_.say(LogLevel::kWarning, why + "; trying again"); break;
      case CoordinatorHost::Outcome::kElsewhere:
        fail({ErrorKind::kUser, "cannot coordinate the job here: " + why});
        break;
      case CoordinatorHost::Outcome::kTaken: {
        const std::optional<std::string> owner = port_owner(job_.rendezvous.endpoint.port);
        fail({ErrorKind::kPlatform, "cannot coordinate the job here: " + why + (owner ? ": " + *owner : "")});
        break;
      }
    }
  }

  void await_signal() {
    signals_.async_wait([this](const boost::system::error_code& error, int signal) {
      if (error) return;
      if (!host_.hosting()) {
        status_ = 128 + signal;
        return;
      }
      log_.say(LogLevel::kWarning, "got " + signal_name(signal) + ": ending the job");
      host_.stop(signal);
      await_signal();
    });
  }

  void fail(const Error& error) {
    log_.say(LogLevel::kError, error.message);
    status_ = exit_status_of(error);
  }

  void conclude(const JobEnd& end) {
    for (const std::string& line : end.report) print("ferrun: " + line);
    status_ = end.exit_status;
  }

  asio::io_context io_{1};
  CoordinatorJob job_;
  LogWriter err_{{kQueueBytes, "the reader of stderr is stopped or too slow", nullptr, nullptr}};
  const LogWriter::Target stderr_ = err_.add("stderr", STDERR_FILENO, /*owned=*/false);
  AgentLog log_;
  asio::signal_set signals_;
  CoordinatorHost host_;
  std::optional<int> status_;
};

}  // namespace

int run_coordinator(CoordinatorJob job) { return CoordinatorProcess(std::move(job)).run(); }

}  // namespace ferrun
