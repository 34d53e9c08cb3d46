#include "launcher/io/node/node_driver.h"

#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <optional>
#include <utility>

#include "common/io/clock.h"
#include "launcher/exit_statuses.h"
#include "launcher/io/node/coordinator_host.h"
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
#include "rendezvous/io/member/member_link.h"
#include "rendezvous/io/net/boot_timer.h"

namespace ferrun {

namespace asio = boost::asio;

namespace {

constexpr std::chrono::seconds kElectionPause{1};

}  // namespace

class NodeDriver::Impl {
 public:
  Impl(JobConfig config, const SentinelLink& sentinel)
      : job_(
            io_, std::move(config), sentinel,
            [this](const LocalJob::Fact& fact) { std::visit([this](const auto& what) { tell_machine(what); }, fact); }),
        guard_(sentinel),
        store_(io_, store_options()),
        timer_(io_, [this] { tell_machine(DeadlineArrived{}); }),
        election_(io_) {}

  int run() {
    job_.introduce();
    if (solo()) {
      machine_.emplace(node_config(job_.config(), {}), boottime_now());
    } else if (const Status met = look_for_others(); !met) {
      return refuse(met.error());
    }
    // The whole agent: take what has happened, let the machine decide, carry that out, sleep until the next thing
    // happens.
    for (;;) {
      deliver_facts();
      if (over()) break;
      timer_.set(done_ ? leave_by_ : machine_->next_deadline());
      io_.run_one();
      for (int taken = 1; taken < kHandlersPerTurn && io_.poll_one() > 0; ++taken) {
      }
    }
    return conclude();
  }

 private:
  bool solo() const { return !job_.config().rendezvous; }
  const RendezvousConfig& rendezvous() const { return *job_.config().rendezvous; }

  RoundStore::Options store_options() {
    RoundStore::Options options;
    options.log = say_at(LogLevel::kInfo);
    options.warn = say_at(LogLevel::kWarning);
    if (solo()) {
      options.address = job_.config().meeting.listen_address;
      options.port = job_.config().meeting.port;
    } else {
      options.port = rendezvous().store_port;
      options.range = rendezvous().ports;
    }
    return options;
  }

  Status look_for_others() {
    address_.emplace(rendezvous());
    if (const Status found = address_->find(); !found) return found;
    secret_ = std::make_shared<const JobSecret>(rendezvous().job_id, rendezvous().token);
    use_runtime_folder();
    host_.emplace(io_, host_options(), host_callbacks());
    machine_.emplace(node_config(job_.config(), address_->advertised()), boottime_now());
    host_->start();
    return ok_status();
  }

  std::function<void(const std::string&)> say_at(LogLevel level) {
    return [this, level](const std::string& line) { job_.say(level, line); };
  }

  // --- facts ---

  // A signal goes first: workers that it ended too have not failed.
  void tell_machine(NodeEvent fact) {
    if (std::holds_alternative<SignalArrived>(fact)) {
      facts_.push_front(std::move(fact));
    } else {
      facts_.push_back(std::move(fact));
    }
  }

  // Effects may bring new facts at once (a start does); these are delivered in the same turn. Time is read anew for
  // each: a start of many workers must not find its lease longer than it is.
  void deliver_facts() {
    carry_out(machine_->take_effects());
    while (!facts_.empty()) {
      const NodeEvent fact = std::move(facts_.front());
      facts_.pop_front();
      note_signal(fact);
      machine_->step(fact, boottime_now());
      carry_out(machine_->take_effects());
    }
  }

  // A coordinator that this agent hosts leaves with it.
  void note_signal(const NodeEvent& fact) {
    const auto* signal = std::get_if<SignalArrived>(&fact);
    if (signal != nullptr && host_ && !std::exchange(host_told_, true)) host_->stop(signal->signal);
  }

  // --- the coordinator: here, or reached through the link ---

  void use_runtime_folder() {
    const RuntimeFolder opened = open_runtime_folder(runtime_folders(job_.config().inherited));
    for (const std::string& refused : opened.refused) job_.say(LogLevel::kWarning, refused);
    runtime_ = opened.path;
    if (runtime_.empty()) {
      job_.say(LogLevel::kWarning, "without a runtime folder ferrun status finds nothing here");
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
    options.secret = secret_;
    options.state_file = rendezvous().state_file;
    options.state_is_private = options.state_file.empty();
    if (options.state_is_private && !runtime_.empty()) options.state_file = private_state_file(runtime_, rendezvous());
    return options;
  }

  CoordinatorHost::Callbacks host_callbacks() {
    CoordinatorHost::Callbacks callbacks;
    callbacks.say = [this](LogLevel level, const std::string& line) { job_.say(level, line); };
    callbacks.decided = [this](CoordinatorHost::Outcome outcome, const std::string& why) { elected(outcome, why); };
    callbacks.failed = [this](const Error& error) { refused_ = error; };
    callbacks.store_client = [this](AgentListener::Socket socket, const asio::ip::tcp::endpoint& peer,
                                    std::string_view first) { store_.adopt(std::move(socket), peer, first); };
    callbacks.done = [](const JobEnd&) {};
    return callbacks;
  }

  // Until the endpoint's name has an address nobody hosts, and the link tells what is tried.
  void elected(CoordinatorHost::Outcome outcome, const std::string& why) {
    const bool hosting = outcome == CoordinatorHost::Outcome::kHosting;
    if (outcome == CoordinatorHost::Outcome::kTaken) elect_again();
    if (link_ && !hosting) return;  // it is on its way already
    if (outcome != CoordinatorHost::Outcome::kUnknown) {
      job_.say(LogLevel::kInfo, (hosting ? "this agent coordinates the job: " : "another one coordinates it: ") + why);
    }
    MemberLink::Options options;
    options.endpoint = rendezvous().endpoint;
    options.secret = secret_;
    options.agent = rendezvous().agent;
    if (hosting) {
      options.here = host_->listener().addresses();
      store_.share(host_->listener());
    }
    link_ = std::make_unique<MemberLink>(io_, std::move(options), link_callbacks());
    if (dial_wanted_) link_->dial();
  }

  // Who has the port may be an agent of an earlier job that is just ending. Once a coordinator was there, its loss is
  // another matter: it may come back, with what it knows.
  void elect_again() {
    if (reached_) return;
    election_.expires_after(kElectionPause);
    election_.async_wait([this](const boost::system::error_code& error) {
      if (!error && !reached_) host_->start();
    });
  }

  MemberLink::Callbacks link_callbacks() {
    MemberLink::Callbacks callbacks;
    callbacks.reached = [this](const CoordinatorReached& fact) {
      reached_ = true;
      tell_machine(fact);
    };
    callbacks.gone = [this](const CoordinatorGone& fact) { tell_machine(fact); };
    callbacks.said = [this](CoordinatorSaid fact) { tell_machine(std::move(fact)); };
    callbacks.note = [this](const DialNote& fact) { tell_machine(fact); };
    callbacks.guard = [this](int connection) { guard(connection); };
    callbacks.hung_up = [this] {
      hung_up_ = true;
      guard_.forget();
    };
    return callbacks;
  }

  // Takes the duplicate over; -1: there is none.
  void guard(int connection) {
    address_->learn_from(connection);
    if (const Status shared = guard_.share(connection); !shared) {
      job_.say(LogLevel::kWarning, shared.error().message);
    }
    if (connection >= 0) close(connection);
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
  void carry_out(const TellCoordinator& tell) { link_->tell(tell.message); }  // only once it was reached
  void carry_out(const CloseStore&) { store_.close(); }
  void carry_out(const HoldLease& lease) { guard_.hold(lease.until); }
  void carry_out(const NodeDone& done) { done_ = done; }

  // Not before it is known whether this agent itself is to be dialled.
  void carry_out(const Dial&) {
    dial_wanted_ = true;
    if (link_) link_->dial();
  }

  void carry_out(const HangUp&) {
    dial_wanted_ = false;
    if (link_) link_->hang_up();
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
    asio::post(io_, [this, gather] {
      job_.read_error_files(gather.attempt, gather.local_ranks, [this, gather](const std::vector<ErrorFile>& files) {
        tell_machine(evidence(gather, files));
      });
    });
  }

  EvidenceGathered evidence(const GatherEvidence& gather, const std::vector<ErrorFile>& error_files) const {
    EvidenceGathered gathered{gather.attempt, {}};
    const JobConfig& config = job_.config();
    const std::string out_of_memory = oom_.evidence();
    for (size_t i = 0; i < gather.local_ranks.size(); ++i) {
      const int local_rank = gather.local_ranks[i];
      FailedWorker worker;
      worker.local_rank = local_rank;
      worker.evidence.error = error_files[i];
      worker.evidence.stderr_tail = job_.router().tail(gather.attempt, local_rank, Stream::kStderr);
      worker.evidence.out_of_memory = out_of_memory;
      const StreamPlan err = worker_log_plan(config, gather.attempt, local_rank).err;
      // An empty file that nobody asked for is removed.
      const bool stays = !config.output.temporary || !worker.evidence.stderr_tail.empty();
      if (stays) worker.stderr_file = err.file.value_or("");
      worker.stderr_inherited = err.inherited();
      gathered.workers.push_back(std::move(worker));
    }
    return gathered;
  }

  void carry_out(const OpenStore& open) {
    const Result<uint16_t> port = store_.open(open.admitted);
    if (!port) {
      return tell_machine(StoreNotOpened{open.round, port.error().message, exit_status_of(port.error())});
    }
    const std::vector<std::string> addresses =
        solo() ? std::vector{job_.config().meeting.master_addr} : address_->of_store();
    job_.say(LogLevel::kInfo, "the workers' store listens at " + addresses.front() + ", port " + std::to_string(*port));
    tell_machine(StoreOpened{open.round, addresses, *port});
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

  // A coordinator that is hosted here leaves last.
  bool over() {
    if (refused_) return true;
    if (!done_) return false;
    if (abandoned() || solo()) return true;
    if (host_->hosting() && !host_->done()) {
      if (!std::exchange(host_told_, true)) host_->stop(0);
      return boottime_now() >= leave_by();
    }
    return hung_up_ || !link_ || boottime_now() >= leave_by();
  }

  // The sentinel is dead: nothing is worth waiting for.
  bool abandoned() const { return done_->exit_status == kExitInternal; }

  TimePoint leave_by() {
    if (!leave_by_) leave_by_ = boottime_now() + rendezvous().conf.close_timeout + std::chrono::seconds(1);
    return *leave_by_;
  }

  int refuse(const Error& error) {
    job_.close({"ferrun: " + error.message});
    return exit_status_of(error);
  }

  int conclude() {
    status_.reset();
    if (refused_) return refuse(*refused_);
    if (done_->failed_local_rank) {
      job_.tell_parent(attempt_.attempt, *done_->failed_local_rank, done_->failure, done_->failure_status);
    }
    job_.close(done_->lines);
    return done_->exit_status;
  }

  asio::io_context io_{1};
  std::deque<NodeEvent> facts_;
  LocalJob job_;
  LeaseGuard guard_;
  std::optional<NodeAddress> address_;
  RoundStore store_;
  StoreRoute route_;
  OomWatch oom_;
  std::shared_ptr<const JobSecret> secret_;
  std::filesystem::path runtime_;
  std::unique_ptr<StatusSocket> status_;
  std::optional<CoordinatorHost> host_;
  std::unique_ptr<MemberLink> link_;
  std::optional<NodeMachine> machine_;
  BootTimer timer_;
  BeginAttempt attempt_;
  asio::steady_timer election_;
  bool reached_ = false;  // a coordinator, once
  bool dial_wanted_ = false;
  bool host_told_ = false;  // that this agent leaves
  bool hung_up_ = false;
  std::optional<NodeDone> done_;
  std::optional<TimePoint> leave_by_;
  std::optional<Error> refused_;  // this machine should host the coordinator and cannot
};

NodeDriver::NodeDriver(JobConfig config, const SentinelLink& sentinel)
    : impl_(std::make_unique<Impl>(std::move(config), sentinel)) {}
NodeDriver::~NodeDriver() = default;

int NodeDriver::run() { return impl_->run(); }

}  // namespace ferrun
