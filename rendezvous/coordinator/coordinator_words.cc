// What the coordinator machine says about itself: reasons, what it waits for, its status.
#include <algorithm>
#include <array>

#include "rendezvous/coordinator/coordinator_impl.h"
#include "rendezvous/job/job_status.h"
#include "rendezvous/job/wording.h"

namespace ferrun {
namespace {

constexpr std::array kPhases = {"gathering", "preparing", "running", "stopping", "closing", "closed"};

}  // namespace

std::string CoordinatorMachine::Impl::terms_origin() const {
  return config_.own_process ? "the coordinator" : "the coordinator's node";
}

std::string CoordinatorMachine::Impl::reason() const {
  switch (phase_) {
    case Phase::kGathering: return gathering_words();
    case Phase::kPreparing:
      return "preparing round " + to_string(round_->id()) + ": " + preparation_->words(*round_) +
             gathering_.failed_start_words();
    case Phase::kRunning: return running_words();
    case Phase::kStopping:
      return "stopping round " + to_string(round_->id()) + ": " + stopping_->reason() + stopping_->awaited_words();
    case Phase::kClosing: return closing_->words();
    case Phase::kClosed: return closing_ ? end_words(closing_->end()) : "the coordinator's own node has left";
  }
  return {};
}

std::string CoordinatorMachine::Impl::gathering_words() const {
  if (retiring_) return gathering_.why();
  const RoundDecision decision = gathering_.look(nodes(), stall_.judged());
  return (decision.form ? claim_.words() : decision.why) + gathering_.failed_start_words();
}

std::string CoordinatorMachine::Impl::running_words() const {
  if (takeover_) return takeover_->words() + " (" + in_words(takeover_->until() - stall_.judged()) + ")";
  std::string words = "round " + to_string(round_->id()) + " runs on " + counted(round_->size(), "node");
  if (!round_->reason().empty()) words += ": " + round_->reason();
  return words;
}

std::string CoordinatorMachine::Impl::spare_words() const {
  if (phase_ != Phase::kRunning || takeover_) return reason();
  const std::string words = running_.spare_words(round_->id(), stall_.judged());
  return words.empty() ? reason() : words;
}

// --- Waiting. ---

void CoordinatorMachine::Impl::explain() {
  if (!announcer_.is_due(now_)) return;
  announcer_.begin(members_.size(), now_);
  if (phase_ == Phase::kClosing || phase_ == Phase::kClosed) return;
  std::vector<Member*> waiting = members_.all();
  std::erase_if(waiting, [](const Member* member) { return !member->present() || member->seat; });
  if (waiting.empty()) return;
  const std::string sentence = spare_words();
  const bool tells_time = (phase_ == Phase::kGathering && gathering_.deadline()) ||
                          (phase_ == Phase::kRunning && running_.wants_to_scale(joined()));
  if (announcer_.compose(sentence, tells_time)) say(RendezvousLevel::kDebug, sentence);
  std::vector<ConnectionId> connections;
  for (Member* member : waiting) {
    if (announcer_.takes_turn(*member)) connections.push_back(member->session->connection);
  }
  outbox_.tell_all(std::move(connections), Waiting{sentence, phase_ == Phase::kRunning});
}

// --- Status. ---

NodeState CoordinatorMachine::Impl::state_of(const Member& member) const {
  if (member.link == Member::Link::kCut) return NodeState::kLost;
  if (member.link != Member::Link::kOpen) return NodeState::kSilent;
  if (member.seat && phase_ == Phase::kPreparing) return NodeState::kPreparing;
  if (member.seat && phase_ == Phase::kRunning) {
    return running_.has_finished(*member.seat) ? NodeState::kFinished : NodeState::kRunning;
  }
  if (member.held) return NodeState::kStopping;
  return phase_ == Phase::kRunning && running_.is_full() ? NodeState::kSpare : NodeState::kWaiting;
}

JobStatus CoordinatorMachine::Impl::status(TimePoint now) const {
  JobStatus status;
  status.told_by = terms_origin();
  status.launch_id = record_.launch_id();
  status.incarnation = record_.incarnation();
  status.round =
      round_ && phase_ != Phase::kGathering ? round_->id() : record_.newest();  // a member may know of a newer one
  status.phase = kPhases[static_cast<size_t>(phase_)];
  status.reason = reason();
  status.min_nodes = config_.min_nodes;
  status.max_nodes = config_.max_nodes;
  status.restarts = record_.restarts();
  status.max_restarts = config_.max_restarts;
  status.last_change = last_change_;
  status.last_change_age = now - last_change_at_;
  status.missing = departures_.all();
  if (round_) status.world = round_->world();
  for (const Member* member : members_.all()) {
    NodeStatus node;
    node.agent = member->agent;
    node.host = member->host;
    node.address = member->observed_address;
    node.role = member->role;
    node.workers = member->workers;
    node.node_rank = member->seat;
    if (member->seat) node.first_rank = round_->at(*member->seat).first_rank;
    node.state = state_of(*member);
    node.silence = now - member->last_arrival;
    status.nodes.push_back(std::move(node));
  }
  return status;
}

}  // namespace ferrun
