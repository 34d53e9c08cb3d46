// The coordinator machine's lost and leaving nodes.
#include <algorithm>

#include "rendezvous/coordinator/coordinator_impl.h"
#include "rendezvous/job/wording.h"

namespace ferrun {
namespace {

constexpr size_t kDeparturesKept = 16;

}  // namespace

void CoordinatorMachine::Impl::on(const PeerLost& event) {
  if (PeerSession* session = members_.session(event.connection)) lose_connection(*session, event.kind, event.why);
}

void CoordinatorMachine::Impl::lose_connection(PeerSession& session, LossKind kind, const std::string& why) {
  Member* member = session.member;
  const bool known_lost = member != nullptr && member->link == Member::Link::kSilent;
  members_.close(session, now_);
  if (member == nullptr) return;
  if (kind == LossKind::kEndOfStream) {
    // Its guardian closes the connection when no process is left.
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
  if (by_signal) {
    goodbye_signal_ = goodbye.signal;
    settle_end_ = now_ + config_.goodbye_settle;
    settle_ = line;
  }
  note_departure(member.host, "has left" + (why.empty() ? "" : " (" + why + ")"));
  if (phase_ == Phase::kClosing) return end_settled(member);
  if (!member.seat) return say(RendezvousLevel::kInfo, line);
  Seat& seat = round_->seats[static_cast<size_t>(*member.seat)];
  if (phase_ == Phase::kPreparing) return fail_preparation(line, {});
  if (phase_ == Phase::kStopping) return acknowledge(seat);
  if (!seat.finished) return begin_stop(StopKind::kMembership, line, false);
  vacate(member);
}

void CoordinatorMachine::Impl::lose(Member& member, const std::string& why) {
  news_ = true;
  if (phase_ == Phase::kClosing) return end_settled(member);
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
  Seat& seat = round_->seats[static_cast<size_t>(rank)];
  if (!seat.finished && !member.leaving) note_flap(member);
  switch (phase_) {
    case Phase::kPreparing: return fail_preparation(member.host + " was lost: " + why, {});
    case Phase::kRunning:
      if (seat.finished || member.leaving) break;
      begin_stop(StopKind::kLoss, member.host + " was lost: " + why, true);
      acknowledge(seat);
      see_loss(seat, rank, member.last_arrival, why);
      break;
    case Phase::kStopping:
      // Workers that the others may be waiting for are gone.
      if (stopping_->kind == StopKind::kMembership && !seat.reaped && !member.leaving && !seat.finished) {
        stopping_->kind = StopKind::kLoss;
        tell_round(Stop{round_->id, StopKind::kLoss, member.host + " was lost: " + why});
      }
      acknowledge(seat);
      if (stopping_->cause_wanted && !member.leaving && !seat.finished) see_loss(seat, rank, member.last_arrival, why);
      break;
    default: break;
  }
  vacate(member);
}

// The node is there, but its part of the round has ended.
void CoordinatorMachine::Impl::lose_workers(Member& member, const std::string& why) {
  note_flap(member);
  const Seat& seat = round_->seats[static_cast<size_t>(*member.seat)];
  begin_stop(StopKind::kLoss, member.host + " dropped out: " + why, true);
  see_loss(seat, *member.seat, now_ - config_.heartbeat_interval, why);
}

void CoordinatorMachine::Impl::note_flap(const Member& member) {
  const auto barred = flaps_.lost(member.node(), now_);
  if (!barred) return;
  note_departure(member.host, "is barred", now_ + *barred);
  say(RendezvousLevel::kWarning, member.host + " was lost " + std::to_string(config_.losses_to_bar) + " times within " +
                                     in_words(config_.loss_window) + ": it is barred for " + in_words(*barred));
}

void CoordinatorMachine::Impl::erase_if_done(Member& member) {
  const bool gone = member.link == Member::Link::kCut;
  if (gone && (!member.held || member.fence_over)) forget(member);
}

void CoordinatorMachine::Impl::forget(Member& member) {
  vacate(member);
  members_.erase(member);
}

void CoordinatorMachine::Impl::note_departure(const std::string& host, std::string what,
                                              std::optional<TimePoint> until) {
  std::erase_if(departures_, [&](const Departure& each) {
    return each.host == host && (until || !each.until || is_over(*each.until));
  });
  if (std::ranges::find(departures_, host, &Departure::host) != departures_.end()) return;  // barred says more
  departures_.push_back({host, std::move(what), until});
  if (departures_.size() > kDeparturesKept) departures_.pop_front();
}

}  // namespace ferrun
