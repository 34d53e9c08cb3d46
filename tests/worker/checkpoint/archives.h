// Small archives for the tests of the checkpoint format.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "worker/checkpoint/byte_sink.h"
#include "worker/checkpoint/byte_source.h"
#include "worker/checkpoint/stored_tensor.h"

namespace ferrun::checkpoint {

class MemorySink final : public ByteSink {
 public:
  Status write(std::span<const uint8_t> bytes) override {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return ok_status();
  }
  const std::vector<uint8_t>& bytes() const { return bytes_; }

 private:
  std::vector<uint8_t> bytes_;
};

inline std::span<const uint8_t> as_bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// A contiguous float tensor of one dimension in the storage `key`.
inline StoredTensor float_vector(const std::string& key, int64_t elements) {
  return {ElementType::kFloat32, key, static_cast<uint64_t>(elements) * 4, 0, {elements}, {1}};
}

// The archive of {"epoch": epoch, "weights": tensor of `weights`}.
std::vector<uint8_t> small_checkpoint(int64_t epoch, const std::vector<float>& weights);

}  // namespace ferrun::checkpoint
