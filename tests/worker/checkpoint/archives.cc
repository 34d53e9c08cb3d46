#include "tests/worker/checkpoint/archives.h"

#include <gtest/gtest.h>

#include "worker/checkpoint/archive_writer.h"

namespace ferrun::checkpoint {

std::vector<uint8_t> small_checkpoint(int64_t epoch, const std::vector<float>& weights) {
  MemorySink sink;
  const StoredTree tree =
      StoredTree::Dict{{"epoch", epoch}, {"weights", float_vector("0", static_cast<int64_t>(weights.size()))}};
  const auto* data = reinterpret_cast<const uint8_t*>(weights.data());
  const Status wrote = write_archive(sink, tree, {std::span(data, weights.size() * sizeof(float))});
  EXPECT_TRUE(wrote.ok()) << wrote.error().message;
  return sink.bytes();
}

}  // namespace ferrun::checkpoint
