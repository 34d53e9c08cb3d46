// What the coordinator machine says about itself: reasons, what it waits for, its status.
#include <algorithm>
#include <array>

#include "rendezvous/coordinator/coordinator_impl.h"
#include "rendezvous/job/job_status.h"
#include "rendezvous/job/wording.h"

namespace ferrun {
namespace {

using namespace std::chrono_literals;

// Between two sentences; between two that differ in a time only.
constexpr Duration kExplainInterval = 1s;
// For each node, so that a large job's nodes are not kept from joining by what they are told.
constexpr Duration kExplainTime = 500us;
constexpr Duration kRecountInterval = 5s;

constexpr std::array kPhases = {"gathering", "preparing", "running", "stopping", "closing", "closed"};

}  // namespace

std::string CoordinatorMachine::Impl::terms_origin() const {
  return config_.own_process ? "the coordinator" : "the coordinator's node";
}

std::string CoordinatorMachine::Impl::reason() const {
  switch (phase_) {
    case Phase::kGathering: return gathering_words();
    case Phase::kPreparing:
      return "preparing round " + to_string(round_->id) + ": " + preparation_step() + failed_start_words();
    case Phase::kRunning: return running_words();
    case Phase::kStopping: return stopping_words();
    case Phase::kClosing: return closing_words();
    case Phase::kClosed: return closing_ ? end_words(closing_->end) : "the coordinator's own node has left";
  }
  return {};
}

std::string CoordinatorMachine::Impl::gathering_words() const {
  if (retiring_) return decision_.why;
  const RoundDecision decision = decide_round(gathering(), judged_);
  const std::string words = decision.form ? claim_words() : decision.why;
  return words + failed_start_words();
}

std::string CoordinatorMachine::Impl::failed_start_words() const {
  return last_failure_.empty() ? "" : "; the last round could not start: " + last_failure_;
}

std::string CoordinatorMachine::Impl::claim_words() const {
  return "waiting for the coordinator's state to be saved" +
         (claim_error_.empty() ? "" : ": " + plain_text(claim_error_));
}

// What a preparation lacks.
std::string CoordinatorMachine::Impl::preparation_step() const {
  const auto missing = [this](auto&& lacks, const std::string& what) {
    NodeGroup nodes;
    for (const Seat& seat : round_->seats) {
      if (!lacks(seat)) continue;
      if (nodes.names.size() < kNamesListed) nodes.names.push_back(seat.host);
      ++nodes.count;
    }
    return nodes.count == 0 ? "" : "waiting for " + listed(nodes.names, nodes.count) + what;
  };
  std::string words;
  if (!round_->store) {
    const Seat& first = round_->seats.front();
    words = "waiting for " + first.host + " to open the store";
  } else {
    words = missing([](const Seat& seat) { return !seat.prepared; }, " to be ready");
    if (words.empty()) {
      words = missing([](const Seat& seat) { return !seat.reached; },
                      " to reach the store at " + plain_text(round_->store->addresses.front()) + ", port " +
                          std::to_string(round_->store->port) + " on " + round_->seats.front().host);
    }
  }
  return words.empty() ? "waiting for the coordinator's state to be saved" : words;
}

std::string CoordinatorMachine::Impl::running_words() const {
  if (recovery_) return recovery_words() + " (" + in_words(recovery_->until - judged_) + ")";
  std::string words = "round " + to_string(round_->id) + " runs on " + counted(round_->seats.size(), "node");
  if (!round_->reason.empty()) words += ": " + round_->reason;
  return words;
}

std::string CoordinatorMachine::Impl::stopping_words() const {
  std::string words = "stopping round " + to_string(round_->id) + ": " + stopping_->reason;
  if (stopping_->unacknowledged == 0 || stopping_->explained || !stopping_->cause_wanted) return words;
  return words + "; waiting for " + counted(stopping_->unacknowledged, "node") + " to answer or to be lost";
}

std::string CoordinatorMachine::Impl::recovery_words() const {
  if (recovery_->round.none()) {
    return "a new coordinator knows nothing of the rounds of an earlier one: waiting for their leases to end";
  }
  const size_t absent = recovery_->nodes == 0 ? 0 : recovery_->absent.size();
  const std::string whom =
      absent == 0 ? "the nodes" : std::to_string(absent) + " of " + counted(recovery_->nodes, "node");
  return "a new coordinator has taken over: waiting for " + whom + " of round " + to_string(recovery_->round) +
         " to come back, or for their leases to end" + (absent == 0 ? "" : ": " + absent_words());
}

std::string CoordinatorMachine::Impl::absent_words() const {
  std::vector<std::string> names;
  for (const int rank : recovery_->absent) {
    if (names.size() == kNamesListed) break;
    const bool known = round_ && static_cast<size_t>(rank) < round_->seats.size();
    names.push_back(known ? round_->seats[static_cast<size_t>(rank)].host : "node of rank " + std::to_string(rank));
  }
  return listed(names, recovery_->absent.size());
}

std::string CoordinatorMachine::Impl::end_words(const JobEnd& end) {
  switch (end.kind) {
    case JobEnd::Kind::kSuccess: return "the job has succeeded";
    case JobEnd::Kind::kStopped: return "the job was stopped" + (end.report.empty() ? "" : ": " + end.report.back());
    default: break;
  }
  const auto root =
      std::ranges::find_if(end.report, [](const std::string& line) { return line.starts_with(kRootCauseLabel); });
  return "the job has failed" + (root == end.report.end() ? "" : ": " + root->substr(root->find(": ") + 2));
}

std::string CoordinatorMachine::Impl::closing_words() const {
  std::string words = end_words(closing_->end);
  if (!closing_->told) return words + "; this is being saved";
  return words + "; waiting until " + counted(closing_->awaited + closing_->expected.size(), "node") +
         " have acknowledged it";
}

std::string CoordinatorMachine::Impl::spare_words() const {
  if (phase_ != Phase::kRunning || recovery_) return reason();
  if (round_->any_success)
    return "workers of round " + to_string(round_->id) + " have finished already: nobody joins any more";
  if (round_->seats.size() >= static_cast<size_t>(config_.max_nodes)) {
    return "all " + counted(round_->seats.size(), "node") +
           " are there: this one is a spare and takes the place of one "
           "that is lost";
  }
  if (!scale_at_ || is_over(*scale_at_)) return reason();
  return "joins disturb the job at most every " + in_words(config_.scale_interval) + ": " +
         in_words(*scale_at_ - judged_) + " left";
}

// --- Waiting. ---

void CoordinatorMachine::Impl::explain() {
  if (now_ < explain_at_ || !(news_ || (tells_time_ && now_ >= recount_at_))) return;
  news_ = false;
  tells_time_ = false;
  if (phase_ == Phase::kClosing || phase_ == Phase::kClosed) return;
  std::vector<Member*> waiting = members_.all();
  std::erase_if(waiting, [](const Member* member) { return !member->present() || member->seat; });
  explain_at_ = now_ + std::max(kExplainInterval, kExplainTime * static_cast<int64_t>(members_.size()));
  recount_at_ = now_ + kRecountInterval;
  if (waiting.empty()) return;
  tells_time_ = (phase_ == Phase::kGathering && decision_.until) || (phase_ == Phase::kRunning && wants_to_scale());
  const std::string sentence = spare_words();
  if (sentence != told_) {
    told_ = sentence;
    ++told_number_;
    say(RendezvousLevel::kDebug, sentence);
  }
  TellAll all{{}, Waiting{sentence, phase_ == Phase::kRunning}};
  for (Member* member : waiting) {
    if (std::exchange(member->told, told_number_) != told_number_)
      all.connections.push_back(member->session->connection);
  }
  if (!all.connections.empty()) effects_.emplace_back(std::move(all));
}

std::optional<TimePoint> CoordinatorMachine::Impl::explain_deadline() const {
  if (phase_ == Phase::kClosing || phase_ == Phase::kClosed) return std::nullopt;
  if (news_) return explain_at_;
  if (tells_time_) return recount_at_;
  return std::nullopt;
}

// --- Status. ---

NodeState CoordinatorMachine::Impl::state_of(const Member& member) const {
  if (member.link == Member::Link::kCut) return NodeState::kLost;
  if (member.link != Member::Link::kOpen) return NodeState::kSilent;
  if (member.seat && phase_ == Phase::kPreparing) return NodeState::kPreparing;
  if (member.seat && phase_ == Phase::kRunning) {
    return round_->seats[static_cast<size_t>(*member.seat)].finished ? NodeState::kFinished : NodeState::kRunning;
  }
  if (member.held) return NodeState::kStopping;
  const bool full = phase_ == Phase::kRunning && round_->seats.size() >= static_cast<size_t>(config_.max_nodes);
  return full ? NodeState::kSpare : NodeState::kWaiting;
}

std::string CoordinatorMachine::Impl::status_json(TimePoint now) const {
  JobStatus status;
  status.told_by = terms_origin();
  status.launch_id = launch_id_;
  status.incarnation = incarnation_;
  status.round = round_ && phase_ != Phase::kGathering ? round_->id : newest_;  // a member may know of a newer one
  status.phase = kPhases[static_cast<size_t>(phase_)];
  status.reason = reason();
  status.min_nodes = config_.min_nodes;
  status.max_nodes = config_.max_nodes;
  status.restarts = restarts_;
  status.max_restarts = config_.max_restarts;
  status.last_change = last_change_;
  status.last_change_age = now - last_change_at_;
  for (const Departure& departure : departures_) status.missing.push_back(departure.host + " " + departure.what);
  if (round_) {
    for (const Seat& seat : round_->seats) status.world += seat.workers;
  }
  for (const Member* member : members_.all()) {
    NodeStatus node;
    node.agent = member->agent;
    node.host = member->host;
    node.address = member->observed_address;
    node.role = member->role;
    node.workers = member->workers;
    node.group_rank = member->seat;
    if (member->seat) node.first_rank = round_->seats[static_cast<size_t>(*member->seat)].first_rank;
    node.state = state_of(*member);
    node.silence = now - member->last_arrival;
    status.nodes.push_back(std::move(node));
  }
  return to_json(status);
}

}  // namespace ferrun
