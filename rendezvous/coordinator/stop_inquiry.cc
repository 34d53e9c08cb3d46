#include "rendezvous/coordinator/stop_inquiry.h"

#include <algorithm>
#include <utility>

#include "rendezvous/job/wording.h"

namespace ferrun {
namespace {

// Beyond these, failures of one round keep their first line only.
constexpr size_t kReportsKept = 256;

}  // namespace

StopInquiry::StopInquiry(const Limits& limits, StopKind kind, std::string reason, bool cause_wanted,
                         const RoundRoster& roster, TimePoint now)
    : limits_(limits),
      kind_(kind),
      reason_(std::move(reason)),
      began_(now),
      round_began_(roster.began()),
      is_young_(!roster.is_adopted() && now - roster.began() < limits.min_uptime),
      awaited_(roster.size()),
      reaped_(roster.size()),
      running_(roster.size()),
      cause_wanted_(cause_wanted) {}

void StopInquiry::await(int node_rank) {
  if (awaits(node_rank)) return;
  const auto at = static_cast<size_t>(node_rank);
  awaited_[at] = true;
  ++unacknowledged_;
  if (running_[at] || reaped_[at]) return;
  running_[at] = true;
  ++unreaped_;
}

void StopInquiry::acknowledge(int node_rank) {
  if (!awaits(node_rank)) return;
  awaited_[static_cast<size_t>(node_rank)] = false;
  --unacknowledged_;
}

void StopInquiry::note_reaped(int node_rank) {
  give_up(node_rank);
  reaped_[static_cast<size_t>(node_rank)] = true;
}

void StopInquiry::give_up(int node_rank) {
  acknowledge(node_rank);
  const auto at = static_cast<size_t>(node_rank);
  if (!running_[at]) return;
  running_[at] = false;
  --unreaped_;
}

bool StopInquiry::turn_into_failure(TimePoint now) {
  if (kind_ != StopKind::kLostPeer || !explained_) return false;
  kind_ = StopKind::kFailure;
  began_ = now;
  for (size_t at = 0; at < running_.size(); ++at) {
    if (running_[at]) await(static_cast<int>(at));
  }
  return true;
}

void StopInquiry::see_failures(const RoundRoster::Seat& seat, int node_rank, const std::vector<LocalFailure>& failures,
                               std::optional<Duration> round_trip, TimePoint now) {
  if (!cause_wanted_) return;
  for (LocalFailure failure : failures) {
    if (failure.local_rank < 0 || failure.local_rank >= seat.workers) continue;
    failure.rank = seat.first_rank + failure.local_rank;
    if (sightings_.size() >= kReportsKept && failure.report.size() > 1) failure.report.resize(1);
    see(sight(seat.host, node_rank, std::move(failure), now, round_trip.value_or(now - round_began_), round_began_));
  }
}

// A node that tells of its failures has not been lost. The same failure told twice is known better.
void StopInquiry::see(FailureSighting sighting) {
  const auto [first, last] = by_node_.equal_range(sighting.node_rank);
  for (auto at = first; at != last; ++at) {
    FailureSighting& earlier = sightings_[at->second];
    if (earlier.failure.kind == FailureKind::kLostNode) {
      earlier = std::move(sighting);
      return;
    }
    if (earlier.failure.local_rank != sighting.failure.local_rank) continue;
    const TimePoint earliest = std::max(earlier.earliest, sighting.earliest);
    const TimePoint latest = std::min(earlier.latest, sighting.latest);
    if (earliest <= latest) {
      earlier.earliest = earliest;
      earlier.latest = latest;
    }
    return;
  }
  if (explains_itself(sighting.failure.kind)) explained_ = true;
  by_node_.emplace(sighting.node_rank, sightings_.size());
  sightings_.push_back(std::move(sighting));
}

void StopInquiry::see_loss(const RoundRoster::Seat& seat, int node_rank, TimePoint last_sign, const std::string& why,
                           TimePoint now) {
  if (!cause_wanted_ || by_node_.contains(node_rank)) return;  // it has told what failed
  LocalFailure loss;
  loss.kind = FailureKind::kLostNode;
  loss.rank = seat.first_rank;
  loss.status = ExitStatus::exited(kExitRendezvous);
  loss.report = {"was lost: " + why};
  see({seat.host, node_rank, std::move(loss), std::max(last_sign, round_began_), now});
}

// Connections are lost to somebody. While nobody tells more than that, a node that does not answer is waited for:
// either it does, or its silence shows that it was lost. So is one whose workers have time for their last words.
TimePoint StopInquiry::cause_deadline() const {
  return began_ + (explained_ ? limits_.cause_wait : std::max(limits_.cause_wait + kLastWords, limits_.loss));
}

// Losses cost nothing when the round had been running for a while; failures cost a restart, unless a rule of --on-exit
// says otherwise.
StopInquiry::Verdict StopInquiry::decide(const RestartPolicy& policy, bool restarts_left) {
  cause_wanted_ = false;
  const JobRootCause root = find_root_cause(sightings_);
  const FailureSighting& cause = sightings_[root.cause];
  const LocalFailure& failure = cause.failure;
  Verdict verdict{Verdict::Kind::kNextRound, headline(cause), !is_young_, {}, {}};
  if (failure.kind == FailureKind::kLostNode && !is_young_) return verdict;
  const ExitRule* const rule = policy.rule_for(failure);
  const OnExit then = rule == nullptr ? OnExit::kSpend : rule->then;
  if (then == OnExit::kRestart) verdict.rule = rule->text;
  if (then == OnExit::kRestart || (then == OnExit::kSpend && restarts_left && !is_final(failure))) {
    verdict.kind = Verdict::Kind::kRestart;
    return verdict;
  }
  verdict.kind = Verdict::Kind::kFailed;
  verdict.end = {JobEnd::Kind::kFailed, failure.status.shell_code(), describe(sightings_, root)};
  if (verdict.end.exit_status == 0) verdict.end.exit_status = 1;  // whatever a peer says, a failure is none
  if (then == OnExit::kStop) verdict.end.report.push_back(no_restart_line(*rule));
  return verdict;
}

std::string StopInquiry::awaited_words() const {
  if (unacknowledged_ == 0 || explained_ || !cause_wanted_) return "";
  return "; waiting for " + counted(unacknowledged_, "node") + " to answer or to be lost";
}

}  // namespace ferrun
