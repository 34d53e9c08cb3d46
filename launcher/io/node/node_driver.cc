#include "launcher/io/node/node_driver.h"

#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <ctime>
#include <deque>
#include <optional>
#include <utility>

#include "common/io/clock.h"
#include "common/io/unique_fd.h"
#include "launcher/exit_statuses.h"
#include "launcher/io/node/hosting_driver.h"
#include "launcher/io/node/local_job.h"
#include "launcher/io/node/meeting_check.h"
#include "launcher/io/node/node_address.h"
#include "launcher/io/node/node_claim.h"
#include "launcher/io/node/round_store.h"
#include "launcher/io/node/runtime_folder.h"
#include "launcher/io/node/status_socket.h"
#include "launcher/io/probe/gpu_watch.h"
#include "launcher/io/probe/oom_watch.h"
#include "launcher/io/process/lease_guard.h"
#include "launcher/logs/log_layout.h"
#include "launcher/node/node_machine.h"
#include "launcher/node/node_setup.h"
#include "launcher/report/elastic_events.h"
#include "launcher/report/end_record.h"
#include "launcher/report/event_log.h"
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
        store_(io_, store_options()),
        timer_(io_, [this] { tell_machine(DeadlineArrived{}); }),
        settled_(io_) {}

  int run() {
    if (const Status opened = job_.open_files(); !opened) return refuse(opened.error());
    begin_events();
    job_.introduce();
    if (solo()) {
      machine_.emplace(node_config(job_.config(), {}), boottime_now());
      settled_.expires_after(settling_time(job_.config()));
      settled_.async_wait([this](const boost::system::error_code& error) {
        if (error) return;
        settle_in();
        meeting_check_.emplace(io_, job_.config().meeting.master_addr, say_at(LogLevel::kWarning));
      });
    } else if (const Status met = look_for_others(); !met) {
      return refuse(met.error());
    }
    // The whole agent: take what has happened, let the machine decide, carry that out, sleep until the next thing
    // happens.
    for (;;) {
      deliver_facts();
      if (over()) break;
      timer_.set(machine_->next_deadline());
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
    settle_in();
    claim_node();
    machine_.emplace(node_config(job_.config(), address_->advertised()), boottime_now());
    hosting_.emplace(io_, host_options(), HostingDriver::Self{job_.config().hostname, address_->advertised()},
                     hosting_callbacks());
    hosting_->start();
    return ok_status();
  }

  std::function<void(const std::string&)> say_at(LogLevel level) {
    return [this, level](const std::string& line) { job_.say(level, line); };
  }

  // --- events, for programs that watch the job ---

  static double time_of_day() {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  }

  static long utc_offset() {
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
    return localtime_r(&now, &parts) == nullptr ? 0 : parts.tm_gmtoff;
  }

  void begin_events() {
    const EventConfig& wanted = job_.config().events;
    const OutputConfig& output = job_.config().output;
    if (job_.config().torchrun_report || (output.wants_files() && !output.temporary)) {
      end_record_.emplace(job_.config(), utc_offset());
    }
    if (wanted.console) elastic_events_.emplace(job_.config(), time_of_day());
    if (wanted.file.empty()) return;
    event_log_.emplace(job_.config());
    event_log_->begin(time_of_day());
    record_events();
  }

  void note(const NodeEvent& fact) {
    if (event_log_) event_log_->note(fact, time_of_day());
    if (end_record_) end_record_->note(fact, time_of_day());
    if (elastic_events_) elastic_events_->note(fact);
    record_events();
  }

  void note(const NodeEffect& effect) {
    if (event_log_) event_log_->note(effect, time_of_day());
    if (end_record_) end_record_->note(effect);
    if (elastic_events_) elastic_events_->note(effect, time_of_day());
    record_events();
  }

  void record_events() {
    if (event_log_) {
      for (const std::string& line : event_log_->take_lines()) job_.record(line);
    }
    if (elastic_events_) {
      for (const std::string& line : elastic_events_->take_lines()) job_.show_event(line);
    }
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
      note(fact);
      machine_->step(fact, boottime_now());
      carry_out(machine_->take_effects());
    }
  }

  // --- the coordinator: here, or reached through the link ---

  void settle_in() {
    oom_.emplace();
    gpus_ = GpuWatch::start(io_, job_.config());
    use_runtime_folder();
  }

  void use_runtime_folder() {
    const LogLevel level = solo() ? LogLevel::kInfo : LogLevel::kWarning;
    const RuntimeFolder opened = open_runtime_folder(runtime_folders(job_.config().inherited));
    for (const std::string& refused : opened.refused) job_.say(level, refused);
    runtime_ = opened.path;
    if (runtime_.empty()) {
      job_.say(level, "without a runtime folder ferrun status finds nothing here");
      return;
    }
    const std::string& job = solo() ? job_.config().run_id : rendezvous().coordinator.job_id;
    auto socket = StatusSocket::listen(io_, runtime_, job, [this](uint32_t id) { tell_machine(StatusAsked{id}); });
    if (socket) {
      status_ = std::move(*socket);
    } else {
      job_.say(level, socket.error().message);
    }
  }

  // Without one the next launch waits longer where this one is killed, and nothing else is worse.
  void claim_node() {
    if (runtime_.empty()) return;
    Result<NodeClaim> claim = NodeClaim::take(runtime_, rendezvous().member.agent);
    const Status kept = claim ? guard_.claim(claim->descriptor()) : Status(claim.error());
    if (claim) claim_.emplace(std::move(*claim));
    if (!kept) job_.say(LogLevel::kInfo, kept.error().message);
  }

  CoordinatorHost::Options host_options() const {
    CoordinatorHost::Options options;
    options.rendezvous = rendezvous();
    options.launch_id = job_.config().launch_id;
    options.secret = job_secret(rendezvous());
    options.state_file = rendezvous().state_file;
    options.state_is_private = options.state_file.empty();
    if (options.state_is_private && !runtime_.empty()) options.state_file = private_state_file(runtime_, rendezvous());
    options.claims = runtime_;
    return options;
  }

  HostingDriver::Callbacks hosting_callbacks() {
    HostingDriver::Callbacks callbacks;
    callbacks.say = [this](LogLevel level, const std::string& line) { job_.say(level, line); };
    callbacks.tell = [this](NodeEvent fact) { tell_machine(std::move(fact)); };
    callbacks.share_connection = [this](int connection) { share_connection(connection); };
    callbacks.forget_connection = [this] { guard_.forget(); };
    callbacks.store_client = [this](AgentListener::Socket socket, const asio::ip::tcp::endpoint& peer,
                                    std::string_view first) { store_.adopt(std::move(socket), peer, first); };
    callbacks.share_port = [this](AgentListener* listener) { store_.share(listener); };
    callbacks.leave_store_port = [this] { store_.leave_port(); };
    return callbacks;
  }

  // Takes the duplicate over; -1: there is none.
  void share_connection(int connection) {
    const UniqueFd duplicate(connection);
    address_->learn_from(connection);
    if (const Status shared = guard_.share(connection); !shared) {
      job_.say(LogLevel::kWarning, shared.error().message);
    }
  }

  // --- effects ---

  void carry_out(const std::vector<NodeEffect>& effects) {
    for (const NodeEffect& effect : effects) {
      note(effect);
      std::visit([this](const auto& what) { carry_out(what); }, effect);
    }
  }

  void carry_out(const Say& say) { job_.say(say.level, say.line); }
  void carry_out(const PrepareAttempt& prepare) {
    if (!gpus_ || job_.processes_of_attempt().empty()) return job_.prepare(prepare);
    gpus_->await_release(job_.processes_of_attempt(), say_at(LogLevel::kWarning),
                         [this, prepare] { job_.prepare(prepare); });
  }
  void carry_out(const ForeseeAttempt& foresee) { job_.foresee(foresee); }
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
    if (hosting_) hosting_->node_ended(done.abandoned);
  }

  void carry_out(const BeginAttempt& begin) {
    attempt_ = begin;
    if (!job_.config().serves_store) store_.close();  // its port is rank 0's from now on
    if (oom_) oom_->restart();
    if (gpus_) gpus_->restart();
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
        if (!gpus_) return tell_machine(evidence(gather, files, {}));
        gpus_->examine(gather.local_ranks, [this, gather, files](const GpuWatch::Lines& devices) {
          tell_machine(evidence(gather, files, devices));
        });
      });
    });
  }

  // `devices` is empty where there are none.
  EvidenceGathered evidence(const GatherEvidence& gather, const std::vector<ErrorFile>& error_files,
                            const GpuWatch::Lines& devices) const {
    EvidenceGathered gathered{gather.attempt, {}};
    gathered.store_unvisited = store_.clients_seen() == 0;
    const JobConfig& config = job_.config();
    const std::string out_of_memory = oom_ ? oom_->evidence() : "";
    for (size_t i = 0; i < gather.local_ranks.size(); ++i) {
      const int local_rank = gather.local_ranks[i];
      FailedWorker worker;
      worker.local_rank = local_rank;
      worker.evidence.error = error_files[i];
      worker.evidence.stderr_tail = job_.router().tail(gather.attempt, local_rank, Stream::kStderr);
      worker.evidence.stderr_before_stop = job_.router().tail_before_mark(gather.attempt, local_rank, Stream::kStderr);
      worker.evidence.timer = job_.overrun_timer(gather.attempt, local_rank);
      worker.evidence.out_of_memory = out_of_memory;
      worker.evidence.memory_of_the_job = oom_ && oom_->counts_own_group();
      if (!devices.empty()) worker.evidence.device = devices[i];
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

  bool over() const { return hosting_ ? hosting_->done().has_value() : done_.has_value(); }

  int refuse(const Error& error) {
    const std::vector<std::string> lines{"ferrun: " + error.message};
    job_.leave_message(lines);
    job_.close(lines);
    return exit_status_of(error);
  }

  int conclude() {
    status_.reset();
    if (claim_ && !(done_ && done_->abandoned)) claim_->remove();
    if (solo() && !runtime_.empty()) rmdir(runtime_.c_str());  // unless another job's socket is there
    if (hosting_ && hosting_->done()->error) return refuse(*hosting_->done()->error);
    if (done_->failed_local_rank) {
      job_.tell_parent(attempt_.attempt, *done_->failed_local_rank, done_->failure, done_->failure_status);
    }
    job_.leave_message(done_->lines);
    if (end_record_) job_.keep_report(end_record_->json());
    job_.close(report_lines());
    return done_->exit_status;
  }

  // torchrun's agents tell of their own workers; of a failure elsewhere the job's report does.
  std::vector<std::string> report_lines() const {
    if (!job_.config().torchrun_report) return done_->lines;
    std::vector<std::string> lines = end_record_->torchrun_lines();
    return lines.empty() ? done_->lines : lines;
  }

  asio::io_context io_{1};
  std::deque<NodeEvent> facts_;
  LocalJob job_;
  LeaseGuard guard_;
  std::optional<NodeAddress> address_;
  RoundStore store_;
  StoreRoute route_;
  std::optional<MeetingCheck> meeting_check_;
  std::optional<OomWatch> oom_;
  std::unique_ptr<GpuWatch> gpus_;  // null without NVIDIA's driver
  std::filesystem::path runtime_;
  std::unique_ptr<StatusSocket> status_;
  std::optional<NodeClaim> claim_;
  std::optional<HostingDriver> hosting_;
  std::optional<NodeMachine> machine_;
  std::optional<EventLog> event_log_;
  std::optional<ElasticEvents> elastic_events_;
  std::optional<EndRecord> end_record_;
  BootTimer timer_;
  asio::steady_timer settled_;
  BeginAttempt attempt_;
  std::optional<NodeDone> done_;
};

NodeDriver::NodeDriver(JobConfig config, const SentinelLink& sentinel)
    : impl_(std::make_unique<Impl>(std::move(config), sentinel)) {}
NodeDriver::~NodeDriver() = default;

int NodeDriver::run() { return impl_->run(); }

}  // namespace ferrun
