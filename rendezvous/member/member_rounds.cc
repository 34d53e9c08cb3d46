// The member machine's part in rounds: prepare, go, stop, and what the workers make of it.
#include <algorithm>
#include <csignal>

#include "rendezvous/member/member_impl.h"

namespace ferrun {
namespace {

// Whether this many local workers have a place in it: an assignment comes from another machine.
bool makes_sense(const Assignment& assignment, int workers) {
  const auto fits = [workers](int first, int world) {
    return first >= 0 && world >= workers && first <= world - workers;
  };
  return !assignment.round.none() && assignment.node_rank >= 0 && assignment.node_rank < assignment.node_count &&
         fits(assignment.first_rank, assignment.world) && fits(assignment.first_role_rank, assignment.role_world) &&
         assignment.role_world <= assignment.world && assignment.restart_count >= 0;
}

int strictness(StopKind kind) {
  if (!has_failure_grace(kind)) return 0;
  return kind == StopKind::kLostPeer ? 1 : 2;
}

bool stricter(StopKind kind, StopKind than) { return strictness(kind) > strictness(than); }

StopKind kind_of_stop(const std::vector<LocalFailure>& failures) {
  return std::ranges::any_of(failures, explains_itself, &LocalFailure::kind) ? StopKind::kFailure : StopKind::kLostPeer;
}

}  // namespace

// --- Prepare. ---

void MemberMachine::Impl::hear(const Prepare& prepare) {
  const RoundId round = prepare.assignment.round;
  if (preparation_ && preparation_->order == prepare) {
    if (preparation_->told) preparation_->told = false;  // said again: answered again
    return advance_preparation();
  }
  if (leaving_) return refuse_preparation(round, "this node is leaving");
  if (round <= newest_) {
    return refuse_preparation(round, "round " + to_string(round) + " is not newer than round " + to_string(newest_) +
                                         ", which this node has accepted");
  }
  if (!makes_sense(prepare.assignment, config_.workers)) {
    return refuse_preparation(round, "the assignment leaves no place for " + std::to_string(config_.workers) +
                                         (config_.workers == 1 ? " worker" : " workers"));
  }
  abandon_preparation();
  if (!work_.alive()) wait_for_place();
  newest_ = round;
  assignment_ = prepare.assignment;
  preparation_ = Preparation();
  preparation_->order = prepare;
  if (work_.state == Work::kFinished) work_is_gone(Work::kReaped);
  stop_workers(StopKind::kMembership, 0, "round " + to_string(round) + " is being prepared");
  advance_preparation();
}

void MemberMachine::Impl::advance_preparation() {
  if (!preparation_ || work_.alive()) return;
  Preparation& preparation = *preparation_;
  const RoundId round = preparation.order.assignment.round;
  if (preparation.order.open_store && !preparation.store_asked) {
    preparation.store_asked = true;
    store_open_ = true;
    effects_.emplace_back(OpenStore{round, preparation.order.admitted});
  }
  if (!preparation.order.open_store) close_store();
  if (preparation.told || (preparation.order.open_store && !preparation.opened)) return;
  preparation.told = true;
  Prepared prepared{round, {}, 0};
  if (preparation.opened) {
    prepared.store_addresses = preparation.opened->addresses;
    prepared.store_port = preparation.opened->port;
  }
  tell(std::move(prepared));
}

void MemberMachine::Impl::refuse_preparation(const RoundId& round, const std::string& reason) {
  say(RendezvousLevel::kWarning, "round " + to_string(round) + " cannot be prepared: " + reason);
  failed_start_ = reason;
  tell(NotPrepared{round, reason});
}

// A store that was opened for it serves nobody.
void MemberMachine::Impl::abandon_preparation() {
  if (!preparation_) return;
  if (preparation_->store_asked) close_store();
  preparation_.reset();
}

void MemberMachine::Impl::on(const StoreOpened& event) {
  if (event.round != newest_ || !preparation_ || !preparation_->store_asked || preparation_->opened) return;
  preparation_->opened = event;
  advance_preparation();
}

void MemberMachine::Impl::on(const StoreNotOpened& event) {
  if (event.round != newest_ || !preparation_ || !preparation_->store_asked || preparation_->opened) return;
  abandon_preparation();
  refuse_preparation(event.round, "the store could not be opened: " + event.reason);
}

void MemberMachine::Impl::hear(const DialStore& dial) {
  if (dial.round != newest_ || !preparation_) return;
  if (preparation_->dial != dial) {
    preparation_->dial = dial;
    preparation_->reached.reset();
    effects_.emplace_back(ReachStore{dial.round, dial.addresses, dial.port});
  } else if (preparation_->reached) {
    tell(StoreReached{dial.round, preparation_->reached->host});
  }
}

void MemberMachine::Impl::on(const StoreAnswered& event) {
  if (event.round != newest_ || !preparation_ || !preparation_->dial || preparation_->reached) return;
  preparation_->reached = StoreAddress{event.address, preparation_->dial->port};
  tell(StoreReached{event.round, event.address});
}

void MemberMachine::Impl::on(const StoreUnreachable& event) {
  if (event.round != newest_ || !preparation_ || !preparation_->dial || preparation_->reached) return;
  abandon_preparation();
  refuse_preparation(event.round, "the store of rank 0's node is out of reach: " + event.reason);
}

// --- Go. ---

void MemberMachine::Impl::hear(const Go& go) {
  if (go.round < newest_ || (go.round == work_.round && work_.state != Work::kReaped)) return;  // stale, or said again
  if (leaving_ || go.round != newest_ || !preparation_) return tell_unstarted(go.round);
  if (!preparation_->told || !preparation_->reached) return refuse_preparation(go.round, "it is not prepared here yet");
  if (lease_.over(now_)) return refuse_preparation(go.round, "this node's lease has ended");
  const StoreAddress store = *preparation_->reached;
  preparation_.reset();
  work_ = MemberWork();
  work_.round = go.round;
  work_.state = Work::kRunning;
  unplaced_since_.reset();
  failed_start_.clear();
  note_change(go.reason);
  hold_lease();  // before anything runs
  effects_.emplace_back(StartWorkers{assignment_, store, launch_id_, go.reason});
}

// Nothing of this round runs here: true at once, but of use only when an older round's workers are gone too.
void MemberMachine::Impl::tell_unstarted(const RoundId& round) {
  if (work_.alive() && work_.round < round) {
    reaped_with_work_ = round;
  } else {
    tell(NodeReaped{round});
  }
}

void MemberMachine::Impl::on(const OneWorkerSucceeded& event) {
  if (event.round != work_.round || work_.state != Work::kRunning || std::exchange(work_.any_success, true)) return;
  tell_if_welcomed(WorkerSucceeded{event.round});
}

void MemberMachine::Impl::on(const AllWorkersSucceeded& event) {
  if (event.round != work_.round || !work_.alive()) return;
  if (work_.state == Work::kStopping || leaving_) return work_is_gone(Work::kReaped);
  work_is_gone(Work::kFinished);
  say(RendezvousLevel::kInfo, "all workers of this node have ended with 0; waiting for the other nodes");
}

void MemberMachine::Impl::on(const WorkersFailed& event) {
  if (event.round != work_.round || event.failures.empty()) return;
  if (work_.state == Work::kRunning) {
    work_.state = Work::kStopping;
    work_.stop = kind_of_stop(event.failures);
    stop_at_.reset();
    const std::vector<std::string>& report = event.failures.front().report;
    note_change(report.empty() ? "a worker of this node failed" : report.front());
  }
  work_.note(event.failures, now_);
  tell_if_welcomed(NodeFailed{event.round, bounded(event.failures)});
}

void MemberMachine::Impl::on(const WorkersGone& event) {
  if (event.round == work_.round && work_.alive()) work_is_gone(Work::kReaped);
}

void MemberMachine::Impl::work_is_gone(Work state) {
  work_.state = state;
  stop_at_.reset();
  if (state == Work::kFinished) {
    tell_if_welcomed(NodeFinished{work_.round});
    return;
  }
  unplaced_since_ = now_;
  tell_if_welcomed(NodeReaped{work_.round});
  if (reaped_with_work_) tell_if_welcomed(NodeReaped{*std::exchange(reaped_with_work_, std::nullopt)});
  advance_preparation();
}

// --- Stop. ---

void MemberMachine::Impl::hear(const Stop& stop) {
  if (stop.round == newest_ && preparation_) {
    abandon_preparation();
    failed_start_ = stop.reason;
    note_change(stop.reason);
  }
  if (stop.round != work_.round) {  // nothing of it ever ran here; an older round's workers may be on their way out
    tell(StopAcknowledged{stop.round, {}});
    return tell_unstarted(stop.round);
  }
  tell(StopAcknowledged{stop.round, work_.failures(now_)});
  work_.failures_known = true;
  if (work_.alive()) return stop_workers(stop.kind, 0, stop.reason);
  if (work_.state == Work::kFinished) {
    note_change(stop.reason);
    return work_is_gone(Work::kReaped);
  }
  tell(NodeReaped{stop.round});
}

void MemberMachine::Impl::stop_workers(StopKind kind, int signal, const std::string& reason) {
  if (!work_.alive() || work_.killed) return;
  const bool first = !work_.stop;
  if (!first && signal == 0 && !stricter(kind, *work_.stop)) return;
  if (first || stricter(kind, *work_.stop)) work_.stop = kind;
  if (first) note_change(reason);
  work_.state = Work::kStopping;
  stop_at_.reset();
  effects_.emplace_back(StopWorkers{work_.round, kind, signal == 0 ? SIGTERM : signal, reason});
}

void MemberMachine::Impl::kill_workers(const std::string& reason) {
  if (!work_.alive() || std::exchange(work_.killed, true)) return;
  work_.state = Work::kStopping;
  stop_at_.reset();
  note_change(reason);
  effects_.emplace_back(KillWorkers{work_.round, reason});
}

void MemberMachine::Impl::close_store() {
  if (std::exchange(store_open_, false)) effects_.emplace_back(CloseStore{});
}

void MemberMachine::Impl::note_change(const std::string& reason) {
  change_ = reason;
  changed_at_ = now_;
}

void MemberMachine::Impl::hold_lease() {
  const std::optional<TimePoint> wanted = work_.alive() ? lease_.end() : std::nullopt;
  if (wanted == held_) return;
  held_ = wanted;
  effects_.emplace_back(HoldLease{wanted});
}

}  // namespace ferrun
