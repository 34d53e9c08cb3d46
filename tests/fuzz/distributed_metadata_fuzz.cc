// The metadata of torch.distributed.checkpoint's folders on arbitrary bytes: whatever comes, reading ends with items
// that are sound or with a one-line reason, and sound items that are written come back equal.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "tests/fuzz/require.h"
#include "worker/checkpoint/distributed_metadata.h"

namespace {

using namespace ferrun::checkpoint;
using ferrun::require;

void require_sound(const DistributedItem& item) {
  require(!item.path.empty(), "an item has a path");
  const auto* tensor = std::get_if<DistributedTensor>(&item.held);
  if (tensor == nullptr) return;
  for (const DistributedChunk& chunk : tensor->chunks) {
    require(chunk.offsets.size() == tensor->sizes.size(), "as many offsets as dimensions");
    require(chunk.sizes.size() == tensor->sizes.size(), "as many sizes as dimensions");
    require(chunk.place.file.find('/') == std::string::npos, "a file of the folder");
    for (size_t i = 0; i < tensor->sizes.size(); ++i) {
      require(chunk.offsets[i] >= 0 && chunk.sizes[i] >= 0, "nothing negative");
      require(chunk.sizes[i] <= tensor->sizes[i] - chunk.offsets[i], "a chunk lies in its tensor");
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto items = read_metadata({data, size});
  if (!items) {
    require(!items.error().message.empty(), "a reason");
    return 0;
  }
  for (const DistributedItem& item : *items) require_sound(item);
  const std::string written = write_metadata(*items);
  auto again = read_metadata({reinterpret_cast<const uint8_t*>(written.data()), written.size()});
  require(again.ok(), "what was written is read");
  require(*again == *items, "and is the same");
  return 0;
}
