// The coordinator machine's door: who may take part, who comes back to its place, and what members remember that this
// coordinator does not know.
#include <algorithm>
#include <limits>

#include "rendezvous/coordinator/coordinator_impl.h"
#include "rendezvous/coordinator/saved_state_policy.h"
#include "rendezvous/job/limits.h"
#include "rendezvous/job/wording.h"

namespace ferrun {
namespace {

// Sums of workers and numbers of rounds stay within their types, whatever peers say.
constexpr int kMostRanks = std::numeric_limits<int>::max();
constexpr uint64_t kMostRounds = uint64_t{1} << 62;
constexpr size_t kMostAddresses = 32;
constexpr Duration kJoinAgain = std::chrono::milliseconds(100);

bool may_live(const MemberPast& past) {
  return !past.round.none() && (past.work == Work::kRunning || past.work == Work::kStopping);
}

}  // namespace

void CoordinatorMachine::Impl::join(PeerSession& session, const Join& request) {
  if (session.member != nullptr) return;  // once for each connection
  if (phase_ == Phase::kClosing) return join_too_late(session, request);
  if (members_.size() == 0 && record_.newest().none()) terms_ = JobTerms(config_.terms, terms_origin());
  if (auto refusal = objection(session, request)) {
    if (Member* known = members_.find(session.agent); known != nullptr && !may_live(request.past)) {
      members_.release(*known);
      erase_if_done(*known);
    }
    return refuse(session, *refusal);
  }
  recognize(session.agent, request.past);
  learn(request.past);
  Member& member = enrol(session, request);
  const bool recovered = take_old_seat(member, request.past);
  const bool resumed = resumes(member, request.past);
  if (may_live(request.past)) {
    members_.hold(member, request.past.round);
  } else {
    members_.release(member);
  }
  outbox_.tell(member, Welcome{record_.incarnation(), config_.own_process || config_.has_successors, config_.lease,
                               config_.heartbeat_interval, record_.launch_id(), resumed});
  if (resumed) {
    if (request.past.any_success) running_.note_success();
    if (request.past.work == Work::kFinished) running_.note_finished(*member.seat);
  } else {
    settle_old_place(member, recovered);
  }
}

// --- Who may not take part. ---

std::optional<Refused> CoordinatorMachine::Impl::objection(const PeerSession& session, const Join& request) {
  const auto never = [](std::string reason) { return Refused{std::move(reason), false, {}}; };
  if (session.agent.value == 0) return never("an agent's id cannot be 0");
  if (request.past.round.number > kMostRounds || request.past.round.incarnation > kMostRounds) {
    return never("it claims to have been in round " + to_string(request.past.round));
  }
  const int most = std::min(kMostWorkersOfNode, kMostRanks / config_.max_nodes);
  if (request.workers < 1 || request.workers > most) {
    return never("a node has 1 to " + std::to_string(most) + " workers, and this one says " +
                 std::to_string(request.workers));
  }
  if (auto difference = terms_.disagreement(request.terms)) return never(*difference);
  const Member* known = members_.find(session.agent);
  if (known != nullptr && known->seat) return std::nullopt;  // it is in the round already
  Member candidate;
  fill_in(candidate, session, request);
  return places_.objection(candidate, members_, now_);
}

void CoordinatorMachine::Impl::refuse(PeerSession& session, const Refused& refusal) {
  const std::string line = "refused the agent at " + session.observed_address + ": " + refusal.reason;
  say(line == last_refusal_ ? RendezvousLevel::kDebug : RendezvousLevel::kWarning, line);
  last_refusal_ = line;
  outbox_.tell(session.connection, refusal);
  disconnect(session);
}

bool CoordinatorMachine::Impl::may_return(PeerSession& session) {
  Member& member = *session.member;
  const auto refusal = member.seat ? std::nullopt : places_.objection(member, members_, now_);
  if (!refusal) return true;
  refuse(session, *refusal);
  erase_if_done(member);
  return false;
}

// --- Members. ---

void CoordinatorMachine::Impl::fill_in(Member& member, const PeerSession& session, const Join& request) const {
  member.agent = session.agent;
  member.observed_address = plain_text(session.observed_address);
  member.host = request.host.empty() ? member.observed_address : plain_text(request.host);
  member.addresses.clear();
  for (const std::string& address : request.addresses) {
    if (member.addresses.size() < kMostAddresses) member.addresses.push_back(plain_text(address, 64));
  }
  member.node_rank = request.node_rank;
  if (member.seat) return;  // the round goes by what it was when the round began
  member.workers = request.workers;
  member.role = request.role;
}

Member& CoordinatorMachine::Impl::enrol(PeerSession& session, const Join& request) {
  Member* known = members_.find(session.agent);
  if (known != nullptr && known->session != nullptr) disconnect(*known->session);
  Member& member = known != nullptr ? *known : members_.add(session.agent);
  fill_in(member, session, request);
  members_.attach(member, session);
  Announcer::forget(member);
  for (const JobTerms::Remark& remark : terms_.adopt(request.terms, member.host)) {
    say(remark.warns ? RendezvousLevel::kWarning : RendezvousLevel::kInfo, remark.line);
  }
  places_.admit(member);
  departures_.note_return(member.host);
  announcer_.note_news();
  say(RendezvousLevel::kDebug, member.host + " (" + member.observed_address + ") " +
                                   (known == nullptr ? "joined" : "is back") + " with " +
                                   counted(static_cast<size_t>(member.workers), "worker"));
  return member;
}

bool CoordinatorMachine::Impl::resumes(const Member& member, const MemberPast& past) const {
  return phase_ == Phase::kRunning && member.seat && past.round == round_->id() &&
         (past.work == Work::kRunning || past.work == Work::kFinished);
}

// It is there, but not where it left off.
void CoordinatorMachine::Impl::settle_old_place(Member& member, bool recovered) {
  const bool seated = member.seat.has_value();
  const bool told_with_the_others = seated && phase_ == Phase::kRunning && member.held == round_->id();
  if (member.held && !told_with_the_others) {
    const StopKind kind = stopping_ ? stopping_->kind() : StopKind::kLoss;
    outbox_.tell(member, Stop{*member.held, kind,
                              stopping_ ? stopping_->reason() : "the job goes on without this node's round"});
  }
  if (!seated) return;
  if (phase_ == Phase::kPreparing) {
    fail_preparation(member.host + " connected anew", {&member});
  } else if (phase_ == Phase::kRunning && recovered) {
    begin_stop(StopKind::kLoss, member.host + " came back without running workers", false);
  } else if (phase_ == Phase::kRunning) {
    lose_workers(member, "its connection broke, and its workers do not run any more");
  } else if (phase_ == Phase::kStopping && member.held) {
    stopping_->await(*member.seat);
  } else if (phase_ == Phase::kStopping) {
    stopping_->give_up(*member.seat);
  }
}

// --- Another coordinator has taken over. ---

// What was saved may be of a launch of which nothing lives any more. One of its agents shows that it goes on.
void CoordinatorMachine::Impl::recognize(AgentId agent, const MemberPast& past) {
  if (!record_.unproven() || record_.own_round() || !shows_life(*record_.unproven(), agent, past)) return;
  if (record_.take_up_saved_launch()) disconnect_all();
}

// Those who were told another launch id learn the right one when they come back.
void CoordinatorMachine::Impl::disconnect_all() {
  const Refused once_more{"an earlier launch of this job goes on, " + record_.launch_id() + ": joining again", true,
                          kJoinAgain};
  for (Member* member : members_.all()) {
    outbox_.tell(*member, once_more);
    if (member->session != nullptr) disconnect(*member->session);
  }
}

void CoordinatorMachine::Impl::learn(const MemberPast& past) {
  if (past.round.none()) return learn_of_another(past);
  const JobRecord::Learned learned = record_.learn(past);
  if (learned.other_launch) disconnect_all();
  if (learned.newer_round && !stall_.is_over(leases_end())) recover_reported(past);
}

// A spare of a coordinator whose state is lost: that one's rounds may be running, though none of their nodes is here.
void CoordinatorMachine::Impl::learn_of_another(const MemberPast& past) {
  const bool knows_more = record_.own_round() || takeover_ || !record_.newest().none();
  if (!record_.is_of_another(past) || knows_more || stall_.is_over(leases_end())) return;
  takeover_.emplace(leases_end());
}

void CoordinatorMachine::Impl::recover_saved() {
  begin_recovery(record_.newest(), record_.saved_members().size());
  for (const CoordinatorState::Member& member : record_.saved_members()) {
    takeover_->expect(member.agent, member.node_rank, member.host, gone_at(member.remains));
  }
  if (takeover_->step(now_) != Takeover::Step::kWait) return;
  say(RendezvousLevel::kWarning, takeover_->words() + " (" + in_words(takeover_->until() - now_) + " at most)");
}

std::optional<TimePoint> CoordinatorMachine::Impl::gone_at(Remains remains) const {
  switch (remains) {
    case Remains::kUnknown: return std::nullopt;
    case Remains::kDying: return now_ + config_.stop_bound;
    case Remains::kNone: return now_;
  }
  return std::nullopt;
}

void CoordinatorMachine::Impl::on(const RemainsFound& event) {
  if (!takeover_) return;
  for (const CoordinatorState::Member& member : record_.saved_members()) {
    if (member.agent == event.agent) {
      takeover_->expect(member.agent, member.node_rank, member.host, gone_at(event.remains));
    }
  }
}

void CoordinatorMachine::Impl::recover_reported(const MemberPast& past) {
  if (round_) {
    tell_round(Stop{round_->id(), StopKind::kLoss, "a newer round has begun"});
    round_->vacate_all();
  }
  const int nodes = past.assignment.node_count;
  begin_recovery(past.round, nodes >= 1 && nodes <= config_.max_nodes ? static_cast<size_t>(nodes) : 0);
}

// Until its members have come back, or their leases are over, it may be running: nothing else may.
void CoordinatorMachine::Impl::begin_recovery(const RoundId& id, size_t nodes) {
  takeover_.emplace(id, nodes, leases_end());
  stopping_.reset();
  round_.reset();
  phase_ = Phase::kGathering;
  if (nodes == 0) return;
  round_ = RoundRoster::adopted(id, nodes, started_);
  running_.begin(nodes);
  phase_ = Phase::kRunning;
}

// Returns whether the member has come back to the round that this coordinator found.
bool CoordinatorMachine::Impl::take_old_seat(Member& member, const MemberPast& past) {
  if (!takeover_) return false;
  const std::optional<int> rank = takeover_->comes_back(member.agent, past);
  if (!rank) return false;
  member.last_rank = *rank;
  members_.set_veteran(member, true);
  const bool is_there = phase_ == Phase::kRunning || phase_ == Phase::kStopping;
  if (is_there) round_->seat(member, *rank, std::max(past.assignment.first_rank, 0));
  return true;
}

void CoordinatorMachine::Impl::end_recovery_if_over() {
  if (!takeover_) return;
  const Takeover::Step step = takeover_->step(stall_.judged());
  if (step == Takeover::Step::kWait) return;
  const std::string absent = takeover_->absent();
  takeover_.reset();
  const bool is_new_launch = record_.unproven().has_value();
  if (is_new_launch) say(RendezvousLevel::kInfo, new_launch_words(*record_.unproven()));
  if (phase_ != Phase::kRunning) return;
  if (is_new_launch) {
    round_.reset();
    phase_ = Phase::kGathering;
    return;
  }
  if (step == Takeover::Step::kComplete) {
    say(RendezvousLevel::kInfo, "all nodes of round " + to_string(round_->id()) + " are back: it goes on");
  } else {
    begin_stop(StopKind::kLoss, absent + " did not come back to the new coordinator", false);
  }
}

}  // namespace ferrun
