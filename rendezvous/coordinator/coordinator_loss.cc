// The coordinator machine's lost and leaving nodes.
#include "rendezvous/coordinator/coordinator_impl.h"
#include "rendezvous/job/wording.h"

namespace ferrun {

void CoordinatorMachine::Impl::on(const PeerLost& event) {
  if (PeerSession* session = members_.session(event.connection)) lose_connection(*session, event.kind, event.why);
}

void CoordinatorMachine::Impl::lose_connection(PeerSession& session, LossKind kind, const std::string& why) {
  Member* member = session.member;
  const bool known_lost = member != nullptr && member->link == Member::Link::kSilent;
  members_.close(session, now_);
  if (member == nullptr) return;
  if (kind == LossKind::kEndOfStream) {
    // Its sentinel closes the connection when no process is left.
    members_.release(*member);
    if (!known_lost) lose(*member, "its connection ended");
    forget(*member);
  } else if (known_lost) {
    erase_if_done(*member);
  } else if (member->leaving) {
    members_.give_up(*member);
    lose(*member, plain_text(why));
    erase_if_done(*member);
  } else if (member->seat && phase_ == Phase::kPreparing) {
    fail_preparation("the connection of " + member->host + " broke (" + plain_text(why) + ")", {member});
  }
}

void CoordinatorMachine::Impl::fall_silent(PeerSession& session) {
  Member* member = session.member;
  if (member == nullptr) return disconnect(session);
  members_.give_up(*member);
  lose(*member, "nothing was heard of it for " + in_words(config_.silence));
}

void CoordinatorMachine::Impl::hear(Member& member, const Goodbye& goodbye) {
  if (member.leaving) return;
  const bool by_signal = goodbye.signal > 0;
  const std::string why = by_signal ? signal_name(goodbye.signal) : plain_text(goodbye.reason);
  const std::string line = member.host + " leaves" + (why.empty() ? "" : " (" + why + ")");
  members_.say_goodbye(member);
  if (by_signal) departures_.note_signal(goodbye.signal, line, now_ + config_.goodbye_settle);
  note_departure(member.host, "has left" + (why.empty() ? "" : " (" + why + ")"));
  if (phase_ == Phase::kClosing) return;  // it acknowledges the end when its workers are gone
  if (!member.seat) return say(RendezvousLevel::kInfo, line);
  if (phase_ == Phase::kPreparing) return fail_preparation(line, {});
  if (phase_ == Phase::kStopping) return stopping_->give_up(*member.seat);
  if (!running_.has_finished(*member.seat)) return begin_stop(StopKind::kMembership, line, false);
  vacate(member);
}

void CoordinatorMachine::Impl::lose(Member& member, const std::string& why) {
  announcer_.note_news();
  if (phase_ == Phase::kClosing) return closing_->settle(member.agent);
  if (member.leaving) {  // as it had said
    if (member.seat) lose_seat(member, why);
    return;
  }
  note_departure(member.host, "was lost (" + why + ")");
  say(member.seat ? RendezvousLevel::kWarning : RendezvousLevel::kInfo, member.host + " was lost: " + why);
  if (member.seat) lose_seat(member, why);
}

void CoordinatorMachine::Impl::lose_seat(Member& member, const std::string& why) {
  const int rank = *member.seat;
  const bool is_missed = !running_.has_finished(rank) && !member.leaving;
  const std::string reason = member.host + " was lost: " + why;
  if (is_missed) note_flap(member);
  switch (phase_) {
    case Phase::kPreparing: return fail_preparation(reason, {});
    case Phase::kRunning:
      if (!is_missed) break;
      begin_stop(StopKind::kLoss, reason, true);
      stopping_->give_up(rank);
      stopping_->see_loss(round_->at(rank), rank, member.last_arrival, why, now_);
      break;
    case Phase::kStopping:
      // Workers that the others may be waiting for are gone.
      if (is_missed && stopping_->kind() == StopKind::kMembership && !stopping_->has_reaped(rank)) {
        stopping_->turn_into_loss();
        tell_round(Stop{round_->id(), StopKind::kLoss, reason});
      }
      stopping_->give_up(rank);
      if (is_missed) stopping_->see_loss(round_->at(rank), rank, member.last_arrival, why, now_);
      hasten_stop();
      break;
    default: break;
  }
  vacate(member);
}

// The node is there, but its part of the round has ended.
void CoordinatorMachine::Impl::lose_workers(Member& member, const std::string& why) {
  note_flap(member);
  const int rank = *member.seat;
  begin_stop(StopKind::kLoss, member.host + " dropped out: " + why, true);
  stopping_->see_loss(round_->at(rank), rank, now_ - config_.heartbeat_interval, why, now_);
}

void CoordinatorMachine::Impl::note_flap(const Member& member) {
  const auto barred = places_.note_loss(member, now_);
  if (!barred) return;
  note_departure(member.host, "is barred", now_ + *barred);
  say(RendezvousLevel::kWarning, member.host + " was lost " + std::to_string(config_.losses_to_bar) + " times within " +
                                     in_words(config_.loss_window) + ": it is barred for " + in_words(*barred));
}

void CoordinatorMachine::Impl::note_departure(const std::string& host, std::string what,
                                              std::optional<TimePoint> until) {
  departures_.note(host, std::move(what), stall_.judged(), until);
}

// A member has a seat only while there is a round.
void CoordinatorMachine::Impl::vacate(Member& member) {
  if (member.seat) round_->vacate(member);
}

void CoordinatorMachine::Impl::erase_if_done(Member& member) {
  const bool gone = member.link == Member::Link::kCut;
  if (gone && (!member.held || member.fence_over)) forget(member);
}

void CoordinatorMachine::Impl::forget(Member& member) {
  vacate(member);
  members_.erase(member);
}

}  // namespace ferrun
