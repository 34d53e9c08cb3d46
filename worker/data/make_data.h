// Writes the drawn faces as an ImageFolder of JPEGs (`worker make-data DIR`).
#pragma once

#include <cstdint>
#include <string>

#include "common/result.h"
#include "worker/data/drawn_faces.h"

namespace ferrun::data {

struct MakeDataReport {
  int64_t train_pictures = 0;
  int64_t val_pictures = 0;
};

// Writes `directory`/{train,val}/CLASS/NNNN.jpg. The tree is built in a hidden folder beside and renamed at the end, so
// that `directory` is there complete or not at all. A directory that exists and is not empty is refused unless
// `replace`, which puts the new tree in its place and then deletes the old one. On failure nothing stays behind.
Result<MakeDataReport> write_image_folder(const std::string& directory, const DrawnFacesOptions& options,
                                          bool replace = false);

}  // namespace ferrun::data
