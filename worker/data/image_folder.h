// A folder of pictures in torchvision's layout: one folder per class, index for index as
// torchvision.datasets.ImageFolder. The list is made once; files are read when a picture is loaded. Immutable, so all
// threads may use it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "worker/data/dataset.h"

namespace ferrun::data {

class ImageFolder final : public Dataset {
 public:
  // Lists `directory`: classes are its folders, sorted by name; pictures are the files below each (links followed) with
  // one of torchvision's extensions. Fails on a missing directory, one without folders, and a class without pictures.
  static Result<std::shared_ptr<const ImageFolder>> open(const std::string& directory);

  // The pair below `directory`, in the first of these layouts that is there: train/ with val/, validation/ or test/;
  // train/train/ with test/test/. Fails as `open` does, and when both do not have the same classes.
  static Result<Split> open_split(const std::string& directory);

  int64_t size() const override { return static_cast<int64_t>(files_.size()); }
  const std::vector<std::string>& classes() const override { return classes_; }
  int label(int64_t index) const override { return files_[static_cast<size_t>(index)].label; }
  std::string name(int64_t index) const override;
  Status load_into(int64_t index, Image& image) const override;

 private:
  // Paths share their folder: a million files cost their names alone.
  struct File {
    uint32_t folder;
    int label;
    std::string name;
  };
  ImageFolder() = default;
  Status list_class(const std::string& directory, int label);

  std::vector<std::string> classes_;
  std::vector<std::string> folders_;
  std::vector<File> files_;
};

}  // namespace ferrun::data
