// The pictures that the options name.
#pragma once

#include <string>

#include "common/result.h"
#include "worker/data/dataset.h"
#include "worker/data/image_file.h"
#include "worker/ddp/process_group.h"
#include "worker/train/options.h"

namespace ferrun::train {

data::DecodeOptions decode_options(const DataOptions& options);

// An ImageFolder's split, or drawn faces. `seed` drives the drawing, and the dividing of --split.
Result<data::Split> open_data(const DataOptions& options, uint64_t seed);

// "1400 drawn faces", "28709 pictures of /data/fer".
std::string describe_data(const DataOptions& options, const data::Split& split);

// A collective: whether all ranks see the same classes, names and labels in every part. If not, every rank gets the
// same line, with the ranks and their counts.
Status check_same_data(const data::Split& split, ddp::ProcessGroup& group);

}  // namespace ferrun::train
