// The pictures that `worker predict` is asked about. Free of LibTorch.
#pragma once

#include <istream>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/result.h"
#include "worker/data/dataset.h"
#include "worker/data/image_file.h"

namespace ferrun::train {

// The files that `arguments` name, in their order: a file as it is, whether it exists or not; a folder's JPEG and PNG
// files with those of the folders below, sorted by path, without hidden ones (names that begin with a dot); for "-" the
// lines of `input`, each of which is a file or a folder. A folder that cannot be listed or holds no picture is in the
// list itself, and PictureList says why. Failure (kUser): nothing at all to predict.
Result<std::vector<std::string>> list_pictures(const std::vector<std::string>& arguments, std::istream& input);

// These files as a dataset without labels, decoded as `decode` says. A file that cannot be read is remembered with the
// reason.
class PictureList final : public data::Dataset {
 public:
  explicit PictureList(std::vector<std::string> files, const data::DecodeOptions& decode = {})
      : files_(std::move(files)), decode_(decode) {}

  int64_t size() const override { return static_cast<int64_t>(files_.size()); }
  const std::vector<std::string>& classes() const override { return classes_; }
  int label(int64_t) const override { return 0; }
  std::string name(int64_t index) const override { return files_[static_cast<size_t>(index)]; }
  Status load_into(int64_t index, data::Image& image, data::MemoryLease& memory) const override;

  // Why the picture could not be read, once load_into has tried; any thread may ask.
  std::optional<Error> failure(int64_t index) const;

 private:
  std::vector<std::string> files_;
  data::DecodeOptions decode_;
  std::vector<std::string> classes_;
  mutable std::mutex mutex_;
  mutable std::map<int64_t, Error> failures_;
};

}  // namespace ferrun::train
