#include "rendezvous/coordinator/job_root_cause.h"

#include <algorithm>
#include <tuple>

#include "rendezvous/job/wording.h"

namespace ferrun {
namespace {

constexpr size_t kOthersShown = 8;

// Failures of a higher standing are no cause while there is one of a lower.
int standing(const FailureSighting& sighting) {
  const FailureKind kind = sighting.failure.kind;
  if (explains_itself(kind)) return 0;
  return kind == FailureKind::kCutShort ? 1 : 2;
}

std::string when(const FailureSighting& other, const FailureSighting& cause, bool tie) {
  if (tie) return ", at the same time as far as can be told";
  if (other.latest < cause.earliest) {
    return standing(other) == 2 ? ", before it, but only lost its connection to another rank"
                                : ", before it, but was being stopped";
  }
  return ", " + in_words(other.latest - cause.earliest) + " later";
}

void add_others(const std::vector<FailureSighting>& sightings, const JobRootCause& root,
                const std::vector<size_t>& which, bool ties, std::vector<std::string>& lines) {
  for (size_t at = 0; at < std::min(which.size(), kOthersShown); ++at) {
    const FailureSighting& other = sightings[which[at]];
    lines.push_back("  " + headline(other) + when(other, sightings[root.cause], ties));
  }
  if (which.size() > kOthersShown) {
    lines.push_back("  and " + std::to_string(which.size() - kOthersShown) + " more" +
                    (ties ? ", at the same time" : ""));
  }
}

// From the end backwards the evidence is worth less: what does not fit is left out there.
void add_evidence(const std::vector<std::string>& report, std::vector<std::string>& lines) {
  size_t bytes = 0;
  for (size_t at = 1; at < report.size(); ++at) {
    bytes += report[at].size() + 1;
    if (bytes > LocalFailure::kReportBytes) return;
    lines.push_back(report[at]);
  }
}

}  // namespace

FailureSighting sight(std::string host, int node_rank, LocalFailure failure, TimePoint arrival, Duration round_trip,
                      TimePoint round_began) {
  const Duration longest = std::max(arrival - round_began, Duration::zero());
  failure.age = std::clamp(failure.age, Duration::zero(), longest);
  const TimePoint latest = arrival - failure.age;
  const TimePoint earliest = std::max(latest - std::max(round_trip, Duration::zero()), round_began);
  return {std::move(host), node_rank, std::move(failure), std::min(earliest, latest), latest};
}

// Who lost a connection lost it to somebody: it is no cause where anybody tells more, however early it was noticed. Nor
// is one that ferrun stopped where somebody was not.
JobRootCause find_root_cause(const std::vector<FailureSighting>& sightings) {
  const int best = standing(*std::ranges::min_element(sightings, {}, standing));
  const auto is_candidate = [best](const FailureSighting& each) { return standing(each) == best; };
  TimePoint first_certain = TimePoint::max();
  for (const FailureSighting& each : sightings) {
    if (is_candidate(each)) first_certain = std::min(first_certain, each.latest);
  }
  JobRootCause root;
  std::vector<size_t> possible;
  for (size_t at = 0; at < sightings.size(); ++at) {
    const bool may_be_first = is_candidate(sightings[at]) && sightings[at].earliest <= first_certain;
    (may_be_first ? possible : root.later).push_back(at);
  }
  const auto order = [&sightings](size_t at) {
    const FailureSighting& sighting = sightings[at];
    return std::tuple(sighting.failure.kind, sighting.failure.rank, sighting.latest, at);
  };
  std::ranges::sort(possible, {}, order);
  root.cause = possible.front();
  root.ties.assign(possible.begin() + 1, possible.end());
  std::ranges::sort(root.later, {}, [&](size_t at) { return std::tuple(sightings[at].latest, at); });
  return root;
}

std::string headline(const FailureSighting& sighting) {
  const std::vector<std::string>& report = sighting.failure.report;
  const bool whole_node = sighting.failure.kind == FailureKind::kLostNode;
  const std::string where = sighting.host.empty() ? "" : sighting.host + (whole_node ? " " : ": ");
  if (!report.empty()) return where + plain_text(report.front(), 1024);
  return where + "rank " + std::to_string(sighting.failure.rank) + " " + sighting.failure.status.describe();
}

std::vector<std::string> describe(const std::vector<FailureSighting>& sightings, const JobRootCause& root) {
  std::vector<std::string> lines;
  if (sightings.size() > 1) lines.push_back("Failed as well:");
  add_others(sightings, root, root.later, false, lines);
  add_others(sightings, root, root.ties, true, lines);
  lines.push_back(kRootCauseLabel + headline(sightings[root.cause]));
  add_evidence(sightings[root.cause].failure.report, lines);
  return lines;
}

}  // namespace ferrun
