// The coordinator machine's end of the job: saved, told to everybody, acknowledged by everybody who can be heard.
#include <algorithm>

#include "rendezvous/coordinator/coordinator_impl.h"
#include "rendezvous/job/wording.h"

namespace ferrun {

void CoordinatorMachine::Impl::close(JobEnd end) {
  phase_ = Phase::kClosing;
  SaveState state = save(end);
  closing_ = Closing{std::move(end), now_ + config_.close_timeout, state.ticket, false, 0, {}};
  stopping_.reset();
  recovery_.reset();
  effects_.emplace_back(std::move(state));
  say(RendezvousLevel::kInfo, end_words(closing_->end));
}

void CoordinatorMachine::Impl::tell_close() {
  closing_->told = true;
  TellAll all{{}, Close{closing_->end}};
  for (Member* member : members_.all()) {
    if (member->session != nullptr) all.connections.push_back(member->session->connection);
    if (!member->leaving && (member->link == Member::Link::kOpen || member->link == Member::Link::kBroken)) {
      await_end(*member);
    }
  }
  if (!all.connections.empty()) effects_.emplace_back(std::move(all));
}

// It is told how the job ended, whatever its terms are.
void CoordinatorMachine::Impl::join_too_late(PeerSession& session, const Join& request) {
  if (session.agent.value == 0) return refuse(session, Refused{"an agent's id cannot be 0", false, {}});
  Member& member = enrol(session, request);
  closing_->expected.erase(member.agent);
  if (!closing_->told) return;
  await_end(member);
  tell(member, Close{closing_->end});
}

void CoordinatorMachine::Impl::hear(Member& member, const Closed&) {
  if (phase_ == Phase::kClosing) end_settled(member);
}

void CoordinatorMachine::Impl::await_end(Member& member) {
  if (!std::exchange(member.end_awaited, true)) ++closing_->awaited;
}

void CoordinatorMachine::Impl::end_settled(Member& member) {
  closing_->expected.erase(member.agent);
  if (std::exchange(member.end_awaited, false)) --closing_->awaited;
}

void CoordinatorMachine::Impl::advance_close() {
  if (is_over(closing_->until)) {
    if (!closing_->told) tell_close();
    return finish(closing_->end);
  }
  if (closing_->told && closing_->awaited == 0 && closing_->expected.empty()) finish(closing_->end);
}

void CoordinatorMachine::Impl::finish(JobEnd end) {
  phase_ = Phase::kClosed;
  for (const ConnectionId connection : members_.connections()) effects_.emplace_back(Disconnect{connection});
  effects_.emplace_back(CoordinatorDone{std::move(end)});
}

}  // namespace ferrun
