#include "launcher/workers/worker_environment.h"

#include <array>
#include <cstddef>

#include "launcher/logs/log_layout.h"
#include "launcher/logs/text_template.h"

namespace ferrun {

Assignment whole_job(int workers, int restart_count) {
  Assignment whole;
  whole.world = whole.role_world = workers;
  whole.restart_count = restart_count;
  return whole;
}

Environment worker_environment(const JobConfig& config, const WorkerPlace& place) {
  Environment environment = config.environment;
  const Assignment& node = place.assignment;
  const auto set = [&environment](const char* name, int value) { environment.set(name, std::to_string(value)); };
  const bool own_device = !config.own_device.empty();
  set("RANK", node.first_rank + place.local_rank);
  set("LOCAL_RANK", own_device ? 0 : place.local_rank);
  set("GROUP_RANK", node.node_rank);
  set("ROLE_RANK", node.first_role_rank + place.local_rank);
  environment.set("ROLE_NAME", config.role);
  set("LOCAL_WORLD_SIZE", config.workers);
  set("WORLD_SIZE", node.world);
  set("GROUP_WORLD_SIZE", node.node_count);
  set("ROLE_WORLD_SIZE", node.role_world);
  environment.set("MASTER_ADDR", place.store.host);
  set("MASTER_PORT", place.store.port);
  set("TORCHELASTIC_RESTART_COUNT", node.restart_count);
  set("TORCHELASTIC_MAX_RESTARTS", config.max_restarts);
  environment.set("TORCHELASTIC_RUN_ID", config.run_id);
  environment.set("TORCHELASTIC_USE_AGENT_STORE", config.serves_store ? "True" : "False");
  environment.set("TORCHELASTIC_ERROR_FILE", place.error_file.string());
  if (!place.launch_id.empty()) environment.set("FERRUN_LAUNCH_ID", place.launch_id);
  environment.set("FERRUN_LAUNCH_DIR", launch_folder(config.output).string());
  environment.set("FERRUN_ROUND", node.round.none() ? std::to_string(place.attempt + 1) : to_string(node.round));
  if (!place.interface.empty() && !environment.contains("GLOO_SOCKET_IFNAME")) {
    environment.set("GLOO_SOCKET_IFNAME", place.interface);
  }
  if (!config.omp_threads.empty()) {
    set("OMP_NUM_THREADS", config.omp_threads[static_cast<size_t>(place.local_rank)]);
  }
  if (own_device) environment.set(config.device_variable, config.own_device[static_cast<size_t>(place.local_rank)]);
  return environment;
}

SpawnRequest spawn_request(const JobConfig& config, const WorkerPlace& place) {
  SpawnRequest request;
  request.local_rank = place.local_rank;
  request.attempt = place.attempt;
  request.argv = config.program.argv;
  request.environment = worker_environment(config, place);
  if (!config.cpus.empty()) {
    const WorkerCpus& bound = config.cpus[static_cast<size_t>(place.local_rank)];
    request.cpus = bound.cpus;
    request.memory_node = bound.memory_node;
  }
  if (config.expand_local_rank) {
    const std::string rank = std::to_string(place.local_rank);
    const std::array values = {TemplateValue{"local_rank", rank}};
    for (size_t at = config.program.user_arguments; at < request.argv.size(); ++at) {
      request.argv[at] = safe_substitute(request.argv[at], values);
    }
  }
  if (config.pass_local_rank) {
    request.argv.insert(request.argv.begin() + static_cast<ptrdiff_t>(config.program.user_arguments),
                        "--local-rank=" + std::to_string(place.local_rank));
  }
  return request;
}

}  // namespace ferrun
