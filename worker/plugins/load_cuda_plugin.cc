#include <dlfcn.h>

#include <filesystem>

#include "worker/plugins/cuda_plugin.h"

namespace ferrun {
namespace {

std::filesystem::path program_folder() {
  std::error_code ignored;
  return std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
}

Error unavailable(const std::string& why) {
  return Error{ErrorKind::kUsage, "--device cuda: " + why + "; use --device cpu"};
}

}  // namespace

Result<const CudaPlugin*> load_cuda_plugin() {
  const std::filesystem::path folder = program_folder();
  for (const std::filesystem::path& path : {folder / kCudaPluginFile, folder / "../lib/ferrun" / kCudaPluginFile}) {
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored)) {
      continue;
    }
    // Global: LibTorch's CUDA hooks register themselves when its libraries are loaded, for everybody.
    void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (library == nullptr) {
      return unavailable(std::string("the plug-in cannot be loaded: ") + dlerror());
    }
    const auto entry = reinterpret_cast<CudaPluginEntry>(dlsym(library, "ferrun_cuda_plugin"));
    const CudaPlugin* const plugin = entry == nullptr ? nullptr : entry();
    if (plugin == nullptr || plugin->interface_version != kCudaPluginVersion) {
      return unavailable(path.string() + " is of another version of ferrun");
    }
    return plugin;
  }
  return unavailable(
      "this build has no CUDA plug-in (it is built where the CUDA toolkit and LibTorch's CUDA libraries are)");
}

}  // namespace ferrun
