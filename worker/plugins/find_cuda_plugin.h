// Where the CUDA plug-in is, and why there is none. Free of LibTorch: `worker --version` tells it without loading
// anything.
#pragma once

#include <filesystem>
#include <string>

namespace ferrun {

// In the worker's own folder or in ../lib/ferrun beside it; empty where there is none.
std::filesystem::path find_cuda_plugin();

// Why this build has none: "missing when it was built: ...", or that its file is not where it belongs.
std::string why_no_cuda_plugin();

}  // namespace ferrun
