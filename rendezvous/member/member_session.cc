// The member machine's connection to the coordinator: reached, lost, silent, refused.
#include <algorithm>
#include <array>

#include "rendezvous/member/member_impl.h"

namespace ferrun {
namespace {

using namespace std::chrono_literals;

// Between two attempts at a coordinator that refused, unless it named a time.
constexpr Duration kRetry = 1s;
constexpr Duration kLeastRetry = 100ms;
constexpr Duration kMostRetry = 1h;
constexpr size_t kMostStatusQuestions = 16;
constexpr size_t kLongestSentence = 2000;

}  // namespace

void MemberMachine::Impl::dial() {
  retry_at_.reset();
  tried_.clear();
  hung_up_ = false;
  effects_.emplace_back(Dial{});
}

void MemberMachine::Impl::on(const DialNote& event) {
  if (session_ || leaving_) return;
  tried_ = event.tried.substr(0, kLongestSentence);
  if (event.final) leave({JobEnd::Kind::kRefused, kExitUsage, {tried_}}, 0, tried_);
}

void MemberMachine::Impl::on(const CoordinatorReached& event) {
  if (leaving_) return;
  if (session_) end_session();
  session_ = Session{event.connection, event.where, now_, false};
  retry_at_.reset();
  stop_at_.reset();  // it is there: the lease is the limit
  join();
}

void MemberMachine::Impl::join() {
  Join join;
  join.host = config_.host;
  join.addresses = config_.addresses;
  join.workers = config_.workers;
  join.role = config_.role;
  join.node_rank = config_.node_rank;
  join.terms = config_.terms;
  join.past.round = newest_;
  join.past.work = work_.state == Work::kNone && !newest_.none() ? Work::kReaped : work_.state;
  join.past.assignment = assignment_;
  join.past.restarts = assignment_.restart_count;
  join.past.launch_id = launch_id_;
  join.past.any_success = work_.round == newest_ && work_.any_success;
  tell(std::move(join));
}

void MemberMachine::Impl::on(const CoordinatorGone& event) {
  if (!session_ || session_->connection != event.connection) return;
  const bool ended = event.kind == LossKind::kEndOfStream;
  const std::string line = "the coordinator at " + session_->where + " is gone (" + event.why + ")";
  end_session();
  if (leaving_) return;
  if (work_.state == Work::kRunning && own_process_) {
    say(RendezvousLevel::kWarning, line + "; the workers run on until their lease ends");
  } else if (work_.state == Work::kRunning && !ended) {
    stop_at_ = now_ + config_.reset_grace;
    say(RendezvousLevel::kWarning, line + "; connecting again");
  } else if (work_.state == Work::kRunning) {
    stop_workers(StopKind::kLoss, 0, line);
  } else if (lost_since_ == now_) {
    say(RendezvousLevel::kWarning, line + "; waiting for it to come back");
  }
  dial();
}

void MemberMachine::Impl::end_session() {
  if (welcomed()) lost_since_ = now_;
  session_.reset();
  lease_.end_session();
  waiting_sentence_.clear();
  if (!work_.alive() && work_.state != Work::kFinished) wait_for_place();
  reaped_with_work_.reset();  // a Join says it
  abandon_preparation();
  for (const uint32_t id : std::exchange(status_questions_, {})) show_own_status(id);
}

void MemberMachine::Impl::on(const CoordinatorSaid& event) {
  if (!session_ || session_->connection != event.connection) return;
  const bool answers_join = std::holds_alternative<Welcome>(event.message) ||
                            std::holds_alternative<Refused>(event.message) ||
                            std::holds_alternative<Close>(event.message);
  if (!session_->welcomed && !answers_join) return;
  std::visit([this](const auto& message) { hear(message); }, event.message);
}

void MemberMachine::Impl::hear(const Welcome& welcome) {
  if (session_->welcomed) return;
  if (welcome.incarnation < newest_.incarnation) {
    refusal_ = "the coordinator at " + session_->where + " knows nothing of round " + to_string(newest_) +
               ", which this node has accepted: it is an older one";
    say(RendezvousLevel::kWarning, refusal_);
    end_session();
    if (!leaving_) retry_at_ = now_ + kRetry;
    return;
  }
  if (lost_since_) say(RendezvousLevel::kWarning, "the coordinator is back at " + session_->where);
  session_->welcomed = true;
  coordinator_ = session_->where;
  lost_since_.reset();
  refusal_.clear();
  own_process_ = welcome.own_process;
  launch_id_ = welcome.launch_id;
  lease_.begin(welcome, session_->joined, now_);
  if (work_.state == Work::kRunning && !welcome.resumed) {
    stop_workers(StopKind::kLoss, 0, "the job goes on without this node's round");
  }
  if (work_.state == Work::kFinished && !welcome.resumed) {
    work_.state = Work::kReaped;  // what its workers have done counts no more
    wait_for_place();
  }
  tell_work_again();
}

void MemberMachine::Impl::tell_work_again() {
  if (work_.failed() && !work_.failures_known) tell(NodeFailed{work_.round, work_.failures(now_)});
  if (work_.state == Work::kRunning && work_.any_success) tell(WorkerSucceeded{work_.round});
  if (work_.state == Work::kReaped && !work_.round.none()) tell(NodeReaped{work_.round});
  if (work_.state == Work::kFinished) tell(NodeFinished{work_.round});
}

void MemberMachine::Impl::hear(const Refused& refused) {
  const std::string reason = refused.reason.substr(0, kLongestSentence);
  const std::string line = "the coordinator at " + session_->where + " refuses this node: " + reason;
  end_session();
  lost_since_.reset();  // it is there
  if (leaving_) return;
  if (!refused.try_again) return leave({JobEnd::Kind::kRefused, kExitUsage, {line}}, 0, line);
  if (refusal_ != line) say(RendezvousLevel::kWarning, line);
  refusal_ = line;
  retry_at_ = now_ + (refused.after > Duration::zero() ? std::clamp(refused.after, kLeastRetry, kMostRetry) : kRetry);
  stop_workers(StopKind::kLoss, 0, line);
}

void MemberMachine::Impl::hear(const HeartbeatAnswer& answer) { lease_.answered(answer.number); }

void MemberMachine::Impl::hear(const Waiting& waiting) {
  waiting_sentence_ = waiting.sentence.substr(0, kLongestSentence);
  if (work_.alive()) return;
  if (waiting.round_runs) {
    unplaced_since_.reset();  // the job goes well: a spare stays
  } else {
    wait_for_place();
  }
}

void MemberMachine::Impl::wait_for_place() {
  if (!unplaced_since_) unplaced_since_ = now_;
}

void MemberMachine::Impl::tell_if_welcomed(MemberMessage message) {
  if (welcomed()) tell(std::move(message));
}

// --- Status: the coordinator knows most; without it, what is known here. ---

void MemberMachine::Impl::on(const StatusAsked& event) {
  if (!welcomed() || status_questions_.size() == kMostStatusQuestions) return show_own_status(event.id);
  status_questions_.push_back(event.id);
  tell(StatusRequest{event.id});
}

void MemberMachine::Impl::hear(const StatusReply& reply) {
  if (std::erase(status_questions_, reply.id) == 0) return;
  effects_.emplace_back(ShowStatus{reply.id, reply.json});
}

void MemberMachine::Impl::show_own_status(uint32_t id) {
  constexpr std::array kPhases = {"seeking",  "waiting",  "preparing", "running",
                                  "stopping", "finished", "leaving",   "done"};
  JobStatus status;
  status.told_by = "the agent on " + config_.host + ", which is not connected to the coordinator";
  status.launch_id = launch_id_;
  status.incarnation = newest_.incarnation;
  status.round = newest_;
  status.phase = kPhases[static_cast<size_t>(phase())];
  status.reason = reason();
  status.world = newest_.none() ? 0 : assignment_.world;
  status.restarts = assignment_.restart_count;
  status.min_nodes = config_.min_nodes;
  status.max_nodes = config_.max_nodes;
  status.max_restarts = config_.max_restarts;
  status.last_change = change_;
  status.last_change_age = now_ - changed_at_;
  status.nodes = {own_node()};
  effects_.emplace_back(ShowStatus{id, to_json(status)});
}

NodeStatus MemberMachine::Impl::own_node() const {
  NodeStatus node;
  node.agent = config_.agent;
  node.host = config_.host;
  if (!config_.addresses.empty()) node.address = config_.addresses.front();
  node.role = config_.role;
  node.workers = config_.workers;
  if (work_.alive() || work_.state == Work::kFinished || preparation_) {
    node.node_rank = assignment_.node_rank;
    node.first_rank = assignment_.first_rank;
  }
  if (preparation_) node.state = NodeState::kPreparing;
  if (work_.state == Work::kFinished) node.state = NodeState::kFinished;
  if (work_.state == Work::kStopping) node.state = NodeState::kStopping;
  if (work_.state == Work::kRunning) node.state = NodeState::kRunning;
  return node;
}

}  // namespace ferrun
