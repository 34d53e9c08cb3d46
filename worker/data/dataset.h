// A labelled collection of pictures. Implementations: ImageFolder (files), DrawnFaces (made by the program) and Subset
// (a part of another).
// Thread rule: `load` may be called from several threads at once.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/result.h"
#include "worker/data/image.h"
#include "worker/data/memory_budget.h"

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
  // What it takes to decode comes from `memory`, which the caller gives back when done with the picture.
  virtual Status load_into(int64_t index, Image& image, MemoryLease& memory) const = 0;
  // What tells the picture from others on every machine that has the same data: its path below the collection's folder,
  // or how it is drawn.
  virtual std::string identity(int64_t index) const { return name(index); }

  Result<Image> load(int64_t index) const {
    Image image;
    MemoryLease unlimited;
    if (Status loaded = load_into(index, image, unlimited); !loaded) return loaded.error();
    return image;
  }
};

// What a run trains on, what chooses its best model, and what that choice never sees.
struct Split {
  std::shared_ptr<const Dataset> train;
  std::shared_ptr<const Dataset> val;
  std::shared_ptr<const Dataset> test = nullptr;  // only where the data has it
  // Where the pictures of `val` are from, for a person: "val/", "a tenth of …".
  std::string validation = {};
  // What a person should know of the data: one line each, without a line end. The same on all ranks with the same data.
  std::vector<std::string> notes = {};
};

// 64 bits over classes, identities and labels, in order, as 16 hexadecimal digits: ranks that see the same data have
// the same, and so does a run that goes on with what it began with. The pictures' content is not read.
std::string dataset_fingerprint(const Dataset& dataset);
// The same over all parts of a split.
std::string dataset_fingerprint(const Split& split);

}  // namespace ferrun::data
