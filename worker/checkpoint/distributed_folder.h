// Folders of torch.distributed.checkpoint (.metadata and __R_N.distcp), as torch 2.11 reads and writes them: tensors in
// chunks, as FSDP's ranks have them, or whole, as DDP's have. A world of any size reads what another one wrote.
//
// Not covered: compressed streams, folders in Hugging Face's format, and what a program's own planner lays out
// otherwise.
#pragma once

#include <string>
#include <vector>

#include "common/result.h"
#include "worker/checkpoint/distributed_metadata.h"
#include "worker/checkpoint/file_system.h"
#include "worker/checkpoint/value.h"

namespace ferrun::checkpoint {

// Whether `path` is such a folder.
bool is_distributed(const std::string& path);

// All of the folder, tensors whole and on the CPU, under the keys that were saved; keys that were whole numbers are
// texts, as Python makes them. Objects of classes that we do not know are Opaque. Failure: one line with the file.
// Bounds are checked before memory is taken, which is at most the files' length besides the metadata's.
Result<Value> read_distributed(const std::string& path);

// An item that is to be written: a tensor, or what Python keeps as an object.
struct DistributedEntry {
  std::vector<PathStep> path;
  Value value;
};

// The items of a content, as Python divides a state_dict: dicts and lists that hold tensors are taken apart. Failure:
// two items with one name, or a key that is neither a text nor a whole number.
Result<std::vector<DistributedEntry>> distributed_entries(const Value& content);

// Which rank of `world_size` writes each entry, so that they have about as many bytes each; the same on every rank.
std::vector<int> distributed_writers(const std::vector<DistributedEntry>& entries, int world_size);

// Writes this rank's entries to its file in `folder`, which must be there, and says where they are. An entry's tensors
// are written contiguous, from the CPU. Failure: as write_atomically().
Result<std::vector<DistributedItem>> write_distributed(const std::string& folder, int rank,
                                                       const std::vector<DistributedEntry>& entries,
                                                       FileSystem& files = machine_file_system());

// Before the first rank writes: takes away what makes the folder one that can be read. And when all have: makes it so.
Status begin_distributed(const std::string& folder, FileSystem& files = machine_file_system());
Status finish_distributed(const std::string& folder, const std::vector<DistributedItem>& items,
                          FileSystem& files = machine_file_system());

}  // namespace ferrun::checkpoint
