#include "launcher/config/describe.h"

#include <map>
#include <nlohmann/json.hpp>

#include "common/json_text.h"
#include "launcher/config/values.h"
#include "launcher/logs/log_layout.h"
#include "launcher/workers/worker_environment.h"

namespace ferrun {
namespace {

std::string method_name(StartMethod method) {
  switch (method) {
    case StartMethod::kSpawn: return "spawn";
    case StartMethod::kFork: return "fork";
    case StartMethod::kForkServer: return "forkserver";
  }
  return "";
}

std::string meeting_place(const RendezvousConfig& config) {
  return config.etcd ? config.member.endpoint : to_string(config.endpoint);
}

std::string where_workers_meet(const JobConfig& config) {
  const auto port_text = [](uint16_t port) {
    return port == 0 ? std::string("chosen for every round") : std::to_string(port);
  };
  if (!config.rendezvous) {
    const uint16_t port = config.meeting.port;
    return "\nstore:     " + config.meeting.master_addr + ", port " +
           (port == 0 ? "chosen by the kernel" : std::to_string(port));
  }
  const CoordinatorConfig& job = config.rendezvous->coordinator;
  std::string text = "\nnodes:     ";
  if (job.min_nodes != job.max_nodes) text += std::to_string(job.min_nodes) + " to ";
  text += std::to_string(job.max_nodes) + ", meeting at " + meeting_place(*config.rendezvous) + " as job " + job.job_id;
  return text + "\nstore:     on the node of rank 0, port " + port_text(config.rendezvous->store_port);
}

// What ferrun changes in its own environment for the workers: for rank 0, and with several nodes for all of them.
std::map<std::string, std::string> changed_variables(const JobConfig& config, const SpawnRequest& rank0) {
  std::map<std::string, std::string> changed;
  const Environment& environment = config.rendezvous ? config.environment : rank0.environment;
  for (const auto& [name, value] : environment.variables()) {
    if (config.inherited.get(name) != value) changed[name] = value;
  }
  return changed;
}

SpawnRequest rank_zero(const JobConfig& config) {
  const WorkerPlace place{0,
                          0,
                          whole_job(config.workers, 0),
                          {config.meeting.master_addr, config.meeting.port},
                          "",
                          worker_log_plan(config, 0, 0).error_file};
  return spawn_request(config, place);
}

}  // namespace

std::string describe_json(const JobConfig& config) {
  using Json = nlohmann::ordered_json;
  const auto port = [](uint16_t number) { return number == 0 ? Json(nullptr) : Json(number); };
  const SpawnRequest request = rank_zero(config);
  Json object = {{"command", request.argv},
                 {"workers", config.workers},
                 {"start_method", method_name(config.start_method)},
                 {"max_restarts", config.max_restarts},
                 {"run_id", config.run_id}};
  if (config.rendezvous) {
    const CoordinatorConfig& job = config.rendezvous->coordinator;
    object["nodes"] = {{"min", job.min_nodes}, {"max", job.max_nodes}, {"endpoint", meeting_place(*config.rendezvous)}};
    object["store"] = {{"port", port(config.rendezvous->store_port)}};
  } else {
    object["store"] = {{"address", config.meeting.master_addr}, {"port", port(config.meeting.port)}};
  }
  object["logs"] = config.output.wants_files() ? Json(job_folder(config.output).string()) : Json(nullptr);
  object["warnings"] = config.warnings;
  object["variables"] = changed_variables(config, request);
  return json_text(object) + "\n";
}

std::string describe(const JobConfig& config) {
  const SpawnRequest request = rank_zero(config);
  std::string text = "command:  ";
  for (const std::string& word : request.argv) text += " " + shell_word(word);
  if (!config.program.why_python.empty()) {
    text += "\npython:    " + config.program.argv.front() + ": " + config.program.why_python;
  }
  text += "\nworkers:   " + std::to_string(config.workers) + ", started by " + method_name(config.start_method);
  for (size_t rank = 0; rank < config.own_device.size(); ++rank) {
    text += "\ndevice:    " + config.own_device[rank] + " for local rank " + std::to_string(rank);
  }
  for (size_t rank = 0; rank < config.cpus.size(); ++rank) {
    text += "\ncpus:      " + cpu_list_text(config.cpus[rank].cpus) + " for local rank " + std::to_string(rank) + ": " +
            config.cpus[rank].place;
    if (const std::optional<int> node = config.cpus[rank].memory_node) {
      text += ", memory from node " + std::to_string(*node) + " first";
    }
  }
  text += "\nrestarts:  " + std::to_string(config.max_restarts);
  text += where_workers_meet(config);
  text += "\nlogs:      " + (config.output.wants_files() ? job_folder(config.output).string() : std::string("none"));
  for (const std::string& line : config.warnings) text += "\nwarning:   " + line;
  text += config.rendezvous ? "\nvariables of all workers, beside those of their round:\n" : "\nvariables of rank 0:\n";
  for (const auto& [name, value] : changed_variables(config, request)) {
    text += "  " + name + "=" + shell_word(value) + "\n";
  }
  return text;
}

}  // namespace ferrun
