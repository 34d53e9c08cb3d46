// A labelled collection of pictures. Implementations: ImageFolder (files) and DrawnFaces (made by the program).
// Thread rule: `load` may be called from several threads at once.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/result.h"
#include "worker/data/image.h"

namespace ferrun::data {

class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual int64_t size() const = 0;
  // Sorted by name; a label is an index into it.
  virtual const std::vector<std::string>& classes() const = 0;
  virtual int label(int64_t index) const = 0;
  // A path for messages ("…/train/happy/3.jpg"), or a made-up name for drawn pictures.
  virtual std::string name(int64_t index) const = 0;
  // Decodes the picture into `image`, whose memory is used again: a loop that keeps its Image allocates nothing.
  // The error names the picture and says what is wrong with it.
  virtual Status load_into(int64_t index, Image& image) const = 0;

  Result<Image> load(int64_t index) const {
    Image image;
    if (Status loaded = load_into(index, image); !loaded) return loaded.error();
    return image;
  }
};

struct Split {
  std::shared_ptr<const Dataset> train;
  std::shared_ptr<const Dataset> val;
};

}  // namespace ferrun::data
