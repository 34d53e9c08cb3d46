// The pictures that the options name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/result.h"
#include "worker/checkpoint/value.h"
#include "worker/data/dataset.h"
#include "worker/data/image_file.h"
#include "worker/ddp/process_group.h"
#include "worker/train/options.h"

namespace ferrun::train {

data::DecodeOptions decode_options(const DataOptions& options);

// An ImageFolder's split, or drawn faces. `seed` drives the drawing, and the dividing of --split.
Result<data::Split> open_data(const DataOptions& options, uint64_t seed);

// What a checkpoint calls the folder: absolute, as the next run may be started elsewhere; empty for none.
std::string absolute_directory(const std::string& directory);

// What a checkpoint says of the pictures of its run.
struct SavedData {
  std::optional<std::string> directory;  // absolute; empty: drawn faces
  std::optional<int64_t> faces;          // drawn
  std::vector<double> split;             // of --split; empty: the folders decided
};
SavedData saved_data(const checkpoint::Value& checkpoint);

// Where neither a folder nor a number of faces was asked for: the same pictures, divided the same way unless another
// way was asked for.
DataOptions with_saved_data(DataOptions asked, const SavedData& saved);

// Where the folder is the checkpoint's word alone, a failure to open it names the option that helps.
Error saved_data_error(const Error& why, const std::string& checkpoint);

// "1400 drawn faces", "28709 pictures of /data/fer".
std::string describe_data(const DataOptions& options, const data::Split& split);

// A collective: whether all ranks see the same classes, names and labels in every part. If not, every rank gets the
// same line, with the ranks and their counts.
Status check_same_data(const data::Split& split, ddp::ProcessGroup& group);

}  // namespace ferrun::train
