#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "ferrun/client.h"

namespace ferrun::client {
namespace {

// An empty variable counts as unset, as launchers' own templates leave them.
const char* variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : nullptr;
}

int number(const char* name, int otherwise) {
  const char* text = variable(name);
  if (text == nullptr) return otherwise;
  const char* const end = text + std::strlen(text);
  int value = 0;
  const auto [stop, error] = std::from_chars(text, end, value);
  if (error != std::errc() || stop != end) {
    throw std::invalid_argument(std::string(name) + "=" + text + " is not a number");
  }
  if (value < 0) throw std::invalid_argument(std::string(name) + "=" + text + " is negative");
  return value;
}

void check_rank(const char* rank_name, int rank, const char* size_name, int size) {
  if (rank < size) return;
  throw std::invalid_argument(std::string(rank_name) + "=" + std::to_string(rank) + " is outside the world of " +
                              size_name + "=" + std::to_string(size));
}

// When the process started, in ticks since boot: the 22nd field of its stat file. With the pid it names one process for
// ever. Empty when /proc does not say.
std::string start_time(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string stat;
  std::getline(file, stat);
  const size_t command_end = stat.rfind(')');  // the second field, the only one that may hold blanks
  if (command_end == std::string::npos) return "";
  std::istringstream rest(stat.substr(command_end + 1));
  std::string field;
  for (int index = 3; index <= 22; ++index) rest >> field;
  return field;
}

std::string launch_id(const std::string& run_id) {
  if (const char* given = variable("FERRUN_LAUNCH_ID")) return given;
  if (run_id.empty()) return "";
  const pid_t agent = getppid();
  return run_id + "-" + std::to_string(agent) + "-" + start_time(agent);
}

}  // namespace

Context context_from_environment() {
  Context context;
  context.world_size = number("WORLD_SIZE", 1);
  context.rank = number("RANK", 0);
  context.local_world_size = number("LOCAL_WORLD_SIZE", 1);
  context.local_rank = number("LOCAL_RANK", 0);
  context.group_rank = number("GROUP_RANK", 0);
  context.restart_count = number("TORCHELASTIC_RESTART_COUNT", 0);
  context.max_restarts = number("TORCHELASTIC_MAX_RESTARTS", 0);
  check_rank("RANK", context.rank, "WORLD_SIZE", context.world_size);
  if (variable("LOCAL_WORLD_SIZE") != nullptr) {
    check_rank("LOCAL_RANK", context.local_rank, "LOCAL_WORLD_SIZE", context.local_world_size);
    if (context.local_world_size > context.world_size) {
      throw std::invalid_argument("LOCAL_WORLD_SIZE=" + std::to_string(context.local_world_size) +
                                  " is larger than WORLD_SIZE=" + std::to_string(context.world_size));
    }
  }
  if (const char* run_id = variable("TORCHELASTIC_RUN_ID")) context.run_id = run_id;
  context.launch_id = launch_id(context.run_id);
  if (const char* folder = variable("FERRUN_LAUNCH_DIR")) context.launch_dir = folder;
  if (const char* file = variable("TORCHELASTIC_ERROR_FILE")) context.error_file = file;
  return context;
}

}  // namespace ferrun::client
