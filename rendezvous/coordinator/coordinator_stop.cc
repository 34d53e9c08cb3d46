// The coordinator machine's running rounds: what ends them, and why.
#include <algorithm>

#include "rendezvous/coordinator/coordinator_impl.h"
#include "rendezvous/job/wording.h"

namespace ferrun {
namespace {

// Beyond these, failures of one round keep their first line only.
constexpr size_t kReportsKept = 256;

// A program that cannot be executed cannot be executed the next time either; a machine that refused may not refuse
// again.
bool is_final(const LocalFailure& failure) {
  return failure.kind == FailureKind::kNotStarted && failure.status.code() == kExitUsage;
}

}  // namespace

// --- While it runs. ---

void CoordinatorMachine::Impl::hear(Member& member, const WorkerSucceeded& news) {
  if (seat_of(member, news.round, Phase::kRunning) != nullptr) round_->any_success = true;
}

void CoordinatorMachine::Impl::hear(Member& member, const NodeFinished& news) {
  if (member.held == news.round) members_.release(member);
  if (Seat* seat = seat_of(member, news.round, Phase::kRunning)) note_finished(*seat);
}

void CoordinatorMachine::Impl::note_finished(Seat& seat) {
  round_->any_success = true;
  if (seat.finished) return;
  seat.finished = true;
  ++round_->finished;
}

void CoordinatorMachine::Impl::hear(Member& member, const NodeFailed& news) {
  if (const Seat* seat = seat_of(member, news.round, Phase::kRunning)) {
    fail_round(member, *seat, news.failures);
  } else if (const Seat* stopped = seat_of(member, news.round, Phase::kStopping)) {
    see_failures(*stopped, member, news.failures);
  }
}

void CoordinatorMachine::Impl::fail_round(Member& member, const Seat& seat, const std::vector<LocalFailure>& failures) {
  const bool told = !failures.empty() && !failures.front().report.empty();
  const std::string what = told ? plain_text(failures.front().report.front()) : "a worker failed";
  begin_stop(StopKind::kFailure, member.host + ": " + what, true);
  see_failures(seat, member, failures);
  if (stopping_->sightings.empty()) {  // it said so, and not what
    LocalFailure unknown;
    unknown.report = {"a worker failed; the node told nothing of it"};
    see_failures(seat, member, {unknown});
  }
}

void CoordinatorMachine::Impl::watch_round() {
  if (round_->finished == round_->seats.size()) return close({JobEnd::Kind::kSuccess, 0, {}});
  if (!wants_to_scale() || (scale_at_ && !is_over(*scale_at_))) return;
  scale_at_ = now_ + config_.scale_interval;
  Gathering nodes;
  members_.describe(nodes);
  begin_stop(StopKind::kMembership, listed(nodes.ready.names, nodes.ready.count) + " joined", false);
}

// Members of the round hold it, unless they have finished: then nobody joins any more. So whoever is ready is new.
bool CoordinatorMachine::Impl::wants_to_scale() const {
  return !recovery_ && !retiring_ && !round_->any_success && members_.ready() > 0 &&
         round_->seats.size() < static_cast<size_t>(config_.max_nodes);
}

// --- While it is stopped. ---

void CoordinatorMachine::Impl::begin_stop(StopKind kind, const std::string& reason, bool cause_wanted) {
  phase_ = Phase::kStopping;
  stopping_ = Stopping();
  stopping_->kind = kind;
  stopping_->reason = reason;
  stopping_->began = now_;
  stopping_->cause_wanted = cause_wanted;
  last_change_ = reason;
  last_change_at_ = now_;
  tell_round(Stop{round_->id, kind, reason});
  for (Seat& seat : round_->seats) {
    seat.awaited = seat.member != nullptr && !seat.member->leaving &&
                   (seat.member->link == Member::Link::kOpen || seat.member->link == Member::Link::kBroken);
    if (seat.awaited) ++stopping_->unacknowledged;
  }
  say(RendezvousLevel::kInfo, "round " + to_string(round_->id) + " is being stopped: " + reason);
}

void CoordinatorMachine::Impl::acknowledge(Seat& seat) {
  if (std::exchange(seat.awaited, false)) --stopping_->unacknowledged;
}

void CoordinatorMachine::Impl::hear(Member& member, const StopAcknowledged& news) {
  if (const Seat* seat = seat_of(member, news.round, Phase::kRunning)) {
    if (!news.failures.empty()) fail_round(member, *seat, news.failures);
    return;
  }
  Seat* seat = seat_of(member, news.round, Phase::kStopping);
  if (seat == nullptr) return;
  if (seat->awaited) note_round_trip(member);
  see_failures(*seat, member, news.failures);
  acknowledge(*seat);
}

void CoordinatorMachine::Impl::hear(Member& member, const NodeReaped& news) {
  if (member.held == news.round) members_.release(member);
  if (Seat* seat = seat_of(member, news.round, Phase::kStopping)) {
    acknowledge(*seat);
    seat->reaped = true;
  } else if (const Seat* running = seat_of(member, news.round, Phase::kRunning); running && !running->finished) {
    lose_workers(member, "its workers are gone, and nobody had asked for that");
  }
}

void CoordinatorMachine::Impl::see_failures(const Seat& seat, const Member& member,
                                            const std::vector<LocalFailure>& failures) {
  if (!stopping_->cause_wanted) return;
  const Duration round_trip = member.round_trip.value_or(now_ - round_->began);
  for (LocalFailure failure : failures) {
    if (failure.local_rank < 0 || failure.local_rank >= seat.workers) continue;
    failure.rank = seat.first_rank + failure.local_rank;
    if (stopping_->sightings.size() >= kReportsKept && failure.report.size() > 1) failure.report.resize(1);
    see(sight(seat.host, *member.seat, std::move(failure), now_, round_trip, round_->began));
  }
}

// A node that tells of its failures has not been lost. The same failure told twice is known better.
void CoordinatorMachine::Impl::see(FailureSighting sighting) {
  std::vector<FailureSighting>& known = stopping_->sightings;
  const auto [first, last] = stopping_->by_node.equal_range(sighting.group_rank);
  for (auto at = first; at != last; ++at) {
    FailureSighting& earlier = known[at->second];
    if (earlier.failure.kind == FailureKind::kLostNode) {
      earlier = std::move(sighting);
      return;
    }
    if (earlier.failure.local_rank != sighting.failure.local_rank) continue;
    const TimePoint earliest = std::max(earlier.earliest, sighting.earliest);
    const TimePoint latest = std::min(earlier.latest, sighting.latest);
    if (earliest <= latest) {
      earlier.earliest = earliest;
      earlier.latest = latest;
    }
    return;
  }
  if (sighting.failure.kind != FailureKind::kLostPeer) stopping_->explained = true;
  stopping_->by_node.emplace(sighting.group_rank, known.size());
  known.push_back(std::move(sighting));
}

void CoordinatorMachine::Impl::see_loss(const Seat& seat, int group_rank, TimePoint last_sign, const std::string& why) {
  if (stopping_->by_node.contains(group_rank)) return;  // it has told what failed
  LocalFailure loss;
  loss.kind = FailureKind::kLostNode;
  loss.rank = seat.first_rank;
  loss.status = ExitStatus::exited(kExitRendezvous);
  loss.report = {"was lost: " + why};
  see({seat.host, group_rank, std::move(loss), std::max(last_sign, round_->began), now_});
}

// Connections are lost to somebody. While nobody tells more than that, a node that does not answer is waited for:
// either it does, or its silence shows that it was lost.
TimePoint CoordinatorMachine::Impl::cause_deadline() const {
  const Duration loss = config_.silence + config_.reset_grace;
  return stopping_->began + (stopping_->explained ? config_.cause_wait : std::max(config_.cause_wait, loss));
}

void CoordinatorMachine::Impl::advance_stop() {
  if (stopping_->cause_wanted) {
    if (stopping_->unacknowledged > 0 && !is_over(cause_deadline())) return;
    decide_cause();
    if (phase_ != Phase::kStopping) return;
  }
  if (members_.stopping() > 0) return;
  vacate_all();
  stopping_.reset();
  phase_ = Phase::kGathering;
}

// Losses cost nothing when the round had been running for a while; failures always cost a restart.
void CoordinatorMachine::Impl::decide_cause() {
  stopping_->cause_wanted = false;
  const JobRootCause root = find_root_cause(stopping_->sightings);
  const FailureSighting& cause = stopping_->sightings[root.cause];
  last_change_ = headline(cause);
  const bool lost = cause.failure.kind == FailureKind::kLostNode;
  const bool young = !round_->adopted && stopping_->began - round_->began < config_.min_uptime;
  if (lost && !young) return;
  if (restarts_ < config_.max_restarts && !is_final(cause.failure)) {
    ++restarts_;
    say(RendezvousLevel::kWarning,
        last_change_ + "; restart " + std::to_string(restarts_) + " of " + std::to_string(config_.max_restarts));
    return;
  }
  JobEnd end{JobEnd::Kind::kFailed, cause.failure.status.shell_code(), describe(stopping_->sightings, root)};
  if (end.exit_status == 0) end.exit_status = 1;  // whatever a peer says, a failure is none
  close(std::move(end));
}

}  // namespace ferrun
