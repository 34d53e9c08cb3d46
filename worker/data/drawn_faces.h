// Faces drawn by the program, for a first run without any data: the seven classes of FER-2013, told apart by mouth,
// brows, eyes and nose. A picture is a function of (seed, split, index, size) alone. Immutable, so all threads may use
// it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "worker/data/dataset.h"

namespace ferrun::data {

struct DrawnFacesOptions {
  int64_t train_per_class = 600;
  int64_t val_per_class = 120;
  int size = 64;  // width and height in pixels, 16 … 1024
  uint64_t seed = 42;
};

class DrawnFaces final : public Dataset {
 public:
  // The two splits draw from different streams: no picture of one is in the other.
  static Split make(const DrawnFacesOptions& options);

  int64_t size() const override;
  const std::vector<std::string>& classes() const override;
  int label(int64_t index) const override { return static_cast<int>(index / per_class_); }
  std::string name(int64_t index) const override;  // "drawn/train/happy/0003"
  std::string identity(int64_t index) const override;
  Status load_into(int64_t index, Image& image, MemoryLease& memory) const override;

 private:
  DrawnFaces(const char* split, int64_t per_class, int size, uint64_t seed)
      : split_(split), per_class_(per_class), size_(size), seed_(seed) {}

  const char* split_;
  int64_t per_class_;
  int size_;
  uint64_t seed_;
};

}  // namespace ferrun::data
