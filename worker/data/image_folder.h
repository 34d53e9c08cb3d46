// A folder of pictures in torchvision's layout: one folder per class, index for index as
// torchvision.datasets.ImageFolder, but for what programs leave behind in folders (hidden ones, macOS's files), which
// is no class and no picture here. The list is made once; files are read when a picture is loaded. Immutable, so all
// threads may use it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "worker/data/dataset.h"
#include "worker/data/image_file.h"

namespace ferrun::data {

struct FolderOptions {
  DecodeOptions decode;
  // Of a folder without its own validation part: shares to train, to validate and (optional) to test, drawn by `seed`
  // as torch's random_split draws them. They are fractions of one. Empty: the folders decide.
  std::vector<double> split;
  uint64_t seed = 42;
};

class ImageFolder final : public Dataset {
 public:
  // Lists `directory`: classes are its folders, sorted by name; pictures are the files below each (links followed) with
  // one of torchvision's extensions. Fails on a missing directory, one without folders, a class without pictures, a
  // class whose name is no UTF-8 or the same as another's in a different Unicode form, and links in a ring.
  static Result<std::shared_ptr<const ImageFolder>> open(const std::string& directory,
                                                         const DecodeOptions& options = {});

  // What is below `directory`: train/ with val/, valid/ or validation/, and test/ beside them if it is there (or
  // train/train/ with test/test/). With options.split: train/ alone (its test/ beside it), or class folders alone.
  // Test pictures never validate. Fails as `open` does (but for test/, of which a note is made), when the parts do not
  // have the same classes, when nothing validates, and when two folders could.
  static Result<Split> open_split(const std::string& directory, const FolderOptions& options = {});

  int64_t size() const override { return static_cast<int64_t>(files_.size()); }
  const std::vector<std::string>& classes() const override { return classes_; }
  int label(int64_t index) const override { return files_[static_cast<size_t>(index)].label; }
  std::string name(int64_t index) const override;
  std::string identity(int64_t index) const override;  // the path below the directory
  Status load_into(int64_t index, Image& image, MemoryLease& memory) const override;

  // What was left out, one line each ("…/train: left out .ipynb_checkpoints").
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  // Paths share their folder: a million files cost their names alone.
  struct File {
    uint32_t folder;
    int label;
    std::string name;
  };
  struct Walk;
  ImageFolder() = default;
  Status list_class(const std::string& directory, int label, Walk& walk);

  DecodeOptions options_;
  size_t root_length_ = 0;  // of the directory's path, in every folder's
  std::vector<std::string> classes_;
  std::vector<std::string> folders_;
  std::vector<File> files_;
  std::vector<std::string> notes_;
};

}  // namespace ferrun::data
