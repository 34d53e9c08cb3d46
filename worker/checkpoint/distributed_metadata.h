// What a folder of torch.distributed.checkpoint holds and where: its file .metadata, as torch 2.11 writes it. Nothing
// in it is executed; memory is bounded by a multiple of its length. Free of LibTorch.
//
// Not covered: transforms of the streams (compression), and folders in Hugging Face's format.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "common/result.h"
#include "worker/checkpoint/stored_tensor.h"

namespace ferrun::checkpoint {

// A file of torch.save within a file of the folder.
struct DistributedPlace {
  std::string file;  // a name without a folder
  uint64_t offset = 0;
  uint64_t length = 0;

  bool operator==(const DistributedPlace&) const = default;
};

struct DistributedChunk {
  std::vector<int64_t> offsets;
  std::vector<int64_t> sizes;
  DistributedPlace place;

  bool operator==(const DistributedChunk&) const = default;
};

// Its chunks lie in it, do not overlap and fill it.
struct DistributedTensor {
  ElementType type = ElementType::kFloat32;
  std::vector<int64_t> sizes;
  std::vector<DistributedChunk> chunks;

  bool operator==(const DistributedTensor&) const = default;
};

// A step of an item's path: a dict's key or a list's position.
using PathStep = std::variant<std::string, int64_t>;

struct DistributedItem {
  std::string name;            // "optim.state.0.weight.exp_avg"
  std::vector<PathStep> path;  // {"optim", "state", "0.weight", "exp_avg"}
  std::variant<DistributedTensor, DistributedPlace> held;

  bool operator==(const DistributedItem&) const = default;
};

// Failure: one line without the file's name.
Result<std::vector<DistributedItem>> read_metadata(std::span<const uint8_t> bytes);

// The bytes that Python's torch.distributed.checkpoint.load() reads.
std::string write_metadata(const std::vector<DistributedItem>& items);

// The name that Python gives to an item with this path.
std::string item_name(const std::vector<PathStep>& path);

}  // namespace ferrun::checkpoint
