#include "rendezvous/coordinator/job_root_cause.h"

#include <algorithm>
#include <tuple>

#include "rendezvous/job/wording.h"

namespace ferrun {
namespace {

constexpr size_t kOthersShown = 8;

void add_lines(const std::vector<FailureSighting>& sightings, const std::vector<size_t>& which, const char* label,
               std::vector<std::string>& lines) {
  for (size_t at = 0; at < std::min(which.size(), kOthersShown); ++at) {
    lines.push_back(label + headline(sightings[which[at]]));
  }
  if (which.size() > kOthersShown) {
    lines.push_back(label + std::string("and ") + std::to_string(which.size() - kOthersShown) + " more");
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

FailureSighting sight(std::string host, int group_rank, LocalFailure failure, TimePoint arrival, Duration round_trip,
                      TimePoint round_began) {
  const Duration longest = std::max(arrival - round_began, Duration::zero());
  failure.age = std::clamp(failure.age, Duration::zero(), longest);
  const TimePoint latest = arrival - failure.age;
  const TimePoint earliest = std::max(latest - std::max(round_trip, Duration::zero()), round_began);
  return {std::move(host), group_rank, std::move(failure), std::min(earliest, latest), latest};
}

JobRootCause find_root_cause(const std::vector<FailureSighting>& sightings) {
  const TimePoint first_certain = std::ranges::min(sightings, {}, &FailureSighting::latest).latest;
  JobRootCause root;
  std::vector<size_t> possible;
  for (size_t at = 0; at < sightings.size(); ++at) {
    (sightings[at].earliest <= first_certain ? possible : root.later).push_back(at);
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
  if (!report.empty()) return sighting.host + (whole_node ? " " : ": ") + plain_text(report.front(), 1024);
  return sighting.host + ": rank " + std::to_string(sighting.failure.rank) + " " + sighting.failure.status.describe();
}

std::vector<std::string> describe(const std::vector<FailureSighting>& sightings, const JobRootCause& root) {
  std::vector<std::string> lines;
  add_lines(sightings, root.later, "failed later: ", lines);
  add_lines(sightings, root.ties, "failed at the same time, as far as can be told: ", lines);
  lines.push_back("root cause: " + headline(sightings[root.cause]));
  add_evidence(sightings[root.cause].failure.report, lines);
  return lines;
}

}  // namespace ferrun
