#include "worker/train/source_data.h"

#include <algorithm>

#include "worker/data/drawn_faces.h"
#include "worker/data/image_folder.h"

namespace ferrun::train {

Result<data::Split> open_data(const DataOptions& options, uint64_t seed) {
  if (!options.directory.empty()) {
    data::FolderOptions folder;
    folder.decode.max_pixels = options.max_pixels;
    folder.decode.exif_orientation = options.exif_orientation;
    folder.split = options.split;
    folder.seed = seed;
    return data::ImageFolder::open_split(options.directory, folder);
  }
  data::DrawnFacesOptions drawn;
  drawn.train_per_class = options.faces_per_class;
  drawn.val_per_class = std::max<int64_t>(1, options.faces_per_class / 5);
  drawn.size = options.size();
  drawn.seed = seed;
  return data::DrawnFaces::make(drawn);
}

std::string describe_data(const DataOptions& options, const data::Split& split) {
  const std::string count = std::to_string(split.train->size());
  return options.directory.empty() ? count + " drawn faces" : count + " pictures of " + options.directory;
}

}  // namespace ferrun::train
