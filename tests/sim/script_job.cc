#include "tests/sim/script_job.h"

#include <cstdlib>
#include <functional>
#include <map>

namespace ferrun::sim {
namespace {

using namespace std::chrono_literals;

JobPlan usual_job() {
  JobPlan plan;
  plan.workers.percent_deaf = plan.workers.percent_strays = 0;
  plan.workers.shutdown_timeout = 30s;
  plan.percent_casualties = 0;
  plan.slowest_timer = 0ms;
  plan.coordinator.job_id = "job";
  plan.coordinator.min_nodes = plan.coordinator.max_nodes = 0;
  plan.member.coordinator_timeout = 20s;
  return plan;
}

void add_nodes(JobPlan& plan, int nodes, int workers) {
  for (int i = 0; i < nodes; ++i) {
    NodePlan& node = plan.nodes.emplace_back();
    node.host = static_cast<uint32_t>(i);
    node.name = "node" + std::to_string(i);
    node.workers = workers;
    node.terms = {{"--max-restarts", std::to_string(plan.coordinator.max_restarts)}};
  }
  plan.hosts.resize(static_cast<size_t>(nodes) + 1);
  if (plan.coordinator.own_process) {
    plan.coordinator_host = static_cast<uint32_t>(nodes);
    plan.coordinator.lease = plan.member.coordinator_timeout;
  } else {
    plan.coordinator.lease = plan.coordinator.silence;
  }
}

const std::map<std::string, FaultKind>& node_commands() {
  static const std::map<std::string, FaultKind> kCommands = {{"start", FaultKind::kStartNode},
                                                             {"restart", FaultKind::kRestartNode},
                                                             {"fail", FaultKind::kWorkerFails},
                                                             {"succeed", FaultKind::kNodeSucceeds},
                                                             {"kill", FaultKind::kKillAgent},
                                                             {"lose", FaultKind::kLoseHost},
                                                             {"stall", FaultKind::kStall},
                                                             {"term", FaultKind::kTerm},
                                                             {"reset", FaultKind::kResetConnection},
                                                             {"blackhole", FaultKind::kBlackhole},
                                                             {"cut", FaultKind::kCut},
                                                             {"cut-agents", FaultKind::kCutAgents},
                                                             {"cut-workers", FaultKind::kCutWorkers},
                                                             {"slow", FaultKind::kSlowHost}};
  return kCommands;
}

const std::map<std::string, int>& details() {
  static const std::map<std::string, int> kDetails = {{"exit", static_cast<int>(Fate::kExit)},
                                                      {"segfault", static_cast<int>(Fate::kSegfault)},
                                                      {"oom", static_cast<int>(Fate::kOutOfMemory)},
                                                      {"lost-peer", static_cast<int>(Fate::kLostPeer)},
                                                      {"abort", static_cast<int>(Fate::kAbort)},
                                                      {"outwards", 1},
                                                      {"inwards", 2}};
  return kDetails;
}

Result<Fault> coordinator_fault(const std::vector<std::string>& words) {
  static const std::map<std::string, FaultKind> kCommands = {
      {"start", FaultKind::kStartCoordinator},         {"start-empty", FaultKind::kStartCoordinator},
      {"start-foreign", FaultKind::kStartCoordinator}, {"kill", FaultKind::kKillCoordinator},
      {"stall", FaultKind::kStallCoordinator},         {"term", FaultKind::kTermCoordinator}};
  const auto found = words.size() < 2 ? kCommands.end() : kCommands.find(words[1]);
  if (found == kCommands.end())
    return Error{ErrorKind::kUser, "coordinator start|start-empty|start-foreign|kill|stall TIME|term"};
  Fault fault;
  fault.kind = found->second;
  fault.arg = words[1] == "start-empty" ? 1 : words[1] == "start-foreign" ? 2 : 0;
  if (words.size() > 2) fault.lasts = parse_duration(words[2]).value_or(0s);
  return fault;
}

}  // namespace

std::optional<Duration> parse_duration(const std::string& text) {
  char* unit = nullptr;
  const long value = std::strtol(text.c_str(), &unit, 10);
  if (unit == text.c_str()) return std::nullopt;
  if (std::string(unit) == "ms") return std::chrono::milliseconds(value);
  if (std::string(unit) == "s") return std::chrono::seconds(value);
  return std::nullopt;
}

Result<JobPlan> parse_job(const std::vector<std::string>& words) {
  JobPlan plan = usual_job();
  CoordinatorConfig& c = plan.coordinator;
  int nodes = 1;
  int workers = 1;
  int together = 1;  // on the first machine
  const std::map<std::string, int*> numbers = {
      {"nodes", &nodes},     {"workers", &workers},         {"min", &c.min_nodes},
      {"max", &c.max_nodes}, {"restarts", &c.max_restarts}, {"together", &together}};
  const std::map<std::string, Duration*> times = {{"silence", &c.silence},
                                                  {"last-call", &c.last_call},
                                                  {"scale-interval", &c.scale_interval},
                                                  {"min-uptime", &c.min_uptime},
                                                  {"first-bar", &c.first_bar},
                                                  {"join-timeout", &plan.member.join_timeout},
                                                  {"coordinator-timeout", &plan.member.coordinator_timeout},
                                                  {"shutdown-timeout", &plan.workers.shutdown_timeout},
                                                  {"name-right-at", &plan.name_right_at},
                                                  {"port-free-at", &plan.port_free_at}};
  for (size_t i = 1; i < words.size(); ++i) {
    const size_t equals = words[i].find('=');
    const std::string key = words[i].substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : words[i].substr(equals + 1);
    if (key == "own-process") {
      c.own_process = true;
    } else if (key == "store-shares-port") {
      plan.store_shares_port = true;
    } else if (const auto number = numbers.find(key); number != numbers.end()) {
      *number->second = std::atoi(value.c_str());
    } else if (const auto time = times.find(key); time != times.end() && parse_duration(value)) {
      *time->second = *parse_duration(value);
    } else {
      return Error{ErrorKind::kUser, "job knows no " + words[i]};
    }
  }
  if (c.max_nodes == 0) c.max_nodes = nodes;
  if (c.min_nodes == 0) c.min_nodes = c.max_nodes;
  add_nodes(plan, nodes, workers);
  for (size_t i = 0; i < plan.nodes.size(); ++i) {
    if (static_cast<int>(i) < together) plan.nodes[i].host = 0;
    if (together > 1) plan.nodes[i].node_rank = static_cast<int>(i);
  }
  if (plan.name_right_at > 0s && !plan.coordinator.own_process) plan.name_before = static_cast<uint32_t>(nodes);
  return plan;
}

Result<Fault> parse_fault(const std::vector<std::string>& words, const JobPlan& plan) {
  Fault fault;
  if (words[0] == "coordinator") return coordinator_fault(words);
  const auto command = node_commands().find(words[0]);
  if (command == node_commands().end()) return Error{ErrorKind::kUser, words[0] + " is no command"};
  fault.kind = command->second;
  for (size_t i = 1; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "all" && fault.kind == FaultKind::kTerm) {
      fault.kind = FaultKind::kTermAll;
    } else if (word == "all" && fault.kind == FaultKind::kNodeSucceeds) {
      fault.kind = FaultKind::kEverybodySucceeds;
    } else if (word == "all") {
      for (uint32_t node = 0; node < plan.nodes.size(); ++node) fault.who.push_back(node);
    } else if (const auto detail = details().find(word); detail != details().end()) {
      fault.arg = detail->second;
    } else if (const auto time = parse_duration(word)) {
      fault.lasts = *time;
    } else if (word.rfind("node", 0) == 0 && static_cast<size_t>(std::atoi(word.c_str() + 4)) < plan.nodes.size()) {
      fault.who.push_back(static_cast<uint32_t>(std::atoi(word.c_str() + 4)));
    } else if (word != "for") {
      return Error{ErrorKind::kUser, words[0] + " does not know " + word};
    }
  }
  if (fault.kind == FaultKind::kWorkerFails && fault.arg == 0) fault.arg = static_cast<int>(Fate::kExit);
  return fault;
}

}  // namespace ferrun::sim
