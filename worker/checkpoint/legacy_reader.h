// Files of torch.save before PyTorch 1.6: five pickles, then the storages one after the other. Free of LibTorch.
#pragma once

#include "common/result.h"
#include "worker/checkpoint/archive_reader.h"

namespace ferrun::checkpoint {

// As open_archive, for a file that begins with kLegacyMagic.
Result<Archive> open_legacy(const ByteSource& source);

}  // namespace ferrun::checkpoint
