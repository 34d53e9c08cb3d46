#include "launcher/report/end_record.h"

#include <algorithm>
#include <ctime>
#include <map>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>
#include <variant>

#include "common/json_text.h"
#include "common/printable_text.h"
#include "launcher/config/values.h"
#include "launcher/logs/log_layout.h"
#include "launcher/report/job_report.h"
#include "rendezvous/coordinator/job_root_cause.h"

namespace ferrun {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kWidestRule = 60;
constexpr const char* kNotAvailable = "<N/A>";

const char* kind_name(FailureKind kind) {
  switch (kind) {
    case FailureKind::kOutOfMemory: return "out_of_memory";
    case FailureKind::kSignal: return "signal";
    case FailureKind::kLostNode: return "lost_node";
    case FailureKind::kExit: return "exit";
    case FailureKind::kNotStarted: return "not_started";
    case FailureKind::kCutShort: return "stopped_while_ending";
    case FailureKind::kLostPeer: return "lost_peer";
  }
  return "";
}

// "2026-11-28_18:27:00", as Python's datetime.fromtimestamp(...).isoformat(sep="_") has it.
std::string local_time(double seconds, long utc_offset) {
  const std::time_t local = static_cast<std::time_t>(seconds) + utc_offset;
  std::tm parts{};
  char text[32];
  if (gmtime_r(&local, &parts) == nullptr || std::strftime(text, sizeof text, "%Y-%m-%d_%H:%M:%S", &parts) == 0) {
    return kNotAvailable;
  }
  return text;
}

std::string torchrun_message(const ErrorFile& error, const ExitStatus& status, pid_t pid) {
  if (error.state == ErrorFile::State::kRead && !error.callstack.empty()) return error.callstack;
  if (error.state == ErrorFile::State::kRead && !error.message.empty()) return error.message;
  if (!status.is_signal()) {
    return "To enable traceback see: https://pytorch.org/docs/stable/elastic/errors.html";
  }
  const int signal = status.signal();
  return "Signal " + std::to_string(signal) + " (" + signal_name(signal) + ") received by PID " + std::to_string(pid);
}

}  // namespace

void EndRecord::note(const NodeEvent& fact, double time) {
  if (const auto* told = std::get_if<WorkerFact>(&fact); told != nullptr && told->attempt == attempt_) {
    if (const auto* started = std::get_if<RankStarted>(&told->event)) worker(started->local_rank).pid = started->pid;
    if (const auto* ended = std::get_if<RankEnded>(&told->event)) {
      worker(ended->local_rank).status = ended->status;
      worker(ended->local_rank).ended_at = time;
    }
  }
  if (const auto* gathered = std::get_if<EvidenceGathered>(&fact);
      gathered != nullptr && gathered->attempt == attempt_) {
    for (const FailedWorker& failed : gathered->workers) worker(failed.local_rank).left_behind = failed;
  }
}

void EndRecord::note(const NodeEffect& effect) {
  if (const auto* begin = std::get_if<BeginAttempt>(&effect)) {
    attempt_ = begin->attempt;
    first_rank_ = begin->assignment.first_rank;
    workers_.assign(static_cast<size_t>(config_.workers), Worker{});
  } else if (const auto* done = std::get_if<NodeDone>(&effect)) {
    done_ = *done;
  }
}

std::filesystem::path EndRecord::error_file(const Worker& worker, int local_rank) const {
  if (worker.left_behind.evidence.error.state == ErrorFile::State::kAbsent) return {};
  return worker_log_plan(config_, attempt_, local_rank).error_file;
}

double EndRecord::time_of(const Worker& worker) const {
  return worker.left_behind.evidence.error.timestamp.value_or(worker.ended_at);
}

std::string EndRecord::json() const {
  if (!done_ || done_->end.kind == JobEnd::Kind::kSuccess) return "";
  const auto describe = [this](const LocalFailure& failure) {
    const bool ran = failure.kind != FailureKind::kNotStarted;
    Json worker_json = {{"text", failure.report.empty() ? "" : failure.report.front()},
                        {"kind", kind_name(failure.kind)},
                        {"rank", failure.rank},
                        {"local_rank", failure.local_rank}};
    if (failure.status.is_signal()) {
      worker_json["signal"] = signal_name(failure.status.signal());
    } else if (ran) {
      worker_json["exit_code"] = failure.status.code();
    }
    if (!ran || static_cast<size_t>(failure.local_rank) >= workers_.size()) return worker_json;
    const Worker& ended = worker(failure.local_rank);
    const WorkerEvidence& evidence = ended.left_behind.evidence;
    worker_json["pid"] = ended.pid;
    worker_json["time"] = ended.ended_at;
    if (const auto path = error_file(ended, failure.local_rank); !path.empty())
      worker_json["error_file"] = path.string();
    if (!evidence.error.message.empty()) worker_json["message"] = evidence.error.message;
    if (!evidence.error.callstack.empty()) worker_json["traceback"] = evidence.error.callstack;
    if (!ended.left_behind.stderr_file.empty()) worker_json["stderr_file"] = ended.left_behind.stderr_file.string();
    if (!evidence.stderr_tail.empty()) worker_json["stderr"] = evidence.stderr_tail;
    return worker_json;
  };
  Json root = {
      {"job", config_.run_id},           {"launch", config_.launch_id},         {"program", config_.program.title},
      {"host", config_.hostname},        {"state", end_state(done_->end.kind)}, {"exit_status", done_->exit_status},
      {"attempt", std::max(attempt_, 0)}};
  const std::string_view label = kRootCauseLabel;
  for (const std::string& line : done_->end.report) {
    if (!line.starts_with(label)) continue;
    const std::string text = line.substr(label.size());
    Json cause = {{"text", text}};
    for (const LocalFailure& failure : done_->failures) {
      // Reports of several nodes put the host before it.
      if (!failure.report.empty() && text.ends_with(printable(failure.report.front()))) cause = describe(failure);
    }
    cause["text"] = text;
    root["root_cause"] = std::move(cause);
  }
  root["failures"] = Json::array();
  for (const LocalFailure& failure : done_->failures) root["failures"].push_back(describe(failure));
  root["report"] = done_->end.report;
  return json_text(root) + "\n";
}

// Those that failed; then, of processes, those that were stopped because of it. Of functions, which --run-path makes of
// scripts, torchrun has no record of these.
std::vector<std::pair<int, ExitStatus>> EndRecord::torchrun_failures() const {
  std::map<int, ExitStatus> failed;
  for (const LocalFailure& failure : done_->failures) {
    if (failure.kind != FailureKind::kNotStarted) failed.emplace(failure.local_rank, failure.status);
  }
  std::vector<std::pair<int, ExitStatus>> listed(failed.begin(), failed.end());
  if (config_.program.returns_together) return listed;
  for (int local_rank = 0; local_rank < static_cast<int>(workers_.size()); ++local_rank) {
    const std::optional<ExitStatus>& status = worker(local_rank).status;
    if (status && !status->success() && !failed.contains(local_rank)) listed.emplace_back(local_rank, *status);
  }
  return listed;
}

std::vector<std::string> EndRecord::torchrun_failure(size_t index, int local_rank, const ExitStatus& status) const {
  const Worker& ended = worker(local_rank);
  const std::filesystem::path path = error_file(ended, local_rank);
  std::vector<std::string> lines = {
      "[" + std::to_string(index) + "]:",
      "  time      : " + local_time(time_of(ended), utc_offset_),
      "  host      : " + config_.hostname,
      "  rank      : " + std::to_string(first_rank_ + local_rank) + " (local_rank: " + std::to_string(local_rank) + ")",
      "  exitcode  : " + std::to_string(status.torchrun_code()) + " (pid: " + std::to_string(ended.pid) + ")",
      "  error_file: " + (path.empty() ? kNotAvailable : path.string())};
  std::string begin = "  traceback : ";
  for (const std::string& line :
       split_list(torchrun_message(ended.left_behind.evidence.error, status, ended.pid), '\n')) {
    lines.push_back(std::exchange(begin, "  ") + printable(line));
  }
  return lines;
}

std::vector<std::string> EndRecord::torchrun_lines() const {
  if (!done_ || done_->end.kind != JobEnd::Kind::kFailed || !done_->failed_local_rank) return {};
  const std::vector<std::pair<int, ExitStatus>> failures = torchrun_failures();
  // With --run-path torchrun calls a function of its own, whose name it shows.
  const std::string name = config_.program.returns_together ? "run_script_path" : printable(config_.program.title);
  const std::string title = name + " FAILED";
  size_t width = title.size();
  std::vector<std::string> root;
  std::vector<std::string> others;
  for (size_t index = 0; index < failures.size(); ++index) {
    const auto& [local_rank, status] = failures[index];
    const bool is_root = local_rank == *done_->failed_local_rank;
    for (std::string& line : torchrun_failure(index, local_rank, status)) {
      width = std::max(width, line.size());
      (is_root ? root : others).push_back(std::move(line));
    }
  }
  if (root.empty()) return {};
  if (others.empty()) others.emplace_back("  <NO_OTHER_FAILURES>");
  width = std::min(width, kWidestRule);
  std::vector<std::string> lines = {"torch.distributed.elastic.multiprocessing.errors.ChildFailedError: ",
                                    std::string(width, '='), title, std::string(width, '-'), "Failures:"};
  std::ranges::move(others, std::back_inserter(lines));
  lines.push_back(std::string(width, '-'));
  lines.emplace_back("Root Cause (first observed failure):");
  std::ranges::move(root, std::back_inserter(lines));
  lines.push_back(std::string(width, '='));
  return lines;
}

}  // namespace ferrun
