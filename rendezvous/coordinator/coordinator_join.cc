// The coordinator machine's door: who may take part, who comes back to its place, and what members remember that this
// coordinator does not know.
#include <algorithm>

#include "rendezvous/coordinator/coordinator_impl.h"
#include "rendezvous/job/wording.h"

namespace ferrun {
namespace {

using namespace std::chrono_literals;

// Sums of workers and numbers of rounds stay far from the ends of their types, whatever peers say.
constexpr int kMostWorkers = 1 << 14;
constexpr uint64_t kMostRounds = uint64_t{1} << 62;
constexpr size_t kMostAddresses = 32;
constexpr Duration kTryRankAgain = 1s;
constexpr Duration kJoinAgain = 100ms;

bool may_live(const MemberPast& past) {
  return !past.round.none() && (past.work == Work::kRunning || past.work == Work::kStopping);
}

}  // namespace

void CoordinatorMachine::Impl::join(PeerSession& session, const Join& request) {
  if (session.member != nullptr) return;  // once for each connection
  if (phase_ == Phase::kClosing) return join_too_late(session, request);
  if (members_.size() == 0 && newest_.none()) terms_ = JobTerms(config_.terms, terms_origin());
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
  tell(member,
       Welcome{incarnation_, config_.own_process, config_.lease, config_.heartbeat_interval, launch_id_, resumed});
  if (resumed) {
    Seat& seat = round_->seats[static_cast<size_t>(*member.seat)];
    if (request.past.any_success) round_->any_success = true;
    if (request.past.work == Work::kFinished) note_finished(seat);
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
  if (request.workers < 1 || request.workers > kMostWorkers) {
    return never("a node has 1 to " + std::to_string(kMostWorkers) + " workers, and this one says " +
                 std::to_string(request.workers));
  }
  if (auto difference = terms_.disagreement(request.terms)) return never(*difference);
  const Member* known = members_.find(session.agent);
  if (known != nullptr && known->seat) return std::nullopt;  // it is in the round already
  Member candidate;
  fill_in(candidate, session, request);
  return objection_to_place(candidate);
}

// What may pass with time.
std::optional<Refused> CoordinatorMachine::Impl::objection_to_place(const Member& member) {
  if (const auto left = flaps_.barred(member.node(), now_)) {
    return Refused{member.host + " disturbed the job too often and is barred for " + in_words(*left), true, *left};
  }
  if (!exact_ranks() || !member.node_rank) return std::nullopt;
  const int rank = *member.node_rank;
  if (rank < 0 || rank >= config_.max_nodes) {
    return Refused{"node rank " + std::to_string(rank) + " does not exist: there are " +
                       counted(static_cast<size_t>(config_.max_nodes), "node") + ", counted from 0",
                   false,
                   {}};
  }
  const auto claim = claims_.find(rank);
  const Member* holder = claim == claims_.end() ? nullptr : members_.find(claim->second);
  const bool answers = holder != nullptr && holder->agent != member.agent && holder->node_rank == rank &&
                       !holder->leaving &&
                       (holder->link == Member::Link::kOpen || holder->link == Member::Link::kBroken);
  if (!answers) return std::nullopt;
  return Refused{
      "node rank " + std::to_string(rank) + " is taken by " + holder->host + " (" + holder->observed_address + ")",
      true, kTryRankAgain};
}

void CoordinatorMachine::Impl::refuse(PeerSession& session, const Refused& refusal) {
  const std::string line = "refused the agent at " + session.observed_address + ": " + refusal.reason;
  say(line == last_refusal_ ? RendezvousLevel::kDebug : RendezvousLevel::kWarning, line);
  last_refusal_ = line;
  effects_.emplace_back(Tell{session.connection, refusal});
  disconnect(session);
}

bool CoordinatorMachine::Impl::may_return(PeerSession& session) {
  Member& member = *session.member;
  const auto refusal = member.seat ? std::nullopt : objection_to_place(member);
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
  member.told = 0;  // it has forgotten what it was waiting for
  for (const JobTerms::Remark& remark : terms_.adopt(request.terms, member.host)) {
    say(remark.warns ? RendezvousLevel::kWarning : RendezvousLevel::kInfo, remark.line);
  }
  if (exact_ranks() && member.node_rank) claims_[*member.node_rank] = member.agent;
  std::erase_if(departures_, [&member](const Departure& each) { return each.host == member.host; });
  goodbye_signal_ = 0;
  news_ = true;
  say(RendezvousLevel::kDebug, member.host + " (" + member.observed_address + ") " +
                                   (known == nullptr ? "joined" : "is back") + " with " +
                                   counted(static_cast<size_t>(member.workers), "worker"));
  return member;
}

bool CoordinatorMachine::Impl::resumes(const Member& member, const MemberPast& past) const {
  return phase_ == Phase::kRunning && member.seat && past.round == round_->id &&
         (past.work == Work::kRunning || past.work == Work::kFinished);
}

// It is there, but not where it left off.
void CoordinatorMachine::Impl::settle_old_place(Member& member, bool recovered) {
  const bool seated = member.seat.has_value();
  const bool told_with_the_others = seated && phase_ == Phase::kRunning && member.held == round_->id;
  if (member.held && !told_with_the_others) {
    tell(member, Stop{*member.held, stopping_ ? stopping_->kind : StopKind::kLoss,
                      stopping_ ? stopping_->reason : "the job goes on without this node's round"});
  }
  if (!seated) return;
  if (phase_ == Phase::kPreparing) {
    fail_preparation(member.host + " connected anew", {&member});
  } else if (phase_ == Phase::kRunning && recovered) {
    begin_stop(StopKind::kLoss, member.host + " came back without running workers", false);
  } else if (phase_ == Phase::kRunning) {
    lose_workers(member, "its connection broke, and its workers do not run any more");
  } else if (phase_ == Phase::kStopping && !member.held) {
    acknowledge(round_->seats[static_cast<size_t>(*member.seat)]);
  }
}

// --- Another coordinator has taken over. ---

// What was saved may be of a launch of which nothing lives any more. One of its agents shows that it goes on.
void CoordinatorMachine::Impl::recognize(AgentId agent, const MemberPast& past) {
  if (unproven_ && !own_round_ && shows_life(*unproven_, agent, past)) take_up_saved_launch();
}

void CoordinatorMachine::Impl::learn(const MemberPast& past) {
  if (past.round.none()) return learn_of_another(past);
  const bool newer = past.round > newest_;
  if (newer) {
    newest_ = past.round;
    unproven_.reset();
    incarnation_ = std::max(incarnation_, past.round.incarnation + 1);
  }
  if (own_round_) return;
  restarts_ = std::max(restarts_, std::clamp(past.restarts, 0, config_.max_restarts));
  learn_launch_id(past.launch_id);
  if (newer && !is_over(started_ + fence_)) recover_reported(past);
}

// A spare of a coordinator whose state is lost: that one's rounds may be running, though none of their nodes is here.
void CoordinatorMachine::Impl::learn_of_another(const MemberPast& past) {
  const bool of_another = !past.launch_id.empty() && past.launch_id != launch_id_;
  if (!of_another || own_round_ || recovery_ || !newest_.none() || is_over(started_ + fence_)) return;
  recovery_ = Recovery{{}, started_ + fence_, 0, {}, {}};
}

// Those who were told another one learn the right one when they come back.
void CoordinatorMachine::Impl::learn_launch_id(const std::string& launch_id) {
  if (launch_id.empty() || launch_id_known_) return;
  launch_id_known_ = true;
  if (launch_id == launch_id_) return;
  launch_id_ = plain_text(launch_id);
  const Refused once_more{"an earlier launch of this job goes on, " + launch_id_ + ": joining again", true, kJoinAgain};
  for (Member* member : members_.all()) {
    tell(*member, once_more);
    if (member->session != nullptr) disconnect(*member->session);
  }
}

void CoordinatorMachine::Impl::recover_saved(const std::vector<CoordinatorState::Member>& members) {
  begin_recovery(newest_, members.size());
  for (const CoordinatorState::Member& member : members) {
    const bool placed = member.group_rank >= 0 && static_cast<size_t>(member.group_rank) < recovery_->nodes;
    if (!placed) continue;
    recovery_->saved[member.agent] = member.group_rank;
    round_->seats[static_cast<size_t>(member.group_rank)].host = plain_text(member.host);
  }
}

void CoordinatorMachine::Impl::recover_reported(const MemberPast& past) {
  if (round_) {
    tell_round(Stop{round_->id, StopKind::kLoss, "a newer round has begun"});
    vacate_all();
  }
  const int nodes = past.assignment.group_world;
  begin_recovery(past.round, nodes >= 1 && nodes <= config_.max_nodes ? static_cast<size_t>(nodes) : 0);
}

// Until its members have come back, or their leases are over, it may be running: nothing else may.
void CoordinatorMachine::Impl::begin_recovery(const RoundId& id, size_t nodes) {
  recovery_ = Recovery{id, started_ + fence_, nodes, {}, {}};
  for (size_t rank = 0; rank < nodes; ++rank) recovery_->absent.insert(static_cast<int>(rank));
  stopping_.reset();
  round_.reset();
  phase_ = Phase::kGathering;
  if (nodes == 0) return;
  round_ = Round();
  round_->id = id;
  round_->adopted = true;
  round_->began = started_;
  round_->seats.resize(nodes);
  for (size_t rank = 0; rank < nodes; ++rank) round_->seats[rank].host = "node of rank " + std::to_string(rank);
  phase_ = Phase::kRunning;
}

// Returns whether the member has come back to the round that this coordinator found.
bool CoordinatorMachine::Impl::take_old_seat(Member& member, const MemberPast& past) {
  if (!recovery_ || recovery_->nodes == 0) return false;
  const auto saved = recovery_->saved.find(member.agent);
  const bool reported = recovery_->saved.empty() && past.round == recovery_->round &&
                        past.assignment.group_world == static_cast<int>(recovery_->nodes);
  if (saved == recovery_->saved.end() && !reported) return false;
  const int rank = reported ? past.assignment.group_rank : saved->second;
  if (recovery_->absent.erase(rank) == 0) return false;
  member.last_rank = rank;
  members_.set_veteran(member, true);
  if (phase_ != Phase::kRunning) return true;
  member.seat = rank;
  Seat& seat = round_->seats[static_cast<size_t>(rank)];
  seat.member = &member;
  seat.host = member.host;
  seat.workers = member.workers;
  seat.first_rank = std::max(past.assignment.first_rank, 0);
  return true;
}

void CoordinatorMachine::Impl::end_recovery_if_over() {
  if (!recovery_) return;
  const bool complete = recovery_->nodes > 0 && recovery_->absent.empty();
  if (!complete && !is_over(recovery_->until)) return;
  const std::string absent = absent_words();
  recovery_.reset();
  if (unproven_) say(RendezvousLevel::kInfo, new_launch_words(*unproven_));
  if (phase_ != Phase::kRunning) return;
  if (unproven_) {
    round_.reset();
    phase_ = Phase::kGathering;
    return;
  }
  if (complete) {
    say(RendezvousLevel::kInfo, "all nodes of round " + to_string(round_->id) + " are back: it goes on");
  } else {
    begin_stop(StopKind::kLoss, absent + " did not come back to the new coordinator", false);
  }
}

}  // namespace ferrun
