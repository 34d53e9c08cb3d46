#include "launcher/report/event_log.h"

#include <nlohmann/json.hpp>
#include <utility>
#include <variant>

#include "common/exit_status.h"
#include "common/json_text.h"
#include "launcher/report/job_report.h"

namespace ferrun {
namespace {

using Json = nlohmann::ordered_json;

Json object(double time, const char* event) { return Json{{"time", time}, {"event", event}}; }

Json worker_object(double time, int attempt, int local_rank, int first_rank, const char* state) {
  Json worker = object(time, "worker");
  worker["state"] = state;
  worker["attempt"] = attempt;
  worker["rank"] = first_rank + local_rank;
  worker["local_rank"] = local_rank;
  return worker;
}

const char* level_name(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return "debug";
    case LogLevel::kInfo: return "info";
    case LogLevel::kWarning: return "warning";
    case LogLevel::kError: return "error";
  }
  return "warning";
}

}  // namespace

void EventLog::begin(double time) {
  Json job = object(time, "job");
  job["state"] = "started";
  job["run_id"] = config_.run_id;
  job["launch_id"] = config_.launch_id;
  job["host"] = config_.hostname;
  job["program"] = config_.program.argv;
  job["workers"] = config_.workers;
  job["max_restarts"] = config_.max_restarts;
  lines_.push_back(json_text(job));
}

void EventLog::note(const NodeEvent& fact, double time) {
  if (const auto* signal = std::get_if<SignalArrived>(&fact)) {
    Json line = object(time, "signal");
    line["signal"] = signal_name(signal->signal);
    lines_.push_back(json_text(line));
  } else if (const auto* swept = std::get_if<AttemptSwept>(&fact)) {
    Json line = object(time, "attempt");
    line["state"] = "ended";
    line["attempt"] = swept->attempt;
    if (!reason_.empty()) line["reason"] = reason_;
    lines_.push_back(json_text(line));
  } else if (const auto* worker = std::get_if<WorkerFact>(&fact)) {
    const auto line_of = [&](int local_rank, const char* state) {
      return worker_object(time, worker->attempt, local_rank, first_rank_, state);
    };
    if (const auto* started = std::get_if<RankStarted>(&worker->event)) {
      Json line = line_of(started->local_rank, "running");
      line["pid"] = started->pid;
      lines_.push_back(json_text(line));
    } else if (const auto* missing = std::get_if<RankNotStarted>(&worker->event)) {
      Json line = line_of(missing->local_rank, "not_started");
      line["reason"] = missing->error.message;
      lines_.push_back(json_text(line));
    } else if (const auto* ended = std::get_if<RankEnded>(&worker->event)) {
      const ExitStatus& status = ended->status;
      Json line = line_of(ended->local_rank, status.success() ? "succeeded" : "failed");
      if (status.is_signal()) {
        line["signal"] = signal_name(status.signal());
      } else {
        line["exit_code"] = status.code();
      }
      line["reason"] = status.describe();
      lines_.push_back(json_text(line));
    }
  }
}

void EventLog::note(const NodeEffect& effect, double time) {
  if (const auto* begin = std::get_if<BeginAttempt>(&effect)) {
    first_rank_ = begin->assignment.first_rank;
    reason_.clear();
    Json line = object(time, "attempt");
    line["state"] = "starting";
    line["attempt"] = begin->attempt;
    line["round"] = to_string(begin->assignment.round);
    line["restart_count"] = begin->assignment.restart_count;
    line["node_rank"] = begin->assignment.node_rank;
    line["nodes"] = begin->assignment.node_count;
    line["world_size"] = begin->assignment.world;
    line["master_addr"] = begin->store.host;
    line["master_port"] = begin->store.port;
    lines_.push_back(json_text(line));
  } else if (const auto* send = std::get_if<SignalWorker>(&effect)) {
    Json line = worker_object(time, send->attempt, send->local_rank, first_rank_, "signalled");
    line["signal"] = signal_name(send->signal);
    if (!reason_.empty()) line["reason"] = reason_;
    lines_.push_back(json_text(line));
  } else if (const auto* say = std::get_if<Say>(&effect)) {
    if (say->level >= LogLevel::kWarning) reason_ = say->line;
    Json line = object(time, "message");
    line["level"] = level_name(say->level);
    line["text"] = say->line;
    lines_.push_back(json_text(line));
  } else if (const auto* done = std::get_if<NodeDone>(&effect)) {
    Json line = object(time, "job");
    line["state"] = end_state(done->end.kind);
    line["exit_status"] = done->exit_status;
    std::string reason;
    for (const std::string& part : done->end.report) reason += (reason.empty() ? "" : "\n") + part;
    if (!reason.empty()) line["reason"] = reason;
    lines_.push_back(json_text(line));
  }
}

std::vector<std::string> EventLog::take_lines() { return std::exchange(lines_, {}); }

}  // namespace ferrun
