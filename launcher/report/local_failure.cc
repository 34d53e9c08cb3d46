#include "launcher/report/local_failure.h"

#include <algorithm>
#include <utility>

#include "common/duration_text.h"
#include "common/printable_text.h"
#include "common/text.h"
#include "launcher/exit_statuses.h"
#include "launcher/report/failure_report.h"

namespace ferrun {
namespace {

constexpr size_t kLongestLine = 500;
constexpr std::string_view kLeftOut = "    (...)";

// Longer lines lose their end.
void shorten(std::string& line) {
  if (line.size() <= kLongestLine) return;
  line.resize(cut_utf8(line, kLongestLine).size());
  line += "...";
}

// The first line, then as many of the last lines as there is room for: the end of a traceback says most.
std::vector<std::string> fitting(std::vector<std::string> lines) {
  size_t bytes = 0;
  for (std::string& line : lines) {
    shorten(line);
    bytes += line.size() + 1;
  }
  size_t skipped = 0;
  while (bytes > LocalFailure::kReportBytes) {
    if (skipped == 0) bytes += kLeftOut.size() + 1;
    bytes -= lines[1 + skipped].size() + 1;
    ++skipped;
  }
  if (skipped == 0) return lines;
  lines[skipped] = kLeftOut;
  lines.erase(lines.begin() + 1, lines.begin() + static_cast<std::ptrdiff_t>(skipped));
  return lines;
}

// "rank 5 (local_rank 1, pid 4711) exited with code 3", and what ferrun's signal has to do with it.
std::string headline(const WorkerRecord& record, const WorkerEvidence& evidence, FailureKind kind, int first_rank) {
  const std::string text = describe_worker(record, first_rank);
  if (was_met_on_its_way_out(record, evidence)) {
    return describe_rank(record, first_rank) + " was ending by " +
           (evidence.error.is_crash() ? "a crash" : "an exception") + " when ferrun's " +
           signal_name(record.status->signal()) + " met it";
  }
  return kind == FailureKind::kCutShort ? text + ", stopped while it was ending by an exception" : text;
}

}  // namespace

LocalFailure local_failure(const WorkerRecord& record, const FailedWorker& left_behind, const GroupPlace& place,
                           TimePoint now) {
  const int first_rank = place.first_rank;
  LocalFailure failure;
  failure.local_rank = record.local_rank;
  failure.rank = first_rank + record.local_rank;
  failure.kind = failure_kind(record, left_behind.evidence);
  failure.status =
      record.status ? own_end(record, left_behind.evidence) : ExitStatus::exited(exit_status_of(*record.start_error));
  failure.age = now - record.ended_at;
  std::vector<std::string> lines = {printable(headline(record, left_behind.evidence, failure.kind, first_rank))};
  if (!record.start_error) {
    lines.push_back("  when:   " + measured_text(record.ended_at - record.started_at) + " after its start" +
                    (place.attempt == 0 ? "" : ", in attempt " + std::to_string(place.attempt) + " (the first is 0)"));
    for (std::string& line :
         evidence_lines(left_behind.evidence, left_behind.stderr_file, left_behind.stderr_inherited)) {
      lines.push_back(std::move(line));
    }
  }
  failure.report = fitting(std::move(lines));
  return failure;
}

LocalFailure start_failure(const Error& error, int first_rank) {
  WorkerRecord never_started;
  never_started.start_error = error;
  return local_failure(never_started, {}, {first_rank, 0}, never_started.ended_at);
}

void order_by_error_files(std::vector<ExaminedWorker>& workers) {
  std::vector<ExaminedWorker*> stamped;
  std::vector<TimePoint> ends;
  for (ExaminedWorker& worker : workers) {
    if (!worker.left_behind.evidence.error.timestamp) continue;
    stamped.push_back(&worker);
    ends.push_back(worker.record.ended_at);
  }
  std::ranges::sort(ends);
  std::ranges::stable_sort(stamped, {},
                           [](const ExaminedWorker* worker) { return *worker->left_behind.evidence.error.timestamp; });
  for (size_t at = 0; at < stamped.size(); ++at) stamped[at]->record.ended_at = ends[at];
}

}  // namespace ferrun
