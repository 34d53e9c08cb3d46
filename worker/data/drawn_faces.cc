#include "worker/data/drawn_faces.h"

#include <cstdio>
#include <string_view>

#include "worker/data/face_painter.h"
#include "worker/data/random.h"

namespace ferrun::data {

Split DrawnFaces::make(const DrawnFacesOptions& options) {
  // The split's name is part of the stream's seed, so that no picture of one can appear in the other.
  const auto stream = [&](uint64_t split) { return mix64(options.seed + split * 0x9e3779b97f4a7c15u); };
  return {std::shared_ptr<const Dataset>(new DrawnFaces("train", options.train_per_class, options.size, stream(1))),
          std::shared_ptr<const Dataset>(new DrawnFaces("val", options.val_per_class, options.size, stream(2))),
          nullptr, "drawn faces"};
}

int64_t DrawnFaces::size() const { return per_class_ * kEmotions; }

const std::vector<std::string>& DrawnFaces::classes() const {
  static const std::vector<std::string> names(kEmotionNames.begin(), kEmotionNames.end());
  return names;
}

std::string DrawnFaces::name(int64_t index) const {
  char number[24];
  std::snprintf(number, sizeof number, "%04lld", static_cast<long long>(index % per_class_));
  return std::string("drawn/") + split_ + "/" + kEmotionNames[static_cast<size_t>(label(index))] + "/" + number;
}

std::string DrawnFaces::identity(int64_t index) const {
  return name(index) + " " + std::to_string(size_) + " " + std::to_string(seed_);
}

Status DrawnFaces::load_into(int64_t index, Image& image, MemoryLease&) const {
  paint_face(static_cast<Emotion>(label(index)), size_, mix64(seed_ ^ mix64(static_cast<uint64_t>(index) + 1)), image);
  return ok_status();
}

}  // namespace ferrun::data
