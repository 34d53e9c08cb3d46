// A folder of one run's checkpoints: step-00000012.pt and so on, and latest.json, which says in which order they were
// saved and how good they are. What is there after a kill is read as it was before or after the save. Free of LibTorch.
//
//   {"latest": "step-00000012.pt", "best": "step-00000008.pt",
//    "checkpoints": [{"file": "step-00000008.pt", "step": 8, "metric": 0.31}, …]}
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/result.h"
#include "worker/checkpoint/file_system.h"

namespace ferrun::checkpoint {

struct FolderEntry {
  std::string file;  // its name in the folder
  int64_t step = 0;
  std::optional<double> metric;

  bool operator==(const FolderEntry&) const = default;
};

// Which checkpoints stay.
struct Retention {
  int last = 3;  // the newest; 0: all
  int best = 1;  // and of those with a metric the best
  bool lower_is_better = true;
};

// "step-00000012.pt".
std::string checkpoint_name(int64_t step);

// The checkpoints of `folder`, the newest last. A file that latest.json does not name (a kill came in between) counts
// by its step; a latest.json that is damaged or not there leaves the files. None where there is no folder.
std::vector<FolderEntry> read_folder(const std::string& folder, FileSystem& files = machine_file_system());

// Those of `entries` that stay, in their order; the last one always does.
std::vector<FolderEntry> retained(const std::vector<FolderEntry>& entries, const Retention& retention);

// The best of them by its metric, of equally good ones the newest; null where none has one.
const FolderEntry* best_entry(const std::vector<FolderEntry>& entries, bool lower_is_better);

// Adds an entry whose file is in place: writes latest.json and then removes the files that do not stay. `entries` is
// what the folder holds then. Failure: latest.json cannot be written.
Status add_to_folder(const std::string& folder, FolderEntry entry, const Retention& retention,
                     std::vector<FolderEntry>& entries, FileSystem& files = machine_file_system());

// The newest checkpoint's path and the best one's; none in an empty folder, or where no metric was given.
std::optional<std::string> latest_checkpoint(const std::string& folder);
std::optional<std::string> best_checkpoint(const std::string& folder);

}  // namespace ferrun::checkpoint
