// The coordinator machine's rounds, from the choice of their nodes to their start.
#include <algorithm>
#include <tuple>

#include "rendezvous/coordinator/coordinator_impl.h"
#include "rendezvous/job/wording.h"
#include "rendezvous/wire/message_codec.h"

namespace ferrun {
namespace {

// Rounds in a row that were prepared in vain because of one node.
constexpr int kFailuresToBar = 3;

}  // namespace

void CoordinatorMachine::Impl::begin_round(const std::string& why) {
  phase_ = Phase::kPreparing;
  own_round_ = true;
  newest_ = {incarnation_, newest_.number + 1};
  round_ = Round();
  round_->id = newest_;
  round_->reason = last_change_.empty() ? why : last_change_;
  round_->began = now_;
  round_->prepare_end = now_ + config_.prepare_timeout;
  const std::vector<Member*> chosen = choose();
  for (Member* member : members_.all()) members_.set_veteran(*member, false);
  seat(chosen);
  SaveState state = save(std::nullopt);
  round_->save_ticket = state.ticket;
  effects_.emplace_back(std::move(state));
  say(RendezvousLevel::kDebug, "preparing round " + to_string(newest_) + " for " + counted(chosen.size(), "node"));
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
  common.round = round_->id;
  common.restart_count = restarts_;
  const std::vector<Assignment> assignments = make_assignments(candidates, order, common);
  round_->seats.resize(order.size());
  for (size_t rank = 0; rank < order.size(); ++rank) {
    Member& member = *chosen[order[rank]];
    round_->seats[rank] = {&member, member.host, member.workers, assignments[rank].first_rank};
    member.seat = static_cast<int>(rank);
    member.asked_at = now_;
    members_.set_veteran(member, true);
  }
  for (size_t rank = 0; rank < order.size(); ++rank) {
    Prepare prepare{assignments[rank], rank == 0, {}};
    if (rank == 0) prepare.admitted = admitted();
    tell(*round_->seats[rank].member, std::move(prepare));
  }
}

// The addresses from which the round's workers may reach its store. Where a large job has more than one message holds,
// every node keeps the one from which it was heard and the first of its own.
std::vector<std::string> CoordinatorMachine::Impl::admitted() const {
  const size_t most_of_one = kMaxAdmitted / round_->seats.size();
  std::vector<std::string> addresses;
  for (const Seat& seat : round_->seats) {
    const Member& member = *seat.member;
    const size_t own = std::min(member.addresses.size(), std::max<size_t>(most_of_one, 1) - 1);
    addresses.insert(addresses.end(), member.addresses.begin(), member.addresses.begin() + static_cast<ptrdiff_t>(own));
    if (!member.observed_address.empty()) addresses.push_back(member.observed_address);
  }
  std::ranges::sort(addresses);
  addresses.erase(std::unique(addresses.begin(), addresses.end()), addresses.end());
  return addresses;
}

CoordinatorMachine::Impl::Seat* CoordinatorMachine::Impl::seat_of(const Member& member, const RoundId& round,
                                                                  Phase phase) {
  if (phase_ != phase || !round_ || round_->id != round || !member.seat || member.leaving) return nullptr;
  return &round_->seats[static_cast<size_t>(*member.seat)];
}

void CoordinatorMachine::Impl::hear(Member& member, const Prepared& prepared) {
  Seat* seat = seat_of(member, prepared.round, Phase::kPreparing);
  if (seat == nullptr || seat->prepared) return;
  if (*member.seat == 0 && (prepared.store_addresses.empty() || prepared.store_port == 0)) {
    return fail_preparation(member.host + " named no address of its store", {&member});
  }
  seat->prepared = true;
  ++round_->prepared;
  if (!round_->store) note_round_trip(member);
  if (*member.seat != 0) return;
  round_->store = DialStore{round_->id, prepared.store_addresses, prepared.store_port};
  tell_round(*round_->store);
}

void CoordinatorMachine::Impl::hear(Member& member, const StoreReached& reached) {
  Seat* seat = seat_of(member, reached.round, Phase::kPreparing);
  if (seat == nullptr || seat->reached || !round_->store) return;
  seat->reached = true;
  ++round_->reached;
  note_round_trip(member);
}

void CoordinatorMachine::Impl::hear(Member& member, const NotPrepared& refusal) {
  if (seat_of(member, refusal.round, Phase::kRunning) != nullptr) {
    return lose_workers(member, "it could not start them: " + plain_text(refusal.reason));
  }
  if (seat_of(member, refusal.round, Phase::kPreparing) == nullptr) return;
  fail_preparation(member.host + ": " + plain_text(refusal.reason), {&member});
}

void CoordinatorMachine::Impl::note_round_trip(Member& member) const {
  const Duration taken = now_ - member.asked_at;
  member.round_trip = std::min(member.round_trip.value_or(taken), taken);
}

void CoordinatorMachine::Impl::advance_preparation() {
  if (round_->complete()) return go();
  if (is_over(round_->prepare_end)) return preparation_timed_out();
  if (round_->save_again && is_over(*round_->save_again)) {
    round_->save_again.reset();
    SaveState state = save(std::nullopt);
    round_->save_ticket = state.ticket;
    effects_.emplace_back(std::move(state));
  }
}

void CoordinatorMachine::Impl::go() {
  tell_round(Go{round_->id, round_->reason});
  int workers = 0;
  // Who was left out has lost its rank to somebody else.
  for (Member* member : members_.all()) member->last_rank.reset();
  for (size_t rank = 0; rank < round_->seats.size(); ++rank) {
    Member& member = *round_->seats[rank].member;
    members_.hold(member, round_->id);
    member.last_rank = static_cast<int>(rank);
    member.failed_prepares = 0;
    workers += member.workers;
  }
  round_->began = now_;
  phase_ = Phase::kRunning;
  last_change_ = round_->reason;
  last_change_at_ = now_;
  last_call_end_.reset();
  last_failure_.clear();
  departures_.clear();
  say(RendezvousLevel::kInfo, "round " + to_string(round_->id) + " starts on " + counted(round_->seats.size(), "node") +
                                  " with " + counted(static_cast<size_t>(workers), "worker") + ": " + round_->reason);
}

void CoordinatorMachine::Impl::fail_preparation(const std::string& reason, const std::vector<Member*>& at_fault) {
  say(RendezvousLevel::kWarning, "round " + to_string(round_->id) + " cannot start: " + reason);
  tell_round(Stop{round_->id, StopKind::kMembership, reason});
  for (const Seat& seat : round_->seats) {
    if (seat.member != nullptr && std::ranges::find(at_fault, seat.member) == at_fault.end()) {
      seat.member->failed_prepares = 0;
    }
  }
  vacate_all();
  round_.reset();
  phase_ = Phase::kGathering;
  last_failure_ = reason;
  for (Member* member : at_fault) {
    if (++member->failed_prepares >= kFailuresToBar) keep_out(*member, reason);
  }
}

void CoordinatorMachine::Impl::preparation_timed_out() {
  std::vector<Member*> late;
  for (const Seat& seat : round_->seats) {
    const bool answered = seat.prepared && (seat.reached || !round_->store);
    if (!answered) late.push_back(seat.member);
  }
  fail_preparation(preparation_step() + " took more than " + in_words(config_.prepare_timeout), late);
}

// It stays away for a while; then it may try again.
void CoordinatorMachine::Impl::keep_out(Member& member, const std::string& reason) {
  const Duration length = flaps_.bar(member.node(), now_);
  const std::string host = member.host;
  note_departure(host, "is barred", now_ + length);
  PeerSession* session = member.session;
  forget(member);
  if (session == nullptr) return;
  refuse(*session, Refused{counted(kFailuresToBar, "round") + " could not start because of " + reason, true, length});
}

void CoordinatorMachine::Impl::vacate(Member& member) {
  if (!member.seat) return;
  round_->seats[static_cast<size_t>(*member.seat)].member = nullptr;
  member.seat.reset();
}

void CoordinatorMachine::Impl::vacate_all() {
  for (Seat& seat : round_->seats) {
    if (seat.member != nullptr) vacate(*seat.member);
  }
}

}  // namespace ferrun
