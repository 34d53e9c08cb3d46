#include "launcher/io/node/evidence.h"

#include <fstream>
#include <optional>

#include "launcher/logs/log_layout.h"

namespace ferrun {
namespace {

constexpr std::streamsize kLongestErrorFile = 4 << 20;

std::optional<std::string> read_file(const std::filesystem::path& path) {
  if (path.empty()) return std::nullopt;
  std::ifstream in(path, std::ios::binary);
  if (!in) return std::nullopt;
  std::string bytes(static_cast<size_t>(kLongestErrorFile), '\0');
  in.read(bytes.data(), kLongestErrorFile);
  bytes.resize(static_cast<size_t>(in.gcount()));
  return bytes;
}

}  // namespace

WorkerEvidence read_evidence(const JobConfig& config, const LogRouter& router, int attempt, int local_rank) {
  WorkerEvidence evidence;
  evidence.error = parse_error_file(read_file(worker_log_plan(config, attempt, local_rank).error_file));
  evidence.stderr_tail = router.tail(attempt, local_rank, Stream::kStderr);
  return evidence;
}

void tell_parent(const JobConfig& config, const std::filesystem::path& error_file, const std::string& description,
                 int status) {
  if (config.parent_error_file.empty()) return;
  std::ofstream out(config.parent_error_file, std::ios::binary | std::ios::trunc);
  out << error_file_for_parent(read_file(error_file), description, status);
}

}  // namespace ferrun
