#include "launcher/report/elastic_events.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>
#include <variant>

#include "common/json_text.h"

namespace ferrun {
namespace {

using Json = nlohmann::ordered_json;

// What the worker's error file holds, as text; an empty object where it wrote none.
std::string raw_error_of(const ErrorFile& error) {
  if (error.state != ErrorFile::State::kRead) return "{}";
  const auto seconds = static_cast<long>(error.timestamp.value_or(0));
  if (error.callstack.empty()) return json_text(Json{{"message", error.message}, {"timestamp", seconds}});
  const Json more = {{"py_callstack", error.callstack}, {"timestamp", std::to_string(seconds)}};
  return json_text(Json{{"message", Json{{"message", error.message}, {"extraInfo", more}}}});
}

}  // namespace

void ElasticEvents::note(const NodeEvent& fact) {
  if (const auto* told = std::get_if<WorkerFact>(&fact); told != nullptr && told->attempt == attempt_) {
    if (const auto* started = std::get_if<RankStarted>(&told->event)) {
      worker(started->local_rank).pid = started->pid;
      record("START", started->local_rank, std::nullopt);
    } else if (const auto* ended = std::get_if<RankEnded>(&told->event)) {
      worker(ended->local_rank).status = ended->status;
    }
  }
  if (const auto* gathered = std::get_if<EvidenceGathered>(&fact);
      gathered != nullptr && gathered->attempt == attempt_) {
    for (const FailedWorker& failed : gathered->workers) worker(failed.local_rank).error = failed.evidence.error;
  }
}

void ElasticEvents::note(const NodeEffect& effect, double time) {
  if (const auto* begin = std::get_if<BeginAttempt>(&effect)) {
    attempt_ = begin->attempt;
    assignment_ = begin->assignment;
    workers_.assign(static_cast<size_t>(config_.workers), Worker{});
  } else if (const auto* done = std::get_if<NodeDone>(&effect)) {
    total_run_time_ = static_cast<int>(time - began_);
    record_end(*done);
  }
}

void ElasticEvents::record_end(const NodeDone& done) {
  const bool success = done.end.kind == JobEnd::Kind::kSuccess;
  if (done.end.kind != JobEnd::Kind::kStopped) {
    for (int rank = 0; rank < static_cast<int>(workers_.size()); ++rank) {
      const Worker& ended = worker(rank);
      const bool failed = ended.status && !ended.status->success();
      const char* const state = failed ? "FAILED" : success ? "SUCCEEDED" : "TERMINATED";
      record(state, rank, failed ? std::optional(raw_error_of(ended.error)) : std::nullopt);
    }
  }
  std::string report;
  for (const std::string& line : done.end.report) report += (report.empty() ? "" : "\n") + line;
  record(success ? "SUCCEEDED" : "FAILED", std::nullopt, success ? std::nullopt : std::optional(report));
}

void ElasticEvents::record(const char* state, std::optional<int> local_rank,
                           const std::optional<std::string>& raw_error) {
  const auto or_null = [](const auto& value) { return value ? Json(*value) : Json(nullptr); };
  Json more = {{"group_world_size", assignment_.node_count},
               {"entry_point", std::filesystem::path(config_.program.argv.front()).filename().string()}};
  std::optional<int> rank;
  std::optional<std::string> id;
  if (local_rank) {
    const Worker& about = worker(*local_rank);
    const bool failed = about.status && !about.status->success();
    rank = assignment_.first_rank + *local_rank;
    id = std::to_string(about.pid);
    more["local_rank"] = Json::array({*local_rank});
    more["role_rank"] = Json::array({assignment_.first_role_rank + *local_rank});
    more["role_world_size"] = Json::array({assignment_.role_world});
    more["exit_code"] = Json::array({failed ? Json(about.status->torchrun_code()) : Json(nullptr)});
    more["worker_pid"] = Json::array({failed ? Json(about.pid) : Json(nullptr)});
  }
  const Json metadata = {{"run_id", config_.run_id},
                         {"global_rank", or_null(rank)},
                         {"group_rank", assignment_.node_rank},
                         {"worker_id", or_null(id)},
                         {"role", config_.role},
                         {"hostname", config_.hostname},
                         {"state", state},
                         {"total_run_time", total_run_time_},
                         {"rdzv_backend", config_.events.backend},
                         {"raw_error", or_null(raw_error)},
                         {"metadata", json_text(more)},
                         {"agent_restarts", assignment_.restart_count},
                         {"duration_ms", nullptr}};
  lines_.push_back(json_text(Json{{"name", std::string("torchelastic.worker.status.") + state},
                                  {"source", local_rank ? "WORKER" : "AGENT"},
                                  {"timestamp", 0},
                                  {"metadata", metadata}}));
}

std::vector<std::string> ElasticEvents::take_lines() { return std::exchange(lines_, {}); }

}  // namespace ferrun
