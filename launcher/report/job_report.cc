#include "launcher/report/job_report.h"

#include <algorithm>

#include "common/printable_text.h"
#include "launcher/report/failure_report.h"

namespace ferrun {
namespace {

constexpr size_t kJobRuleWidth = 78;
constexpr size_t kMostLines = 200;  // of the job's report: the root cause, at its end, stays on the screen

std::vector<std::string> printable_lines(const std::vector<std::string>& report) {
  const size_t skipped = report.size() > kMostLines ? report.size() - kMostLines : 0;
  std::vector<std::string> lines;
  for (size_t at = skipped; at < report.size(); ++at) lines.push_back(printable(report[at]));
  return lines;
}

std::vector<std::string> failure(const JobEnd& end, const NodeReport& node) {
  std::vector<std::string> lines = {std::string(kJobRuleWidth, '=')};
  lines.push_back("ferrun: " + printable(node.title) + " (job " + printable(node.run_id) + ") FAILED on " +
                  std::to_string(node.nodes) + (node.nodes == 1 ? " node" : " nodes") + "; this one is " +
                  printable(node.host));
  if (!node.victims.empty()) lines.push_back("Stopped here by ferrun because of it: " + ranks_text(node.victims));
  lines.push_back(std::string(kJobRuleWidth, '-'));
  std::ranges::move(printable_lines(end.report), std::back_inserter(lines));
  lines.push_back(restarts_hint(node.max_restarts));
  lines.push_back(std::string(kJobRuleWidth, '='));
  return lines;
}

}  // namespace

std::vector<std::string> job_report(const JobEnd& end, const NodeReport& node) {
  if (end.kind == JobEnd::Kind::kSuccess) return {};
  if (end.kind == JobEnd::Kind::kFailed) return failure(end, node);
  std::vector<std::string> lines = printable_lines(end.report);
  if (lines.empty()) lines.push_back("the job has ended with status " + std::to_string(end.exit_status));
  for (std::string& line : lines) line.insert(0, "ferrun: ");
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

}  // namespace ferrun
