// The index of a model in several files, as Hugging Face's save_pretrained writes it: model.safetensors.index.json or
// pytorch_model.bin.index.json, which names the file beside it that has each weight. Pure; free of LibTorch.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace ferrun::checkpoint {

inline constexpr uint64_t kMostIndexBytes = 100'000'000;

// Whether the file's name is an index's.
bool is_weight_index(const std::string& path);

// The weights by the file that has them. Failure: one line without the path. A file's name that leads out of the
// index's folder is refused.
Result<std::map<std::string, std::vector<std::string>>> read_weight_index(std::string_view text);

}  // namespace ferrun::checkpoint
