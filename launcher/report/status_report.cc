#include "launcher/report/status_report.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "common/json_text.h"
#include "common/printable_text.h"
#include "rendezvous/job/job_status.h"

namespace ferrun {
namespace {

std::string printable_list(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ", ") + printable(name);
  return list;
}

std::vector<std::string> jobs_in(const std::vector<AgentStatus>& answers) {
  std::vector<std::string> jobs;
  for (const AgentStatus& answer : answers) jobs.push_back(answer.job_id);
  std::ranges::sort(jobs);
  jobs.erase(std::unique(jobs.begin(), jobs.end()), jobs.end());
  return jobs;
}

Result<std::string> choose_job(const std::vector<AgentStatus>& answers, const std::string& wanted) {
  const std::vector<std::string> jobs = jobs_in(answers);
  if (jobs.empty()) return Error{ErrorKind::kUser, "no job runs on this machine for this user"};
  if (wanted.empty() && jobs.size() == 1) return jobs.front();
  if (wanted.empty())
    return Error{ErrorKind::kUsage, "several jobs run here, name one with --job: " + printable_list(jobs)};
  if (std::ranges::find(jobs, wanted) != jobs.end()) return wanted;
  return Error{ErrorKind::kUser, "no job '" + printable(wanted) + "' runs here; there is " + printable_list(jobs)};
}

// The answer itself, with members that this version does not know.
std::string json_line(const std::string& job, const std::string& status) {
  nlohmann::ordered_json line;
  line["job"] = job;
  line["status"] = nlohmann::ordered_json::parse(status);
  return json_text(line) + "\n";
}

}  // namespace

Result<std::string> status_report(const std::vector<AgentStatus>& answers, const std::string& wanted, bool as_json) {
  const Result<std::string> job = choose_job(answers, wanted);
  if (!job) return job.error();
  const AgentStatus* best = nullptr;
  std::optional<JobStatus> best_status;
  for (const AgentStatus& answer : answers) {
    if (answer.job_id != job.value()) continue;
    const Result<JobStatus> status = job_status_from_json(answer.status);
    if (!status) return status.error();
    if (best_status && best_status->nodes.size() >= status->nodes.size()) continue;
    best = &answer;
    best_status = *status;
  }
  if (as_json) return json_line(job.value(), best->status);
  return "job " + printable(job.value()) + "\n" + to_text(*best_status);
}

}  // namespace ferrun
