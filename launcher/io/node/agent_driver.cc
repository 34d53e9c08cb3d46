#include "launcher/io/node/agent_driver.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <memory>
#include <optional>
#include <utility>

#include "common/io/clock.h"
#include "launcher/io/node/final_report.h"
#include "launcher/io/node/local_job.h"
#include "launcher/node/agent_machine.h"
#include "rendezvous/io/store/store_server.h"

namespace ferrun {

namespace asio = boost::asio;

namespace {

AgentConfig agent_config(const JobConfig& config) {
  return {config.workers, config.max_restarts, config.shutdown_timeout, config.start_method != StartMethod::kSpawn};
}

}  // namespace

class AgentDriver::Impl {
 public:
  Impl(JobConfig config, SentinelLink sentinel)
      : machine_(agent_config(config)),
        job_(io_, std::move(config), sentinel,
             [this](const LocalJob::Fact& fact) {
               std::visit([this](const auto& what) { facts_.emplace_back(what); }, fact);
             }),
        timer_(io_) {}

  int run() {
    job_.introduce();
    // The whole agent: take what has happened, let the machine decide, carry that out, sleep until the next thing
    // happens.
    for (;;) {
      now_ = monotonic_now();
      deliver_facts();
      if (ending_) break;
      set_timer();
      io_.run_one();
      for (int taken = 1; taken < kHandlersPerTurn && io_.poll_one() > 0; ++taken) {
      }
    }
    return conclude();
  }

 private:
  // --- facts ---

  // Effects may bring new facts at once (a start does); these are delivered in the same turn.
  void deliver_facts() {
    carry_out(machine_.take_effects());
    while (!facts_.empty()) {
      const AgentEvent fact = std::move(facts_.front());
      facts_.pop_front();
      machine_.step(fact, now_);
      carry_out(machine_.take_effects());
    }
  }

  void set_timer() {
    const std::optional<TimePoint> deadline = machine_.next_deadline();
    if (deadline == timer_set_for_) return;
    timer_set_for_ = deadline;
    timer_.cancel();
    if (!deadline) return;
    timer_.expires_at(asio::steady_timer::time_point(deadline->time_since_epoch()));
    timer_.async_wait([this](const boost::system::error_code& error) {
      if (error) return;
      timer_set_for_.reset();
      facts_.emplace_back(DeadlineArrived{});
    });
  }

  // --- effects ---

  void carry_out(const std::vector<AgentEffect>& effects) {
    for (const AgentEffect& effect : effects) {
      std::visit([this](const auto& what) { carry_out(what); }, effect);
    }
  }

  void carry_out(const Say& say) { job_.say(say.level, say.line); }
  void carry_out(const SignalWorker& send) { job_.signal(send); }
  void carry_out(const SweepAttempt& sweep) { job_.sweep(sweep); }
  void carry_out(const KillEverything&) { job_.kill_everything(); }
  void carry_out(const Finish& finish) { ending_ = finish.ending; }

  void carry_out(const PrepareAttempt& prepare) {
    if (const Status ready = open_store(); ready) {
      job_.prepare(prepare);
    } else {
      facts_.emplace_back(AttemptNotReady{prepare.attempt, ready.error()});
    }
  }

  void carry_out(const StartWorker& start) {
    const JobConfig& config = job_.config();
    WorkerPlace place;
    place.attempt = start.attempt;
    place.local_rank = start.local_rank;
    place.assignment = whole_job(config.workers, start.attempt);
    place.store = {config.meeting.master_addr, store_->port()};
    job_.start(start, std::move(place));
  }

  // A port that the kernel chose is left behind with the attempt's store, so that nobody who knew it meets the next
  // one's; a fixed one is emptied, which is safe because no process of the old attempt is left.
  Status open_store() {
    const Meeting& meeting = job_.config().meeting;
    if (store_ && meeting.port != 0) {
      store_->reset();
      return ok_status();
    }
    StoreServerOptions options;
    options.address = meeting.listen_address;
    options.port = meeting.port;
    options.log = [this](const std::string& line) { job_.say(LogLevel::kInfo, line); };
    options.warn = [this](const std::string& line) { job_.say(LogLevel::kWarning, line); };
    Result<std::unique_ptr<StoreServer>> store = StoreServer::listen(io_, std::move(options));
    if (!store) return store.error();
    store_ = std::move(*store);
    store_->admit_only({});  // every worker is of this machine, also where the store listens on every address
    job_.say(LogLevel::kInfo,
             "the workers' store listens at " + meeting.master_addr + ", port " + std::to_string(store_->port()));
    return ok_status();
  }

  int conclude() {
    const FinalReport report = final_report(job_.config(), *ending_, machine_, job_.router());
    job_.close(report.lines, machine_.attempt());
    return report.exit_status;
  }

  asio::io_context io_{1};
  std::deque<AgentEvent> facts_;
  AgentMachine machine_;
  std::unique_ptr<StoreServer> store_;
  LocalJob job_;
  asio::steady_timer timer_;
  std::optional<TimePoint> timer_set_for_;
  TimePoint now_{};
  std::optional<Ending> ending_;
};

AgentDriver::AgentDriver(JobConfig config, SentinelLink sentinel)
    : impl_(std::make_unique<Impl>(std::move(config), sentinel)) {}
AgentDriver::~AgentDriver() = default;

int AgentDriver::run() { return impl_->run(); }

}  // namespace ferrun
