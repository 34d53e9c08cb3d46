#include "tests/sim/agent.h"

#include <csignal>

#include "tests/sim/describe.h"

namespace ferrun::sim {
namespace {

using namespace std::chrono_literals;

constexpr Duration kStorePatience = 5s;
constexpr Duration kStoreRetry = 500ms;

NodeConfig config_of(const JobPlan& plan, const NodePlan& node, AgentId id) {
  NodeConfig config;
  config.member = plan.member;
  config.member.agent = id;
  config.member.host = node.name;
  config.member.addresses = {address_of(node.host)};
  config.member.workers = node.workers;
  config.member.role = node.role;
  config.member.node_rank = node.node_rank;
  config.member.terms = node.terms;
  config.member.endpoint = std::string(plan.coordinator.own_process ? "login" : "node0") + ":29400";
  config.stop.failure_grace = plan.workers.failure_grace;
  config.stop.shutdown_timeout = plan.workers.shutdown_timeout;
  config.title = "train";
  config.run_id = "sim";
  config.member.max_restarts = plan.coordinator.max_restarts;
  return config;
}

HostingConfig hosting_config_of(const JobPlan& plan, const NodePlan& node) {
  HostingConfig config;
  config.endpoint = {plan.coordinator.own_process ? "login" : "node0", kEndpointPort};
  config.node_rank = node.node_rank;
  config.store_port = plan.store_shares_port ? kEndpointPort : 0;
  config.by_seat = plan.with_etcd;
  config.join_timeout = plan.member.join_timeout;
  config.close_timeout = plan.coordinator.close_timeout;
  return config;
}

}  // namespace

Agent::Agent(Parts& parts, uint32_t index, const NodePlan& node)
    : parts_(parts),
      index_(index),
      node_(node),
      id_{0xa000 + index},
      processes_(index, parts.plan.workers, parts.queue, parts.random) {}

void Agent::start() {
  state_ = State::kRunning;
  parts_.checker.agent_started(index_, node_, id_);
  if (parts_.trace.on()) say("ferrun starts");
  hosting_ = std::make_unique<HostingMachine>(hosting_config_of(parts_.plan, node_), parts_.local(host()));
  machine_ = std::make_unique<NodeMachine>(config_of(parts_.plan, node_, id_), parts_.local(host()));
  take_effects(DeadlineArrived{});
  plan_deadline();
  tell_hosting(HostingDeadline{});
  if (parts_.plan.with_etcd) start_seat();
}

// --- Steps. ---

void Agent::step(const NodeEvent& event) {
  step_machine(event);
  while (!answers_.empty() && running()) {
    const std::vector<NodeEvent> answers = std::exchange(answers_, {});
    for (const NodeEvent& answer : answers) step_machine(answer);
  }
  plan_deadline();
}

void Agent::step_machine(const NodeEvent& event) {
  if (!running() || parts_.checker.violation()) return;
  const TimePoint now = parts_.local(host());
  parts_.checker.node_hears(index_, event, now);
  if (parts_.coverage != nullptr) parts_.coverage->count(machine_->member().phase(), event);
  if (parts_.mutant == nullptr) {
    machine_->step(event, now);
  } else {
    NodeEvent heard = event;
    if (!parts_.mutant->node_hears(index_, heard)) return;
    machine_->step(heard, now);
  }
  take_effects(event);
}

void Agent::take_effects(const NodeEvent& event) {
  std::vector<NodeEffect> effects = machine_->take_effects();
  if (parts_.mutant != nullptr) parts_.mutant->node_does(index_, effects, answers_);
  const TimePoint now = parts_.local(host());
  parts_.checker.node_does(index_, event, effects, now);
  for (const NodeEffect& effect : effects) {
    std::visit([this](const auto& what) { carry_out(what); }, effect);
  }
  parts_.checker.lease(index_, processes_.alive(), now);
}

void Agent::plan_deadline() {
  if (!running()) return;
  const std::optional<TimePoint> next = machine_->next_deadline();
  parts_.checker.node_settled(index_, machine_->done(), next, parts_.local(host()));
  if (next == planned_deadline_) return;
  planned_deadline_ = next;
  ++deadlines_;
  if (!next) return;
  const TrueTime due = std::max(parts_.now, parts_.clocks[host()].when(*next));
  parts_.queue.push_last(due + parts_.random.between(0ms, parts_.plan.slowest_timer), Happening::kMemberDeadline,
                         index_, deadlines_);
}

void Agent::deadline(uint64_t generation) {
  if (generation != deadlines_) return;
  planned_deadline_.reset();
  step(DeadlineArrived{});
}

// --- Attempts and workers. ---

void Agent::carry_out(const PrepareAttempt& effect) {
  parts_.queue.push(parts_.now + parts_.random.between(100us, 5ms), Happening::kAttemptReady, index_,
                    static_cast<uint64_t>(effect.attempt));
}

void Agent::carry_out(const ForeseeAttempt&) {}

void Agent::attempt_ready(uint64_t attempt) { step(AttemptReady{static_cast<int>(attempt)}); }

void Agent::carry_out(const BeginAttempt& effect) {
  if (parts_.trace.on()) say("starts workers: " + describe(effect.assignment) + ", store " + effect.store.host);
  processes_.begin(effect.assignment.round, effect.assignment.first_rank);
}

void Agent::carry_out(const StartWorker& effect) {
  if (parts_.random.per_mille(parts_.plan.workers.per_mille_unstartable)) {
    return tell_group(effect.attempt, RankNotStarted{effect.local_rank, {ErrorKind::kUser, "no"}});
  }
  const Processes::Worker& worker = processes_.start(effect.local_rank, parts_.next_pid++);
  parts_.checker.worker_started(index_, processes_.round(), worker);
  if (parts_.finishing) processes_.plan_end(parts_.now + parts_.random.between(10ms, 1s), worker, Fate::kSuccess);
  tell_group(effect.attempt, RankStarted{effect.local_rank, worker.pid});
}

void Agent::tell_group(int attempt, GroupEvent event) {
  WorkerFact& fact = std::get<WorkerFact>(answers_.emplace_back(WorkerFact{}));
  fact.attempt = attempt;
  fact.event = std::move(event);
}

void Agent::carry_out(const SignalWorker& effect) {
  if (processes_.signal(parts_.now, effect.pid, effect.signal)) return;
  tell_group(effect.attempt, SignalMissed{effect.local_rank, effect.signal});
}

void Agent::carry_out(const SweepAttempt& effect) {
  const TrueTime over = processes_.sweep(parts_.now, static_cast<uint64_t>(effect.attempt));
  if (parts_.mutant != nullptr && parts_.mutant->sweep_blocks()) stalled_until_ = std::max(stalled_until_, over);
}

void Agent::swept(uint64_t attempt) { step(AttemptSwept{static_cast<int>(attempt)}); }

void Agent::carry_out(const KillEverything&) { processes_.kill_all(parts_.now); }

void Agent::carry_out(const GatherEvidence& effect) {
  EvidenceGathered gathered{effect.attempt, {}};
  for (const int local_rank : effect.local_ranks) {
    FailedWorker failed;
    failed.local_rank = local_rank;
    for (const Processes::Worker& worker : processes_.workers()) {
      if (worker.local_rank != local_rank) continue;
      if (worker.fate == Fate::kLostPeer) {
        failed.evidence.stderr_tail = {"RuntimeError: Connection closed by peer [10.0.0.2]:4711"};
      }
    }
    gathered.workers.push_back(std::move(failed));
  }
  evidence_.push_back(std::move(gathered));
  parts_.queue.push(parts_.now + parts_.random.between(0ms, parts_.plan.slowest_evidence), Happening::kEvidence, index_,
                    evidence_.size() - 1);
}

void Agent::evidence_gathered(uint64_t question) { step(evidence_[question]); }

void Agent::process_ends(uint64_t tag) {
  if (Processes::is_stray(tag)) {
    if (!processes_.end_stray(tag)) return;
    parts_.checker.stray_ended(index_, processes_.round());
  } else {
    const int before = processes_.alive();
    const Processes::Worker* worker = processes_.end(tag, parts_.now);
    if (worker == nullptr) return;
    if (parts_.trace.on()) {
      say("rank " + std::to_string(worker->rank) + " (pid " + std::to_string(worker->pid) + ") " +
          status_of(worker->fate).describe());
    }
    parts_.checker.worker_ended(index_, processes_.round(), *worker, processes_.alive() == before);
    if (running()) parts_.queue.push(parts_.now, Happening::kWorkerNoticed, index_, tag);
  }
  parts_.checker.lease(index_, processes_.alive(), parts_.local(host()));
  if (state_ != State::kKilled) return;
  // The sentinel closes the last copy of the connection only when nothing is left.
  if (processes_.alive() == 0 && connection_ != kNone) {
    parts_.network.close(parts_.now, connection_, Side::kClient);
  }
}

void Agent::notices_worker(uint64_t tag) {
  if (!processes_.current(tag)) return;
  const Processes::Worker& worker = processes_.worker(tag);
  parts_.checker.worker_noticed(index_, processes_.round(), worker);
  step(WorkerFact{machine_->attempt(), RankEnded{worker.local_rank, status_of(worker.fate)}});
}

void Agent::carry_out(const HoldLease& effect) {
  std::optional<TrueTime> until;
  if (effect.until) until = parts_.clocks[host()].when(*effect.until);
  processes_.hold_lease(until, parts_.now);
}

void Agent::lease_over(uint64_t generation) {
  if (parts_.mutant != nullptr && !parts_.mutant->sentinel_works()) return;
  processes_.lease_over(parts_.now, generation);
}

// --- The round's store. ---

void Agent::carry_out(const OpenStore& effect) {
  if (!own_store_.none()) parts_.stores[own_store_].open = false;
  own_store_ = effect.round;
  requests_.push_back({effect.round, {}, 0, parts_.now});
  parts_.queue.push(parts_.now + parts_.random.between(200us, 5ms), Happening::kStoreOpened, index_,
                    requests_.size() - 1);
}

void Agent::store_opened(uint64_t request) {
  const RoundId round = requests_[request].round;
  if (parts_.random.per_mille(parts_.plan.per_mille_no_store)) {
    return step(StoreNotOpened{round, "no port is free"});
  }
  if (round != own_store_) return;
  const bool fixed = parts_.plan.store_shares_port && !store_port_left_;
  if (fixed && parts_.plan.coordinator_host == host() && !hosting_->hosting() && parts_.port_is_taken()) {
    parts_.checker.fail("PortsDoNotCollide", node_.name + " opens its store where another process coordinates the job");
  }
  const auto port = static_cast<uint16_t>(20000 + parts_.random.below(10000));
  parts_.stores[round] = SimStore{host(), port, true};
  step(StoreOpened{round, {address_of(host())}, port});
}

void Agent::carry_out(const ReachStore& effect) {
  requests_.push_back({effect.round, effect.addresses, effect.port, parts_.now});
  const HostIndex server = effect.addresses.empty() ? kNone : host_of(effect.addresses[0]);
  const Duration delay = server < parts_.clocks.size()
                             ? parts_.network.latency(host(), server) + parts_.network.latency(server, host())
                             : kStoreRetry;
  parts_.queue.push(parts_.now + delay, Happening::kStoreDialled, index_, requests_.size() - 1);
}

void Agent::store_dialled(uint64_t request) {
  const StoreRequest& wanted = requests_[request];
  if (request + 1 != requests_.size()) return;  // another has taken its place
  const auto found = parts_.stores.find(wanted.round);
  for (const std::string& address : wanted.addresses) {
    const HostIndex server = host_of(address);
    const bool there = found != parts_.stores.end() && found->second.open && found->second.host == server &&
                       found->second.port == wanted.port;
    if (there && parts_.network.passes(host(), server, Traffic::kWorkers) &&
        parts_.network.passes(server, host(), Traffic::kWorkers)) {
      return step(StoreAnswered{wanted.round, address});
    }
  }
  if (parts_.now - wanted.since >= kStorePatience) return step(StoreUnreachable{wanted.round, "no answer"});
  parts_.queue.push(parts_.now + kStoreRetry, Happening::kStoreDialled, index_, request);
}

void Agent::carry_out(const CloseStore&) {
  if (!own_store_.none()) parts_.stores[own_store_].open = false;
}

// --- The end. ---

void Agent::signal(int number) {
  if (!running()) return;
  if (parts_.trace.on()) say("gets " + signal_name(number));
  parts_.checker.agent_told_to_leave(index_, number);
  step(SignalArrived{number});
}

void Agent::carry_out(const Say& effect) {
  if (parts_.trace.on() && effect.level != LogLevel::kDebug) say("| " + effect.line);
}

void Agent::carry_out(const NodeDone& effect) {
  if (parts_.trace.on()) {
    say("is done with exit status " + std::to_string(effect.exit_status));
    for (const std::string& line : effect.lines) say("|   " + line);
  }
  end_ = effect.end;
  parts_.checker.node_done(index_, effect.end, processes_.alive());
  tell_hosting(NodeEnded{effect.abandoned});
}

void Agent::exit() {
  state_ = State::kExited;
  carry_out(HangUpLink{});
  carry_out(CloseStore{});
}

void Agent::kill() {
  if (!running()) return;
  state_ = State::kKilled;
  carry_out(CloseStore{});
  dialling_ = false;
  parts_.checker.agent_died(index_);
  if (parts_.trace.on()) say("is killed");
  if (connection_ != kNone && !shared_) {
    end_unshared();
  } else if (connection_ != kNone) {
    parts_.network.orphan(connection_, Side::kClient);
  }
  processes_.orphan(parts_.now);
  if (processes_.alive() == 0 && connection_ != kNone) parts_.network.close(parts_.now, connection_, Side::kClient);
}

void Agent::stall(TrueTime until) {
  stalled_until_ = std::max(stalled_until_, until);
  parts_.checker.agent_stalls(index_, until);
}

void Agent::vanish() {
  if (connection_ != kNone) parts_.network.vanish(connection_, Side::kClient);
  carry_out(CloseStore{});
  parts_.checker.processes_vanished(index_, processes_.round(), processes_.alive());
  processes_.vanish();
  if (!running()) return;
  state_ = State::kKilled;
  dialling_ = false;
  parts_.checker.agent_died(index_);
  if (parts_.trace.on()) say("its host loses power");
}

}  // namespace ferrun::sim
