// The check of root causes: what the coordinator can know of failures, and what it makes of that.
#include <algorithm>
#include <cstdlib>

#include "tests/sim/checker.h"

namespace ferrun::sim {
namespace {

using namespace std::chrono_literals;

// Of the worker that a line names; 0: it names none.
int pid_in(const std::string& line) {
  const size_t at = line.find("pid ");
  return at == std::string::npos ? 0 : std::atoi(line.c_str() + at + 4);
}

}  // namespace

// The answer for a round that was given up meanwhile says nothing: the node may have been asked anew before it came,
// and the coordinator listens to it no more.
void Checker::note_round_trip(Node& node, RoundId answered) const {
  const Round& round = *find(answered);
  if (round.went || round.stopped) return;
  node.round_trip = std::min(node.round_trip.value_or(now_ - node.asked), now_ - node.asked);
}

void Checker::note_failures(uint32_t agent, RoundId id, const std::vector<LocalFailure>& failures, TrueTime sent) {
  const Round* const round = find(id);
  const Slot* const slot = round == nullptr ? nullptr : find(*round, agent);
  if (slot == nullptr || slot->lost || nodes_[agent].goodbye || went_ != id || !wants_cause_) return;
  for (const LocalFailure& failure : failures) {
    const auto found = failures_.find(failure.report.empty() ? 0 : pid_in(failure.report[0]));
    if (found == failures_.end() || found->second.arrived) continue;
    found->second.arrived = now_;
    found->second.travelled = now_ - sent;
    found->second.uncertain = nodes_[agent].round_trip.value_or(now_ - round->went_at);
  }
}

void Checker::check_root_cause(const JobEnd& end) {
  if (end.kind != JobEnd::Kind::kFailed) return;
  const auto line =
      std::ranges::find_if(end.report, [](const auto& each) { return each.starts_with(kRootCauseLabel); });
  if (line == end.report.end()) return fail("RootCauseFirst", "the job fails and no cause is named");
  check_root_cause(*line);
}

// The coordinator places a failure between two moments: its message's arrival without the age that this names, and a
// round trip before. Clocks run apart by 1 % at most.
void Checker::check_root_cause(const std::string& line) {
  const int pid = pid_in(line);
  if (pid == 0) return;  // a lost node, or a worker that could not be started
  const auto found = failures_.find(pid);
  if (found == failures_.end()) return fail("RootCauseFirst", "did not fail by itself: " + line);
  const Failure& cause = found->second;
  if (cause.round != went_) return fail("RootCauseFirst", "has failed in another round: " + line);
  if (!cause.arrived) return;  // from a node that seemed to be lost
  const Round& round = *find(cause.round);
  const TrueTime earliest = cause.noticed + cause.travelled - cause.uncertain;
  const bool began_with_lost_peer = std::ranges::any_of(failures_, [&cause](const auto& each) {
    return each.second.round == cause.round && each.second.lost_peer && !cause.lost_peer;
  });
  if (!began_with_lost_peer && round.stopped && earliest > round.stopped_at + 1ms + (now_ - round.stopped_at) / 50) {
    fail("RootCauseFirst", "the round was being stopped before: " + line);
  }
  for (const auto& [other, failure] : failures_) {
    if (failure.round != cause.round || !failure.arrived || other == pid) continue;
    if (cause.lost_peer && !failure.lost_peer) {
      fail("RootCauseFirst", "only lost a connection, and pid " + std::to_string(other) + " failed: " + line);
    }
    if (failure.lost_peer && !cause.lost_peer) continue;
    const TrueTime latest = failure.noticed + failure.travelled;
    const Duration tolerance = 1ms + (now_ - std::min(failure.noticed, cause.noticed)) / 50;
    if (earliest <= latest + tolerance) continue;
    fail("RootCauseFirst", "pid " + std::to_string(other) + " on " + name(failure.agent) + " failed before: " + line);
  }
}

}  // namespace ferrun::sim
