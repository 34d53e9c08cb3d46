#include <dlfcn.h>

#include <filesystem>

#include "worker/plugins/cuda_plugin.h"
#include "worker/plugins/find_cuda_plugin.h"

namespace ferrun {
namespace {

Error unavailable(const std::string& why) {
  return Error{ErrorKind::kUsage, "--device cuda: " + why + "; use --device cpu"};
}

}  // namespace

Result<const CudaPlugin*> load_cuda_plugin() {
  const std::filesystem::path path = find_cuda_plugin();
  if (path.empty()) return unavailable("this build has no CUDA plug-in (" + why_no_cuda_plugin() + ")");
  // Global: LibTorch's CUDA hooks register themselves when its libraries are loaded, for everybody.
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (library == nullptr) return unavailable(std::string("the plug-in cannot be loaded: ") + dlerror());
  const auto entry = reinterpret_cast<CudaPluginEntry>(dlsym(library, "ferrun_cuda_plugin"));
  const CudaPlugin* const plugin = entry == nullptr ? nullptr : entry();
  if (plugin == nullptr || plugin->interface_version != kCudaPluginVersion) {
    return unavailable(path.string() + " is of another version of ferrun");
  }
  return plugin;
}

}  // namespace ferrun
