#include "worker/plugins/find_cuda_plugin.h"

#include <system_error>

namespace ferrun {
namespace {

constexpr const char* kFile = "libferrun_cuda.so";

}  // namespace

std::filesystem::path find_cuda_plugin() {
  std::error_code ignored;
  const std::filesystem::path folder = std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
  for (const std::filesystem::path& path : {folder / kFile, folder / "../lib/ferrun" / kFile}) {
    if (std::filesystem::exists(path, ignored)) return path;
  }
  return {};
}

std::string why_no_cuda_plugin() {
  const std::string missing = FERRUN_CUDA_PLUGIN_MISSING;
  if (missing.empty()) return std::string(kFile) + " is neither beside the worker nor in ../lib/ferrun";
  return "missing when it was built: " + missing;
}

}  // namespace ferrun
