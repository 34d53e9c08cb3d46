// The coordinator machine's rounds, from the choice of their nodes to their start.
#include <algorithm>
#include <tuple>

#include "rendezvous/coordinator/coordinator_impl.h"
#include "rendezvous/coordinator/rank_assignment.h"
#include "rendezvous/job/wording.h"
#include "rendezvous/wire/message_codec.h"

namespace ferrun {
namespace {

// Rounds in a row that were prepared in vain because of one node.
constexpr int kFailuresToBar = 3;

}  // namespace

void CoordinatorMachine::Impl::begin_round(const std::string& why) {
  phase_ = Phase::kPreparing;
  const RoundId id = record_.next_round();
  const std::vector<Member*> chosen = choose();
  round_.emplace(id, chosen.size(), last_change_.empty() ? why : last_change_, now_);
  preparation_.emplace(chosen.size(), now_ + config_.prepare_timeout);
  running_.begin(chosen.size());
  for (Member* member : members_.all()) members_.set_veteran(*member, false);
  seat(chosen);
  save_round();
  say(RendezvousLevel::kDebug, "preparing round " + to_string(id) + " for " + counted(chosen.size(), "node"));
}

// Survivors of the last round, then the agent that hosts this coordinator, then first come, first served.
std::vector<Member*> CoordinatorMachine::Impl::choose() const {
  std::vector<Member*> ready = members_.all();
  std::erase_if(ready, [](const Member* member) { return !member->ready(); });
  const size_t most = static_cast<size_t>(config_.max_nodes);
  if (ready.size() <= most) return ready;
  std::ranges::stable_sort(ready, {}, [this](const Member* member) {
    return std::tuple(!member->last_rank, !member->veteran, member->agent != config_.host_agent);
  });
  ready.resize(most);
  return ready;
}

void CoordinatorMachine::Impl::seat(const std::vector<Member*>& chosen) {
  std::vector<RankCandidate> candidates;
  candidates.reserve(chosen.size());
  for (const Member* member : chosen) {
    candidates.push_back({member->host, member->workers, member->role, member->node_rank, member->last_rank,
                          member->agent == config_.host_agent, member->joined});
  }
  const std::vector<size_t> order = assign_ranks(candidates, exact_ranks());
  Assignment common;
  common.round = round_->id();
  common.restart_count = record_.restarts();
  const std::vector<Assignment> assignments = make_assignments(candidates, order, common);
  for (size_t rank = 0; rank < order.size(); ++rank) {
    Member& member = *chosen[order[rank]];
    round_->seat(member, static_cast<int>(rank), assignments[rank].first_rank);
    member.asked_at = now_;
    members_.set_veteran(member, true);
  }
  for (size_t rank = 0; rank < order.size(); ++rank) {
    Prepare prepare{assignments[rank], rank == 0, {}};
    if (rank == 0) prepare.admitted = round_->admitted(kMaxAdmitted);
    outbox_.tell(*chosen[order[rank]], std::move(prepare));
  }
}

bool CoordinatorMachine::Impl::concerns(const Member& member, const RoundId& round, Phase phase) const {
  return phase_ == phase && round_ && round_->id() == round && member.seat && !member.leaving;
}

void CoordinatorMachine::Impl::hear(Member& member, const Prepared& prepared) {
  if (!concerns(member, prepared.round, Phase::kPreparing)) return;
  const bool opens_store = *member.seat == 0;
  if (opens_store && (prepared.store_addresses.empty() || prepared.store_port == 0)) {
    if (preparation_->store()) return;  // it had named one
    return fail_preparation(member.host + " named no address of its store", {&member});
  }
  if (!preparation_->note_prepared(*member.seat)) return;
  if (!preparation_->store()) note_round_trip(member);
  if (!opens_store) return;
  const DialStore store{prepared.round, prepared.store_addresses, prepared.store_port};
  preparation_->open_store(store);
  ask_round(store);
}

void CoordinatorMachine::Impl::hear(Member& member, const StoreReached& reached) {
  if (!concerns(member, reached.round, Phase::kPreparing)) return;
  if (preparation_->note_reached(*member.seat)) note_round_trip(member);
}

void CoordinatorMachine::Impl::hear(Member& member, const NotPrepared& refusal) {
  if (concerns(member, refusal.round, Phase::kRunning)) {
    return lose_workers(member, "it could not start them: " + plain_text(refusal.reason));
  }
  if (!concerns(member, refusal.round, Phase::kPreparing)) return;
  fail_preparation(member.host + ": " + plain_text(refusal.reason), {&member});
}

void CoordinatorMachine::Impl::note_round_trip(Member& member) const {
  const Duration taken = now_ - member.asked_at;
  member.round_trip = std::min(member.round_trip.value_or(taken), taken);
}

void CoordinatorMachine::Impl::advance_preparation() {
  switch (preparation_->step(stall_.judged())) {
    case RoundPreparation::Step::kWait: return;
    case RoundPreparation::Step::kSave: return save_round();
    case RoundPreparation::Step::kGo: return go();
    case RoundPreparation::Step::kTimeOut: return preparation_timed_out();
  }
}

void CoordinatorMachine::Impl::save_round() { preparation_->note_saving(outbox_.save(state(std::nullopt))); }

void CoordinatorMachine::Impl::go() {
  tell_round(Go{round_->id(), round_->reason()});
  // Who was left out has lost its rank to somebody else.
  for (Member* member : members_.all()) member->last_rank.reset();
  for (const RoundRoster::Seat& seat : round_->seats()) {
    Member& member = *seat.member;
    members_.hold(member, round_->id());
    member.last_rank = member.seat;
    member.failed_prepares = 0;
  }
  round_->start(now_);
  preparation_.reset();
  phase_ = Phase::kRunning;
  note_change(round_->reason());
  gathering_.note_start();
  departures_.clear();
  say(RendezvousLevel::kInfo, "round " + to_string(round_->id()) + " starts on " + counted(round_->size(), "node") +
                                  " with " + counted(static_cast<size_t>(round_->world()), "worker") + ": " +
                                  round_->reason());
}

void CoordinatorMachine::Impl::fail_preparation(const std::string& reason, const std::vector<Member*>& at_fault) {
  say(RendezvousLevel::kWarning, "round " + to_string(round_->id()) + " cannot start: " + reason);
  tell_round(Stop{round_->id(), StopKind::kMembership, reason});
  for (const RoundRoster::Seat& seat : round_->seats()) {
    if (seat.member != nullptr && std::ranges::find(at_fault, seat.member) == at_fault.end()) {
      seat.member->failed_prepares = 0;
    }
  }
  round_->vacate_all();
  round_.reset();
  preparation_.reset();
  phase_ = Phase::kGathering;
  gathering_.note_failed_start(reason);
  for (Member* member : at_fault) {
    if (++member->failed_prepares >= kFailuresToBar) keep_out(*member, reason);
  }
}

void CoordinatorMachine::Impl::preparation_timed_out() {
  std::vector<Member*> late;
  for (const int rank : preparation_->late()) late.push_back(round_->at(rank).member);
  fail_preparation(preparation_->words(*round_) + " took more than " + in_words(config_.prepare_timeout), late);
}

// It stays away for a while; then it may try again.
void CoordinatorMachine::Impl::keep_out(Member& member, const std::string& reason) {
  const Duration length = places_.bar(member, now_);
  const std::string host = member.host;
  note_departure(host, "is barred", now_ + length);
  PeerSession* session = member.session;
  forget(member);
  if (session == nullptr) return;
  refuse(*session, Refused{counted(kFailuresToBar, "round") + " could not start because of " + reason, true, length});
}

}  // namespace ferrun
