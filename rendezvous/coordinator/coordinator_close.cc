// The coordinator machine's end of the job, as job_closing.h decides it.
#include "rendezvous/coordinator/coordinator_impl.h"

namespace ferrun {

void CoordinatorMachine::Impl::close(JobEnd end) {
  phase_ = Phase::kClosing;
  closing_.emplace(end, now_ + config_.close_timeout);
  closing_->note_saving(outbox_.save(state(std::move(end))));
  preparation_.reset();
  stopping_.reset();
  takeover_.reset();
  say(RendezvousLevel::kInfo, end_words(closing_->end()));
}

void CoordinatorMachine::Impl::tell_close() {
  closing_->note_told();
  std::vector<ConnectionId> connections;
  for (const Member* member : members_.all()) {
    if (member->session != nullptr) connections.push_back(member->session->connection);
    if (member->may_acknowledge()) closing_->await(member->agent);
  }
  outbox_.tell_all(std::move(connections), Close{closing_->end()});
}

// It is told how the job ended, whatever its terms are.
void CoordinatorMachine::Impl::join_too_late(PeerSession& session, const Join& request) {
  if (session.agent.value == 0) return refuse(session, Refused{"an agent's id cannot be 0", false, {}});
  Member& member = enrol(session, request);
  closing_->note_arrival(member.agent);
  if (!closing_->is_told()) return;
  closing_->await(member.agent);
  outbox_.tell(member, Close{closing_->end()});
}

void CoordinatorMachine::Impl::hear(Member& member, const Closed&) {
  if (phase_ == Phase::kClosing) closing_->settle(member.agent);
}

void CoordinatorMachine::Impl::advance_close() {
  if (closing_->step(stall_.judged()) == JobClosing::Step::kWait) return;
  if (!closing_->is_told()) tell_close();
  finish(closing_->end());
}

void CoordinatorMachine::Impl::finish(JobEnd end) {
  phase_ = Phase::kClosed;
  for (const ConnectionId connection : members_.connections()) outbox_.disconnect(connection);
  outbox_.done(std::move(end));
}

}  // namespace ferrun
