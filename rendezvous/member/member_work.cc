#include "rendezvous/member/member_work.h"

#include <algorithm>
#include <utility>

#include "common/text.h"

namespace ferrun {
namespace {

constexpr size_t kLineBytes = 256;  // of a failure that keeps only its first line

size_t bytes_of(const std::vector<std::string>& lines) {
  size_t bytes = 0;
  for (const std::string& line : lines) bytes += line.size() + 1;
  return bytes;
}

void cut(std::string& line, size_t most) { line.resize(cut_utf8(line, most).size()); }

// The first line stays; of the evidence what fits, from its beginning.
void limit(std::vector<std::string>& lines, size_t most) {
  if (lines.empty()) return;
  cut(lines.front(), std::min(most, kLineBytes * 4));
  while (lines.size() > 1 && bytes_of(lines) > most) lines.pop_back();
}

}  // namespace

void MemberWork::note(std::vector<LocalFailure> failures, TimePoint now) {
  for (LocalFailure& failure : failures) {
    if (failures_.size() == kMostFailures) return;
    const TimePoint noticed = now - std::max(failure.age, Duration::zero());
    failures_.push_back({std::move(failure), noticed});
  }
}

std::vector<LocalFailure> MemberWork::failures(TimePoint now) const {
  std::vector<LocalFailure> failures;
  for (const Known& known : failures_) {
    failures.push_back(known.failure);
    failures.back().age = now - known.noticed;
  }
  return bounded(std::move(failures));
}

std::vector<LocalFailure> bounded(std::vector<LocalFailure> failures) {
  if (failures.size() > kMostFailures) failures.resize(kMostFailures);
  size_t bytes = 0;
  for (LocalFailure& failure : failures) {
    limit(failure.report, LocalFailure::kReportBytes);
    if (bytes + bytes_of(failure.report) > kFailuresReportBytes) {
      failure.report.resize(std::min<size_t>(failure.report.size(), 1));
      for (std::string& line : failure.report) cut(line, kLineBytes);
    }
    bytes += bytes_of(failure.report);
  }
  return failures;
}

}  // namespace ferrun
