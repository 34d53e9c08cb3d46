#include "worker/train/source_data.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <system_error>
#include <vector>

#include "worker/data/drawn_faces.h"
#include "worker/data/image_folder.h"
#include "worker/data/subset.h"
#include "worker/train/value_fields.h"

namespace ferrun::train {

data::DecodeOptions decode_options(const DataOptions& options) {
  data::DecodeOptions decode;
  decode.max_pixels = options.max_pixels;
  decode.exif_orientation = options.exif_orientation.value_or(false);
  return decode;
}

Result<data::Split> open_data(const DataOptions& options, uint64_t seed) {
  if (!options.directory.empty()) {
    data::FolderOptions folder;
    folder.decode = decode_options(options);
    folder.split = options.split;
    folder.seed = seed;
    return data::ImageFolder::open_split(options.directory, folder);
  }
  data::DrawnFacesOptions drawn;
  drawn.train_per_class = options.faces();
  drawn.val_per_class = std::max<int64_t>(1, options.faces() / 5);
  drawn.size = options.size();
  drawn.seed = seed;
  return data::DrawnFaces::make(drawn);
}

std::string absolute_directory(const std::string& directory) {
  if (directory.empty()) return directory;
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(directory, error).lexically_normal();
  if (error) return directory;
  return absolute.has_filename() ? absolute.string() : absolute.parent_path().string();
}

SavedData saved_data(const checkpoint::Value& checkpoint) {
  SavedData saved;
  if (const Result<std::string> directory = text_field(checkpoint, "data")) saved.directory = *directory;
  const checkpoint::Value* const options = checkpoint.find("options");
  if (options == nullptr) return saved;
  if (const Result<int64_t> faces = integer_field(*options, "faces"); faces && *faces > 0) saved.faces = *faces;
  if (const auto split = numbers_field(*options, "split");
      split && (split->size() == 2 || split->size() == 3) && data::are_fractions_of_one(*split)) {
    saved.split = *split;
  }
  return saved;
}

DataOptions with_saved_data(DataOptions asked, const SavedData& saved) {
  if (!saved.directory || !asked.directory.empty() || asked.faces_per_class) return asked;
  asked.directory = *saved.directory;
  asked.faces_per_class = saved.faces;
  if (asked.split.empty()) asked.split = saved.split;
  return asked;
}

Error saved_data_error(const Error& why, const std::string& checkpoint) {
  return {why.kind, why.message + " (the data of " + checkpoint + "; --data names another folder)"};
}

std::string describe_data(const DataOptions& options, const data::Split& split) {
  const std::string count = std::to_string(split.train->size());
  return options.directory.empty() ? count + " drawn faces" : count + " pictures of " + options.directory;
}

Status check_same_data(const data::Split& split, ddp::ProcessGroup& group) {
  const std::string fingerprint = data::dataset_fingerprint(split);
  const auto bits = static_cast<int64_t>(std::stoull(fingerprint, nullptr, 16));
  const int64_t own[] = {bits, split.train->size(), split.val->size(), split.test ? split.test->size() : 0,
                         std::ssize(split.train->classes())};
  at::Tensor facts = at::empty({std::size(own)}, at::kLong);
  std::copy(std::begin(own), std::end(own), facts.mutable_data_ptr<int64_t>());
  const std::vector<at::Tensor> all = group.all_gather(facts);
  const auto counts = [](const at::Tensor& of) {
    const int64_t* const numbers = of.const_data_ptr<int64_t>();
    return std::to_string(numbers[1]) + " pictures to train, " + std::to_string(numbers[2]) + " to validate and " +
           std::to_string(numbers[3]) + " to test, in " + std::to_string(numbers[4]) + " classes";
  };
  for (size_t rank = 1; rank < all.size(); ++rank) {
    if (all[rank].equal(all[0])) continue;
    const std::string rank_0 = counts(all[0]), other = counts(all[rank]);
    return Error{ErrorKind::kUser, "the data of the ranks differ: rank 0 has " + rank_0 + "; rank " +
                                       std::to_string(rank) + " has " +
                                       (other == rank_0 ? "as many, with other names or classes" : other) +
                                       ": give all nodes the same copy of --data"};
  }
  return ok_status();
}

}  // namespace ferrun::train
