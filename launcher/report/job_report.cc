#include "launcher/report/job_report.h"

#include <algorithm>

#include "common/duration_text.h"
#include "common/printable_text.h"
#include "common/text.h"
#include "launcher/report/failure_report.h"
#include "rendezvous/job/restart_policy.h"

namespace ferrun {
namespace {

constexpr size_t kJobRuleWidth = 78;
constexpr size_t kListedWorkers = 8;
constexpr size_t kMostLines = 200;  // of the job's report: the root cause, at its end, stays on the screen

std::vector<std::string> printable_lines(const std::vector<std::string>& report) {
  const size_t skipped = report.size() > kMostLines ? report.size() - kMostLines : 0;
  std::vector<std::string> lines;
  for (size_t at = skipped; at < report.size(); ++at) lines.push_back(printable(report[at]));
  return lines;
}

std::string title_line(const NodeReport& node, bool stopped) {
  const std::string what = "ferrun: " + printable(node.title);
  const std::string verdict = stopped ? " was stopped after a failure on " : " FAILED on ";
  if (node.solo) return what + verdict + printable(node.host);
  return what + " (job " + printable(node.run_id) + ")" + verdict + std::to_string(node.nodes) +
         (node.nodes == 1 ? " node" : " nodes") + "; this one is " + printable(node.host);
}

// Each by itself while they are few; a large group must not push the cause off the screen.
void append_stopped(const std::vector<StoppedWorker>& stopped, std::vector<std::string>& lines) {
  if (stopped.empty()) return;
  if (stopped.size() > kListedWorkers) {
    std::vector<int> ranks;
    for (const StoppedWorker& worker : stopped) ranks.push_back(worker.rank);
    lines.push_back("Stopped here by ferrun because of it: " + ranks_text(ranks));
    return;
  }
  lines.emplace_back("Stopped here by ferrun because of it:");
  for (const StoppedWorker& worker : stopped) {
    lines.push_back("  " + worker.description +
                    (worker.later > Duration::zero() ? ", " + measured_text(worker.later) + " later" : ""));
  }
}

std::vector<std::string> failure(const std::vector<std::string>& report, const NodeReport& node, bool stopped) {
  std::vector<std::string> lines = {std::string(kJobRuleWidth, '='), title_line(node, stopped)};
  append_stopped(node.stopped, lines);
  lines.push_back(std::string(kJobRuleWidth, '-'));
  std::ranges::move(printable_lines(report), std::back_inserter(lines));
  lines.insert(lines.end(), node.hints.begin(), node.hints.end());
  const bool by_rule = !report.empty() && report.back().starts_with(kNoRestartLabel);
  if (!stopped && !by_rule) lines.push_back(restarts_hint(node.max_restarts));
  lines.push_back(std::string(kJobRuleWidth, '='));
  return lines;
}

}  // namespace

std::vector<std::string> job_report(const JobEnd& end, const NodeReport& node) {
  if (end.kind == JobEnd::Kind::kSuccess) return {};
  if (end.kind == JobEnd::Kind::kFailed) return failure(end.report, node, /*stopped=*/false);
  std::vector<std::string> lines = printable_lines(end.report);
  std::vector<std::string> before;
  if (end.kind == JobEnd::Kind::kStopped && lines.size() > 1) {
    before = failure({end.report.begin(), end.report.end() - 1}, node, /*stopped=*/true);
    lines.erase(lines.begin(), lines.end() - 1);
  }
  if (lines.empty()) lines.push_back("the job has ended with status " + std::to_string(end.exit_status));
  for (std::string& line : lines) line.insert(0, "ferrun: ");
  lines.insert(lines.begin(), before.begin(), before.end());
  return lines;
}

std::string ranks_text(const std::vector<int>& ascending) {
  std::vector<std::string> ranges;
  for (size_t first = 0; first < ascending.size();) {
    size_t last = first;
    while (last + 1 < ascending.size() && ascending[last + 1] == ascending[last] + 1) ++last;
    std::string range = std::to_string(ascending[first]);
    if (last > first) range += "-" + std::to_string(ascending[last]);
    ranges.push_back(std::move(range));
    first = last + 1;
  }
  std::string text = ascending.size() == 1 ? "rank " : "ranks ";
  for (size_t at = 0; at < ranges.size(); ++at) {
    if (at > 0) text += at + 1 == ranges.size() ? " and " : ", ";
    text += ranges[at];
  }
  return text;
}

std::string termination_message(const std::vector<std::string>& lines) {
  constexpr size_t kMostBytes = 4096;
  std::string message;
  for (size_t at = lines.size(); at-- > 0;) {
    const std::string line = lines[at] + "\n";
    if (message.empty() && line.size() > kMostBytes) return std::string(cut_utf8(lines[at], kMostBytes));
    if (message.size() + line.size() > kMostBytes) break;
    message.insert(0, line);
  }
  return message;
}

const char* end_state(JobEnd::Kind kind) {
  switch (kind) {
    case JobEnd::Kind::kSuccess: return "succeeded";
    case JobEnd::Kind::kFailed: return "failed";
    case JobEnd::Kind::kStopped: return "stopped";
    case JobEnd::Kind::kRendezvous: return "not_formed";
    case JobEnd::Kind::kRefused: return "refused";
  }
  return "failed";
}

}  // namespace ferrun
