#include "launcher/io/node/node_driver.h"

#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <deque>
#include <optional>
#include <utility>

#include "common/io/clock.h"
#include "launcher/exit_statuses.h"
#include "launcher/io/node/evidence.h"
#include "launcher/io/node/hosting_driver.h"
#include "launcher/io/node/local_job.h"
#include "launcher/io/node/node_address.h"
#include "launcher/io/node/round_store.h"
#include "launcher/io/node/runtime_folder.h"
#include "launcher/io/node/status_socket.h"
#include "launcher/io/probe/oom_watch.h"
#include "launcher/io/process/lease_guard.h"
#include "launcher/logs/log_layout.h"
#include "launcher/node/node_machine.h"
#include "launcher/node/node_setup.h"
#include "rendezvous/io/net/boot_timer.h"

namespace ferrun {

namespace asio = boost::asio;

class NodeDriver::Impl {
 public:
  Impl(JobConfig config, const SentinelLink& sentinel)
      : job_(
            io_, std::move(config), sentinel,
            [this](const LocalJob::Fact& fact) { std::visit([this](const auto& what) { tell_machine(what); }, fact); }),
        guard_(sentinel),
        address_(rendezvous()),
        store_(io_, rendezvous().store_port, rendezvous().ports, say_at(LogLevel::kInfo), say_at(LogLevel::kWarning)),
        timer_(io_, [this] { tell_machine(DeadlineArrived{}); }) {}

  int run() {
    job_.introduce();
    if (const Status found = address_.find(); !found) return refuse(found.error());
    use_runtime_folder();
    machine_.emplace(node_config(job_.config(), address_.advertised()), boottime_now());
    hosting_.emplace(io_, host_options(), hosting_callbacks());
    hosting_->start();
    // The whole agent: take what has happened, let the machine decide, carry that out, sleep until the next thing
    // happens.
    for (;;) {
      deliver_facts();
      if (hosting_->done()) break;
      timer_.set(machine_->next_deadline());
      io_.run_one();
      for (int taken = 1; taken < kHandlersPerTurn && io_.poll_one() > 0; ++taken) {
      }
    }
    return conclude();
  }

 private:
  const RendezvousConfig& rendezvous() const { return *job_.config().rendezvous; }

  std::function<void(const std::string&)> say_at(LogLevel level) {
    return [this, level](const std::string& line) { job_.say(level, line); };
  }

  // --- facts ---

  void tell_machine(NodeEvent fact) { facts_.push_back(std::move(fact)); }

  // Effects may bring new facts at once (a start does); these are delivered in the same turn. Time is read anew for
  // each: a start of many workers must not find its lease longer than it is.
  void deliver_facts() {
    carry_out(machine_->take_effects());
    while (!facts_.empty()) {
      const NodeEvent fact = std::move(facts_.front());
      facts_.pop_front();
      machine_->step(fact, boottime_now());
      carry_out(machine_->take_effects());
    }
  }

  // --- the coordinator: here, or reached through the link ---

  void use_runtime_folder() {
    runtime_ = runtime_folder(job_.config().inherited);
    if (const Status made = make_runtime_folder(runtime_); !made) {
      job_.say(LogLevel::kWarning, made.error().message + "; ferrun status finds nothing here");
      runtime_.clear();
      return;
    }
    auto socket = StatusSocket::listen(io_, runtime_, rendezvous().job_id,
                                       [this](uint32_t id) { tell_machine(StatusAsked{id}); });
    if (socket) {
      status_ = std::move(*socket);
    } else {
      job_.say(LogLevel::kWarning, socket.error().message);
    }
  }

  CoordinatorHost::Options host_options() const {
    CoordinatorHost::Options options;
    options.rendezvous = rendezvous();
    options.launch_id = job_.config().launch_id;
    options.secret = std::make_shared<const JobSecret>(rendezvous().job_id, rendezvous().token);
    options.state_file = rendezvous().state_file;
    options.state_is_private = options.state_file.empty();
    if (options.state_is_private && !runtime_.empty()) options.state_file = private_state_file(runtime_, rendezvous());
    return options;
  }

  HostingDriver::Callbacks hosting_callbacks() {
    HostingDriver::Callbacks callbacks;
    callbacks.say = [this](LogLevel level, const std::string& line) { job_.say(level, line); };
    callbacks.tell = [this](NodeEvent fact) { tell_machine(std::move(fact)); };
    callbacks.guard = [this](int connection) { guard(connection); };
    callbacks.forget_guard = [this] { guard_.forget(); };
    callbacks.store_client = [this](AgentListener::Socket socket, const asio::ip::tcp::endpoint& peer,
                                    std::string_view first) { store_.adopt(std::move(socket), peer, first); };
    callbacks.share_port = [this](AgentListener* listener) { store_.share(listener); };
    callbacks.leave_store_port = [this] { store_.leave_port(); };
    return callbacks;
  }

  // Takes the duplicate over.
  void guard(int connection) {
    address_.learn_from(connection);
    if (const Status shared = guard_.share(connection); !shared) {
      job_.say(LogLevel::kWarning, shared.error().message);
    }
    close(connection);
  }

  // --- effects ---

  void carry_out(const std::vector<NodeEffect>& effects) {
    for (const NodeEffect& effect : effects) {
      std::visit([this](const auto& what) { carry_out(what); }, effect);
    }
  }

  void carry_out(const Say& say) { job_.say(say.level, say.line); }
  void carry_out(const PrepareAttempt& prepare) { job_.prepare(prepare); }
  void carry_out(const SignalWorker& send) { job_.signal(send); }
  void carry_out(const SweepAttempt& sweep) { job_.sweep(sweep); }
  void carry_out(const KillEverything&) { job_.kill_everything(); }
  void carry_out(const TellCoordinator& tell) { hosting_->tell(tell); }
  void carry_out(const CloseStore&) { store_.close(); }
  void carry_out(const HoldLease& lease) { guard_.hold(lease.until); }
  void carry_out(const Dial&) { hosting_->dial(); }
  void carry_out(const HangUp&) { hosting_->hang_up(); }
  void carry_out(const LeaveJob& leave) { hosting_->leave(leave.signal); }
  void carry_out(const NodeDone& done) {
    done_ = done;
    hosting_->node_ended(done.abandoned);
  }

  void carry_out(const BeginAttempt& begin) {
    attempt_ = begin;
    oom_.restart();
  }

  void carry_out(const StartWorker& start) {
    WorkerPlace place;
    place.attempt = start.attempt;
    place.local_rank = start.local_rank;
    place.assignment = attempt_.assignment;
    place.store = attempt_.store;
    place.launch_id = attempt_.launch_id;
    place.interface = route_.interface;
    job_.start(start, std::move(place));
  }

  // In a later turn: what the dying worker wrote last may lie in its pipe still.
  void carry_out(const GatherEvidence& gather) {
    asio::post(io_, [this, gather] { asio::post(io_, [this, gather] { tell_machine(evidence(gather)); }); });
  }

  EvidenceGathered evidence(const GatherEvidence& gather) const {
    EvidenceGathered gathered{gather.attempt, {}};
    const JobConfig& config = job_.config();
    const std::string out_of_memory = oom_.evidence();
    for (const int local_rank : gather.local_ranks) {
      FailedWorker worker;
      worker.local_rank = local_rank;
      worker.evidence = read_evidence(config, job_.router(), gather.attempt, local_rank);
      worker.evidence.out_of_memory = out_of_memory;
      const StreamPlan err = worker_log_plan(config, gather.attempt, local_rank).err;
      worker.stderr_file = err.file.value_or("");
      worker.stderr_inherited = err.inherited();
      gathered.workers.push_back(std::move(worker));
    }
    return gathered;
  }

  void carry_out(const OpenStore& open) {
    const Result<uint16_t> port = store_.open(open.admitted);
    if (port) {
      tell_machine(StoreOpened{open.round, address_.of_store(), port.value()});
    } else {
      tell_machine(StoreNotOpened{open.round, port.error().message});
    }
  }

  void carry_out(const ReachStore& reach) {
    store_.reach(reach.addresses, reach.port, [this, round = reach.round](const Result<StoreRoute>& route) {
      if (!route) return tell_machine(StoreUnreachable{round, route.error().message});
      route_ = route.value();
      tell_machine(StoreAnswered{round, route_.address});
    });
  }

  void carry_out(const ShowStatus& show) {
    if (status_) status_->answer(show.id, show.json);
  }

  // --- the end ---

  int refuse(const Error& error) {
    job_.close({"ferrun: " + error.message}, 0);
    return exit_status_of(error);
  }

  int conclude() {
    status_.reset();
    if (hosting_->done()->error) return refuse(*hosting_->done()->error);
    if (done_->failed_local_rank) {
      const JobConfig& config = job_.config();
      const int attempt = attempt_.attempt;
      tell_parent(config, worker_log_plan(config, attempt, *done_->failed_local_rank).error_file, done_->failure,
                  done_->failure_status);
    }
    job_.close(done_->lines, machine_->attempt());
    return done_->exit_status;
  }

  asio::io_context io_{1};
  std::deque<NodeEvent> facts_;
  LocalJob job_;
  LeaseGuard guard_;
  NodeAddress address_;
  RoundStore store_;
  StoreRoute route_;
  OomWatch oom_;
  std::filesystem::path runtime_;
  std::unique_ptr<StatusSocket> status_;
  std::optional<HostingDriver> hosting_;
  std::optional<NodeMachine> machine_;
  BootTimer timer_;
  BeginAttempt attempt_;
  std::optional<NodeDone> done_;
};

NodeDriver::NodeDriver(JobConfig config, const SentinelLink& sentinel)
    : impl_(std::make_unique<Impl>(std::move(config), sentinel)) {}
NodeDriver::~NodeDriver() = default;

int NodeDriver::run() { return impl_->run(); }

}  // namespace ferrun
