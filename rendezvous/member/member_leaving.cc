// How the member machine ends: by the job's end, by a signal, on its own account.
#include <algorithm>
#include <csignal>

#include "rendezvous/member/member_impl.h"

namespace ferrun {
namespace {

constexpr int kSignalBase = 128;  // as a shell counts
constexpr int kMostStatus = 255;

}  // namespace

void MemberMachine::Impl::on(const LeaveAsked& event) {
  const std::string name = signal_name(event.signal);
  if (event.now) return kill_workers("got " + name + " again");
  if (std::exchange(asked_by_signal_, true)) return;
  const std::string reason = "got " + name + ": leaving the job";
  if (leaving_) return stop_workers(StopKind::kEnd, event.signal, reason);
  say_goodbye(event.signal, config_.host + " got " + name);
  leave({JobEnd::Kind::kStopped, kSignalBase + event.signal, {"stopped by " + name}}, event.signal, reason);
}

void MemberMachine::Impl::on(const CannotTakePart& event) {
  if (leaving_) return;
  const std::string reason = event.end.report.empty() ? "this node cannot take part" : event.end.report.back();
  say_goodbye(0, reason);
  leave(event.end, 0, reason);
}

// The end of the job is everybody's end; only a node that was told to stop before stays with its own, unless all went
// well.
void MemberMachine::Impl::hear(const Close& close) {
  JobEnd end = close.end;
  end.exit_status = std::clamp(end.exit_status, 0, kMostStatus);
  if (leaving_) {
    leaving_->answer_close = true;
    if (end.kind == JobEnd::Kind::kSuccess && leaving_->end.kind == JobEnd::Kind::kStopped) leaving_->end = end;
    return;
  }
  leave(end, 0, end.report.empty() ? "the job has ended" : "the job has ended: " + end.report.back());
  leaving_->answer_close = true;
}

void MemberMachine::Impl::hang_up() {
  if (!std::exchange(hung_up_, true)) effects_.emplace_back(HangUp{});
}

void MemberMachine::Impl::say_goodbye(int signal, const std::string& reason) {
  if (session_) tell(Goodbye{signal, reason});
}

void MemberMachine::Impl::leave(JobEnd end, int signal, const std::string& reason) {
  leaving_ = Leaving{std::move(end), reason, false};
  abandon_preparation();
  retry_at_.reset();
  stop_at_.reset();
  lost_since_.reset();
  if (!session_) hang_up();
  stop_workers(StopKind::kEnd, signal, reason);
}

void MemberMachine::Impl::finish() {
  for (const uint32_t id : std::exchange(status_questions_, {})) show_own_status(id);
  close_store();
  if (session_ && leaving_->answer_close) tell(Closed{});
  hang_up();
  done_ = true;
  effects_.emplace_back(MemberDone{leaving_->end});
}

}  // namespace ferrun
